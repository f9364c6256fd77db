//! `/proc/PID/maps`: what is mapped where.

use std::ops::Range;

/// One mapping of a process's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Readable, and writable or not at all protected otherwise: the two letters `rw`.
    pub read_write: bool,
    /// Not accessible at all: `---`.
    pub guard: bool,
    /// What stands behind it: a path, `[heap]`, `[stack]`, or nothing for anonymous memory.
    pub name: String,
}

impl Mapping {
    /// Its length.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether QEMU could have allocated a RAM block here: anonymous memory, or memory shared through
    /// a memfd as with `aux-ram-share=on`.
    #[must_use]
    pub fn may_hold_ram(&self) -> bool {
        let anonymous = self.name.is_empty()
            || self.name.starts_with("[anon")
            || self.name.starts_with("/memfd:")
            || self.name.starts_with("/dev/zero");
        self.read_write && anonymous
    }
}

/// The mappings in the text of a `maps` file, or what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Mapping>, String> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let mapping = parse_line(&String::from_utf8_lossy(line))
            .ok_or_else(|| format!("line {} is no mapping", index.saturating_add(1)))?;
        if mappings.last().is_some_and(|before| before.end > mapping.start) {
            return Err(format!(
                "line {} overlaps the one before",
                index.saturating_add(1)
            ));
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

/// How often a list is read that is torn each time.
const MAX_READING_COUNT: u32 = 16;

/// The mappings in the text that `read` gives, which is read again where it is torn: the kernel hands the list out
/// a page at a time, and between two of them a mapping that was handed out may have grown over the next.
pub(super) fn untorn<E>(
    mut read: impl FnMut() -> Result<Vec<u8>, E>,
    malformed: impl FnOnce(String) -> E,
) -> Result<Vec<Mapping>, E> {
    let mut readings = 1;
    loop {
        match parse(&read()?) {
            Ok(mappings) => return Ok(mappings),
            Err(why) if readings == MAX_READING_COUNT => return Err(malformed(why)),
            Err(_) => readings += 1,
        }
    }
}

/// The mappings in the text of an `smaps` file whose missing pages a userfaultfd brings: flag `um`
/// (kernel `Documentation/filesystems/proc.rst`).
pub(super) fn parse_awaited(text: &[u8]) -> Result<Vec<Range<u64>>, String> {
    let mut awaited = Vec::new();
    let mut current = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let range = current.take().ok_or("flags without a mapping")?;
            if flags.split_ascii_whitespace().any(|flag| flag == "um") {
                awaited.push(range);
            }
        } else if let Some(mapping) = parse_line(&line) {
            current = Some(mapping.start..mapping.end);
        }
    }
    Ok(awaited)
}

fn parse_line(line: &str) -> Option<Mapping> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    // permissions, offset, device, inode, then the name, which may hold blanks
    let mut fields = rest.splitn(5, ' ');
    let permissions = fields.next()?;
    let name = fields.nth(3).unwrap_or_default().trim_start();
    (start < end && permissions.len() == 4).then(|| Mapping {
        start,
        end,
        read_write: permissions.starts_with("rw"),
        guard: permissions.starts_with("---"),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_userfaultfd_brings_is_awaited() {
        let text = b"7f0000000000-7f0008000000 rw-p 00000000 00:00 0 \nSize:  131072 kB\nVmFlags: rd wr mr mw me ac sd um \n\
            7f0010000000-7f0010001000 rw-p 00000000 00:00 0 [anon: um]\nVmFlags: rd wr mr mw me ac uw\n";
        assert_eq!(
            parse_awaited(text),
            Ok(std::iter::once(0x7f00_0000_0000..0x7f00_0800_0000).collect())
        );
        assert!(parse_awaited(b"VmFlags: um\n").is_err());
    }

    #[test]
    fn a_list_that_changed_while_it_was_read_is_read_again() {
        let torn = b"1000-3000 rw-p 00000000 00:00 0\n2000-3000 rw-p 00000000 00:00 0\n".to_vec();
        let whole = b"1000-3000 rw-p 00000000 00:00 0\n".to_vec();
        let mut texts = vec![whole, torn.clone()];
        let mappings = untorn(|| Ok(texts.pop().unwrap()), |why| why).unwrap();
        assert_eq!(mappings.len(), 1);
        let mut readings = 0;
        let error = untorn(
            || {
                readings += 1;
                Ok(torn.clone())
            },
            |why| why,
        )
        .unwrap_err();
        assert_eq!(
            (error.as_str(), readings),
            ("line 2 overlaps the one before", MAX_READING_COUNT)
        );
    }

    #[test]
    fn names_with_blanks_and_anonymous_memory_are_told_apart() {
        let maps = parse(
            b"1000-2000 rw-p 00000000 00:00 0 \n2000-3000 ---p 00000000 00:00 0\n\
              3000-5000 r--p 00000000 fe:00 12          /usr/my files/qemu (deleted)\n\
              6000-7000 rw-s 00000000 00:01 5    /memfd:pc.ram (deleted)\n",
        )
        .unwrap();
        assert!(maps[0].may_hold_ram() && maps[0].name.is_empty());
        assert!(maps[1].guard && !maps[1].may_hold_ram());
        assert_eq!(maps[2].name, "/usr/my files/qemu (deleted)");
        assert!(!maps[2].may_hold_ram());
        assert!(maps[3].may_hold_ram());
    }

    #[test]
    fn lines_that_lie_are_refused_with_their_number() {
        for lie in [
            "2000-1000 rw-p 0 0:0 0",
            "zz-1000 rw-p 0 0:0 0",
            "1000 rw-p",
            "1000-2000 rw",
            "1000-2000",
        ] {
            let error = parse(format!("100-200 rw-p 0 0:0 0\n{lie}\n").as_bytes()).unwrap_err();
            assert!(error.starts_with("line 2 "), "{lie}: {error}");
        }
        let overlapping = parse(b"1000-3000 rw-p 0 0:0 0\n2000-4000 rw-p 0 0:0 0\n").unwrap_err();
        assert_eq!(overlapping, "line 2 overlaps the one before");
    }

    #[test]
    fn a_hundred_thousand_mappings_are_read() {
        let text: String = (1..=100_000u64)
            .map(|i| {
                format!(
                    "{:x}-{:x} rw-p 00000000 00:00 0\n",
                    i * 0x2000,
                    i * 0x2000 + 0x1000
                )
            })
            .collect();
        assert_eq!(parse(text.as_bytes()).unwrap().len(), 100_000);
    }
}
