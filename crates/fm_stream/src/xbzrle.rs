//! XBZRLE: the runs in which a page differs from what was sent of it before.

use alloc::format;

use fm_formats::{Error, Reader, Result};

/// Calls `patch` with each run of new bytes and its offset in the page.
///
/// Runs alternate: unchanged length, changed length, changed bytes; lengths are ULEB128 of one or two
/// bytes. Source: QEMU `migration/xbzrle.c:xbzrle_decode_buffer`, `util/cutils.c:uleb128_decode_small`.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Unexpected`] if the runs do not stay in encoding and page.
pub(super) fn decode(
    encoded: &[u8],
    base: u64,
    page_bytes: u64,
    mut patch: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader::at(encoded, base);
    let mut at = 0u64;
    let mut first = true;
    while !reader.is_empty() {
        let start = reader.offset();
        let same = uleb128(&mut reader)?;
        let new = uleb128(&mut reader)?;
        let from = at.saturating_add(same);
        at = from.saturating_add(new);
        if at > page_bytes || new == 0 || (same == 0 && !first) {
            return Err(Error::Unexpected {
                field: "XBZRLE run",
                offset: start,
                found: format!("{same} same and {new} new bytes, up to byte {at}"),
                expected: format!("a run that ends within the page of {page_bytes} bytes"),
            });
        }
        let len = usize::try_from(new).unwrap_or(usize::MAX);
        patch(from, reader.bytes(len, "XBZRLE run")?)?;
        first = false;
    }
    Ok(())
}

fn uleb128(reader: &mut Reader<'_>) -> Result<u64> {
    let low = u64::from(*reader.raw::<u8>("XBZRLE run length")?);
    if low & 0x80 == 0 {
        return Ok(low);
    }
    let offset = reader.offset();
    let high = u64::from(*reader.raw::<u8>("XBZRLE run length")?);
    if high & 0x80 != 0 {
        return Err(Error::Unexpected {
            field: "XBZRLE run length",
            offset,
            found: format!("{high:#x}"),
            expected: "a second and last byte below 0x80".into(),
        });
    }
    Ok(low & 0x7f | high << 7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn apply(page: &mut [u8], encoded: &[u8]) -> Result<()> {
        let len = page.len() as u64;
        decode(encoded, 0x40, len, |at, new| {
            let at = usize::try_from(at).unwrap();
            page[at..at + new.len()].copy_from_slice(new);
            Ok(())
        })
    }

    #[test]
    fn runs_are_laid_over_the_page() {
        let mut page = vec![7u8; 4096];
        // 2 same, 3 new; 200 same (two bytes), 1 new.
        apply(&mut page, &[2, 3, 1, 2, 3, 0xc8, 0x01, 1, 9]).unwrap();
        assert_eq!(page[..6], [7, 7, 1, 2, 3, 7]);
        assert_eq!(page[205], 9);
        assert_eq!(page.iter().filter(|byte| **byte != 7).count(), 4);
    }

    #[test]
    fn runs_that_leave_the_page_or_the_encoding_are_refused_with_their_offset() {
        let mut page = vec![0u8; 16];
        for (encoded, offset) in [
            (&[17u8, 1, 0][..], 0x40),   // starts behind the page
            (&[14, 3, 1, 2, 3], 0x40),   // ends behind the page
            (&[0, 4, 1, 2], 0x42),       // more new bytes than there are
            (&[1, 0], 0x40),             // no new bytes
            (&[0, 1, 5, 0, 1, 6], 0x43), // no same bytes in between
            (&[0x80], 0x41),             // length cut
            (&[0x80, 0x80, 1], 0x41),    // length too long
        ] {
            let error = apply(&mut page, encoded).unwrap_err();
            let at = match error {
                Error::Truncated { offset, .. } | Error::Unexpected { offset, .. } => offset,
                other => panic!("{other}"),
            };
            assert_eq!(at, offset, "{encoded:?}");
        }
    }
}
