//! What a guest writes to a flash device, write by write, and what a power cut after any of them leaves.
//!
//! QEMU traces each write (`hw/block/pflash_cfi01.c`). A single write goes to the device and its file at once, as do the
//! bytes of a buffer when it is flushed; a write overwrites what was there, where real flash would only clear bits. So the
//! writes, put over what the file held before, give what it holds after any of them.

use std::io::{BufRead, Read as _};

use fm_api::v1::flash_writes::{FlashRun, Repeated};
use fm_variables::{hex_bytes, hex_text};

/// The trace events from which [`FlashWrites`] are read, by QEMU's names.
pub const FLASH_EVENTS: [&str; 6] = [
    "pflash_data_write",
    "pflash_data_write_block",
    "pflash_write_block_start",
    "pflash_write_block_flush",
    "pflash_write_block_abort",
    "pflash_write_block_erase",
];

/// What all writes together may have; a boot that reclaims has a million bytes.
const MAX_WRITTEN_BYTES: u64 = 64 << 20;
/// The longest line of a trace: QEMU's have about a hundred bytes.
const MAX_LINE_BYTES: u64 = 512;
/// From how many on equal bytes are told by their number.
const MIN_REPEATED: usize = 16;

/// Why writes cannot be read or replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlashWritesError {
    /// The trace cannot be read.
    #[error("the trace of flash writes cannot be read")]
    Read(#[source] std::io::Error),
    /// A line of the trace is none of QEMU's.
    #[error("line {line} of the trace of flash writes {why}")]
    Line {
        /// Which, from one on.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More was written than a guest writes.
    #[error("more than {MAX_WRITTEN_BYTES} bytes of flash writes")]
    TooMany,
    /// Recorded bytes are no hexadecimal text, or a write has no length.
    #[error("the recorded run of flash writes at {offset:#x} is damaged")]
    Damaged {
        /// Where in the device.
        offset: u64,
    },
    /// The writes of a trace do not give the file that QEMU left.
    #[error(
        "the traced flash writes do not give the file that QEMU left: something else wrote to it, or the trace is cut"
    )]
    NotAll,
    /// A write lies outside the device.
    #[error("a flash write at {offset:#x} lies outside the device's {device_bytes:#x} bytes")]
    Outside {
        /// Where in the device.
        offset: u64,
        /// How long the device is.
        device_bytes: u64,
    },
}

type Result<T, E = FlashWritesError> = std::result::Result<T, E>;

/// Writes to one flash device, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlashWrites {
    runs: Vec<Run>,
    written_bytes: u64,
}

/// Writes of one kind, each right behind the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    /// What one write has; never zero.
    pub(crate) write_bytes: u64,
    pub(crate) erases: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Run {
    pub(crate) fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many writes it is.
    pub(crate) fn count(&self) -> u64 {
        self.len_bytes().div_ceil(self.write_bytes)
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.len_bytes())
    }
}

impl FlashWrites {
    /// Reads what QEMU's trace backend `log` wrote of [`FLASH_EVENTS`] for `device`, such as `system.flash1`. It is read
    /// line by line, and kept in memory as runs.
    ///
    /// # Errors
    /// If it is no such trace, or ends in the midst of a line.
    pub fn from_trace(trace: &mut impl BufRead, device: &str) -> Result<Self> {
        let mut writes = Self::default();
        let mut buffer: Option<(u64, Vec<u8>)> = None;
        let (mut text, mut line) = (Vec::new(), 0u64);
        loop {
            text.clear();
            line += 1;
            let mut bounded = (&mut *trace).take(MAX_LINE_BYTES);
            let len = bounded
                .read_until(b'\n', &mut text)
                .map_err(FlashWritesError::Read)?;
            if len == 0 {
                return Ok(writes);
            }
            let event = std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.strip_suffix('\n'))
                .and_then(Event::parse)
                .ok_or(FlashWritesError::Line {
                    line,
                    why: "is none of QEMU's",
                })?;
            if event.device != device {
                continue;
            }
            match event.what {
                What::Write(offset, bytes) => {
                    let len = bytes.len() as u64;
                    writes.push(offset, len, false, &bytes)?;
                }
                What::Erase(offset, len) if len <= MAX_WRITTEN_BYTES => {
                    let erased = vec![0xff; usize::try_from(len).unwrap_or_default()];
                    writes.push(offset, len, true, &erased)?;
                }
                What::Erase(..) => return Err(FlashWritesError::TooMany),
                What::Buffered(offset, bytes) => match &mut buffer {
                    Some((start, held)) if start.saturating_add(held.len() as u64) == offset => {
                        if held.len() as u64 >= MAX_WRITTEN_BYTES {
                            return Err(FlashWritesError::TooMany);
                        }
                        held.extend_from_slice(&bytes);
                    }
                    Some(_) => {
                        return Err(FlashWritesError::Line {
                            line,
                            why: "leaves a hole in the device's buffer",
                        });
                    }
                    None => buffer = Some((offset, bytes)),
                },
                What::Drop => buffer = None,
                What::Flush => {
                    if let Some((offset, bytes)) = buffer.take() {
                        let len = bytes.len() as u64;
                        writes.push(offset, len, false, &bytes)?;
                    }
                }
            }
        }
    }

    fn push(&mut self, offset: u64, write_bytes: u64, erases: bool, bytes: &[u8]) -> Result<()> {
        self.written_bytes = self.written_bytes.saturating_add(bytes.len() as u64);
        if self.written_bytes > MAX_WRITTEN_BYTES {
            return Err(FlashWritesError::TooMany);
        }
        match self.runs.last_mut() {
            Some(run) if run.end() == offset && run.write_bytes == write_bytes && run.erases == erases => {
                run.bytes.extend_from_slice(bytes);
            }
            _ => self.runs.push(Run {
                offset,
                write_bytes,
                erases,
                bytes: bytes.to_vec(),
            }),
        }
        Ok(())
    }

    /// How many writes there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs.iter().map(Run::count).sum()
    }

    /// The runs, each with how many writes there are before it.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.runs.iter().scan(0, |before, run| {
            let at = *before;
            *before += run.count();
            Some((at, run))
        })
    }

    /// Puts the first `count` writes over `device`, which holds what was there before the first of them: what a power cut
    /// after that many leaves. All of them, if there are no more.
    ///
    /// # Errors
    /// If one lies outside the device.
    pub fn replay(&self, device: &mut [u8], count: u64) -> Result<()> {
        self.replay_between(device, 0, count)
    }

    /// Puts the writes from number `from` to `to` over `device`, which holds what is there after `from`.
    pub(crate) fn replay_between(&self, device: &mut [u8], from: u64, to: u64) -> Result<()> {
        let device_bytes = device.len() as u64;
        for (before, run) in self.runs() {
            // In bytes of the run; the last write of a run read from a file may be shorter.
            let within = |number: u64| {
                let writes = number.saturating_sub(before);
                writes.saturating_mul(run.write_bytes).min(run.len_bytes())
            };
            let (start, end) = (within(from), within(to));
            if start >= end {
                continue;
            }
            let outside = FlashWritesError::Outside {
                offset: run.offset,
                device_bytes,
            };
            let place = |at: u64| usize::try_from(run.offset.saturating_add(at)).unwrap_or(usize::MAX);
            let target = device.get_mut(place(start)..place(end));
            let bytes = run.bytes.get(start as usize..end as usize);
            let (Some(target), Some(bytes)) = (target, bytes) else {
                return Err(outside);
            };
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// The writes as a document holds them.
    #[must_use]
    pub fn to_document(&self) -> Vec<FlashRun> {
        let run = |run: &Run| FlashRun {
            offset: run.offset,
            write_bytes: run.write_bytes,
            erases: run.erases,
            content: repeated(&run.bytes),
        };
        self.runs.iter().map(run).collect()
    }

    /// The writes that a document holds.
    ///
    /// # Errors
    /// If they are damaged, or more than a guest writes.
    pub fn from_document(runs: &[FlashRun]) -> Result<Self> {
        let mut writes = Self::default();
        for run in runs {
            let damaged = || FlashWritesError::Damaged { offset: run.offset };
            if run.write_bytes == 0 {
                return Err(damaged());
            }
            let mut bytes = Vec::new();
            for piece in &run.content {
                let part = hex_bytes(&piece.hex).ok_or_else(damaged)?;
                let len = piece.times.saturating_mul(part.len() as u64);
                writes.written_bytes = writes.written_bytes.saturating_add(len);
                if writes.written_bytes > MAX_WRITTEN_BYTES {
                    return Err(FlashWritesError::TooMany);
                }
                bytes.extend(part.repeat(usize::try_from(piece.times).map_err(|_| damaged())?));
            }
            writes.runs.push(Run {
                offset: run.offset,
                write_bytes: run.write_bytes,
                erases: run.erases,
                bytes,
            });
        }
        Ok(writes)
    }
}

/// Long stretches of one byte by their number, what lies between as it is.
fn repeated(bytes: &[u8]) -> Vec<Repeated> {
    let mut pieces = Vec::new();
    let mut plain: Vec<u8> = Vec::new();
    let literal = |plain: &mut Vec<u8>, pieces: &mut Vec<Repeated>| {
        if !plain.is_empty() {
            pieces.push(Repeated {
                hex: hex_text(plain),
                times: 1,
            });
            plain.clear();
        }
    };
    for same in bytes.chunk_by(|one, other| one == other) {
        match same {
            [byte, ..] if same.len() >= MIN_REPEATED => {
                literal(&mut plain, &mut pieces);
                pieces.push(Repeated {
                    hex: hex_text(&[*byte]),
                    times: same.len() as u64,
                });
            }
            _ => plain.extend_from_slice(same),
        }
    }
    literal(&mut plain, &mut pieces);
    pieces
}

/// One line of the trace: `EVENT DEVICE: words and NAME:VALUE`.
struct Event<'a> {
    device: &'a str,
    what: What,
}

enum What {
    Write(u64, Vec<u8>),
    Erase(u64, u64),
    /// Bytes in the device's buffer, where they do not count yet.
    Buffered(u64, Vec<u8>),
    Flush,
    /// The buffer starts anew.
    Drop,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (event, rest) = line.split_once(' ')?;
        let (device, words) = rest.split_once(':')?;
        let number = |name: &str| {
            let word = words.split(' ').find_map(|word| word.strip_prefix(name))?;
            match word.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => word.parse().ok(),
            }
        };
        let data = || {
            let bytes = number("value:")?.to_le_bytes();
            let size = usize::try_from(number("size:")?).ok()?;
            bytes
                .get(..size)
                .filter(|bytes| !bytes.is_empty())
                .map(<[u8]>::to_vec)
        };
        let what = match event {
            "pflash_data_write" => What::Write(number("offset:")?, data()?),
            "pflash_data_write_block" => What::Buffered(number("offset:")?, data()?),
            "pflash_write_block_erase" => {
                What::Erase(number("offset:")?, number("bytes:").filter(|len| *len > 0)?)
            }
            "pflash_write_block_flush" => What::Flush,
            "pflash_write_block_start" | "pflash_write_block_abort" => What::Drop,
            _ => return None,
        };
        Some(Self { device, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(trace: &str) -> Result<FlashWrites> {
        FlashWrites::from_trace(&mut trace.as_bytes(), "system.flash1")
    }

    /// Lines of QEMU 7.2.22 (x86: bytes) and 10.0.2 (Arm: the buffer), the device's name made one.
    const TRACE: &str = "\
pflash_write_block_erase system.flash1: block erase offset:0x0010 bytes:0x10
pflash_data_write system.flash1: data offset:0x0010 size:1 value:0x00aa
pflash_data_write system.flash1: data offset:0x0011 size:1 value:0x0055
pflash_data_write system.flash0: data offset:0x0012 size:1 value:0x0011
pflash_write_block_start system.flash1: block write start: bytes:0x1f
pflash_data_write_block system.flash1: data offset:0x0018 size:4 value:0x4c8b7696 counter:0x0000000000000001
pflash_data_write_block system.flash1: data offset:0x001c size:4 value:0x0002 counter:0x0000000000000000
pflash_write_block_flush system.flash1: block write flush
pflash_write_block_start system.flash1: block write start: bytes:0x1f
pflash_data_write_block system.flash1: data offset:0x0000 size:4 value:0x0009 counter:0x0000000000000001
pflash_write_block_abort system.flash1: block write abort
";

    #[test]
    fn a_power_cut_leaves_the_writes_before_it_and_nothing_of_the_others() {
        let writes = read(TRACE).expect("a trace");
        // One erase, two bytes, one buffer; the aborted buffer never reached the device.
        assert_eq!(writes.count(), 4);
        let after = |count| {
            let mut device = [0; 0x20];
            writes.replay(&mut device, count).expect("inside");
            device
        };
        assert_eq!(after(0), [0; 0x20]);
        assert_eq!(after(1)[0x0f..0x12], [0, 0xff, 0xff]);
        assert_eq!(after(2)[0x10..0x13], [0xaa, 0xff, 0xff]);
        assert_eq!(after(3)[0x10..0x13], [0xaa, 0x55, 0xff]);
        assert_eq!(after(3)[0x18..], [0xff; 8]);
        assert_eq!(after(4)[0x18..], [0x96, 0x76, 0x8b, 0x4c, 2, 0, 0, 0]);
        assert_eq!(after(99), after(4));
    }

    #[test]
    fn a_write_outside_the_device_is_told_with_its_offset() {
        let writes = read(TRACE).expect("a trace");
        let error = writes.replay(&mut [0; 0x18], 9).expect_err("too short");
        assert!(matches!(
            error,
            FlashWritesError::Outside {
                offset: 0x10,
                device_bytes: 0x18
            }
        ));
    }

    #[test]
    fn lines_that_qemu_does_not_write_are_told_with_their_number() {
        let cut = &TRACE[..TRACE.len() - 1];
        let odd = [
            ("hello\n", 1),
            (
                "pflash_data_write system.flash1: data offset:0x0 size:9 value:0x0\n",
                1,
            ),
            (
                "pflash_data_write system.flash1: data offset:0x0 size:0 value:0x0\n",
                1,
            ),
            (
                "pflash_write_block_erase system.flash1: block erase offset:0x0 bytes:0x0\n",
                1,
            ),
            (cut, 11),
        ];
        for (trace, number) in odd {
            let error = read(trace).expect_err(trace);
            assert!(
                matches!(error, FlashWritesError::Line { line, .. } if line == number),
                "{trace}: {error}"
            );
        }
        let endless = "x".repeat(100_000);
        assert!(matches!(
            read(&endless),
            Err(FlashWritesError::Line { line: 1, .. })
        ));
        let huge =
            "pflash_write_block_erase system.flash1: block erase offset:0x0 bytes:0xffffffffffffffff\n";
        assert!(matches!(read(huge), Err(FlashWritesError::TooMany)));
    }

    #[test]
    fn a_document_gives_back_the_writes_that_it_was_made_of() {
        let mut trace = TRACE.to_owned();
        for offset in 0..200 {
            trace.push_str(&format!(
                "pflash_data_write system.flash1: data offset:{offset:#x} size:1 value:0x00ff\n"
            ));
        }
        let writes = read(&trace).expect("a trace");
        let document = writes.to_document();
        assert_eq!(
            document.last().map(|run| run.content.clone()),
            Some(vec![Repeated {
                hex: "ff".into(),
                times: 200
            }])
        );
        assert_eq!(FlashWrites::from_document(&document).expect("sound"), writes);
    }

    #[test]
    fn a_damaged_document_is_refused_before_it_takes_memory() {
        let run = |write_bytes, hex: &str, times| FlashRun {
            offset: 0x40,
            write_bytes,
            erases: false,
            content: vec![Repeated {
                hex: hex.into(),
                times,
            }],
        };
        for damaged in [run(0, "ff", 1), run(1, "f", 1), run(1, "xy", 1)] {
            let error = FlashWrites::from_document(&[damaged]).expect_err("damaged");
            assert!(matches!(error, FlashWritesError::Damaged { offset: 0x40 }));
        }
        let huge = FlashWrites::from_document(&[run(1, "ff", u64::MAX)]);
        assert!(matches!(huge, Err(FlashWritesError::TooMany)));
    }
}
