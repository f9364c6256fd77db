//! Searches and sums over plain bytes.

use crate::volume::VolumeHeader;

/// The byte that all of `bytes` are, if there is one.
pub(super) fn fill(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    (trailing(bytes, first) == bytes.len()).then_some(first)
}

/// How many bytes at the start and at the end of `bytes` are one byte each; all are at the start if they are the same.
pub(super) fn padding_around(bytes: &[u8]) -> [usize; 2] {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return [0, 0];
    };
    match bytes.iter().position(|byte| byte != first) {
        Some(before) => [before, trailing(bytes, *last)],
        None => [bytes.len(), 0],
    }
}

/// How many bytes at the end of `bytes` are `fill`.
pub(super) fn trailing(bytes: &[u8], fill: u8) -> usize {
    let mut rest = bytes;
    // Blocks first: comparing them against one value is what compilers make vectors of.
    while let Some((before, block)) = rest.split_last_chunk::<256>() {
        if !block.iter().fold(true, |same, byte| same & (*byte == fill)) {
            break;
        }
        rest = before;
    }
    let kept = rest
        .iter()
        .rposition(|byte| *byte != fill)
        .map_or(0, |last| last.saturating_add(1));
    bytes.len().saturating_sub(kept)
}

/// Where, at or behind `from`, the next volume might start: its signature lies 40 bytes in.
pub(super) fn next_volume(bytes: &[u8], from: usize) -> Option<usize> {
    let first = from.checked_add(VolumeHeader::SIGNATURE_OFFSET)?;
    let mut at = first;
    loop {
        let rest = bytes.get(at..)?;
        let found = at.checked_add(position_of_underscore(rest)?)?;
        if bytes.get(found..)?.starts_with(&VolumeHeader::SIGNATURE) {
            return found.checked_sub(VolumeHeader::SIGNATURE_OFFSET);
        }
        at = found.checked_add(1)?;
    }
}

fn position_of_underscore(bytes: &[u8]) -> Option<usize> {
    let mut blocks = bytes.chunks_exact(64);
    let mut skipped = 0usize;
    for block in &mut blocks {
        if block.iter().fold(false, |any, byte| any | (*byte == b'_')) {
            break;
        }
        skipped = skipped.saturating_add(64);
    }
    let within = bytes.get(skipped..)?.iter().position(|byte| *byte == b'_')?;
    skipped.checked_add(within)
}

/// The wrapping sum of all bytes.
pub(super) fn sum8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn runs_are_measured_exactly_at_every_length() {
        for len in 0..700 {
            let mut bytes = vec![7u8; 3];
            bytes.resize(3 + len, 0xff);
            assert_eq!(trailing(&bytes, 0xff), len);
            assert_eq!(fill(&bytes[3..]), (len > 0).then_some(0xff));
            assert_eq!(fill(&bytes), (len == 0).then_some(7));
        }
    }

    #[test]
    fn a_volume_signature_is_found_at_every_alignment_and_never_before_the_start() {
        for at in 0..200 {
            let mut bytes = vec![b'_'; 60];
            bytes.resize(at + 60, 0);
            bytes.splice(at + 40..at + 44, *b"_FVH");
            assert_eq!(next_volume(&bytes, 0), Some(at));
            assert_eq!(next_volume(&bytes, at), Some(at));
            assert_eq!(next_volume(&bytes, at + 1), None);
        }
    }
}
