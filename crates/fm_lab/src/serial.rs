//! A guest's serial line: everything it prints is kept, and can be waited for.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::PATIENCE;
use crate::failure::{GuestError as Error, GuestResult as Result};

/// What the UEFI shell prints when it waits for a command: no drive mapped, or standing on one.
const PROMPTS: [&str; 2] = ["Shell> ", ":\\> "];
/// What firmware says that found nothing to boot.
const BOOT_MANAGER: &str = "enter the Boot Manager Menu";

/// The connected line. A thread of its own drains it, so that a guest never blocks on printing.
#[derive(Debug)]
pub struct Serial {
    stream: UnixStream,
    seen: Arc<(Mutex<String>, Condvar)>,
    /// How much of `seen` earlier waits have used up.
    used: usize,
}

impl Serial {
    /// Connects to the socket that a guest's first serial port listens at.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let file = |source| Error::File {
            path: socket.to_owned(),
            source,
        };
        let stream = UnixStream::connect(socket).map_err(file)?;
        let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (mut input, shared) = (stream.try_clone().map_err(file)?, Arc::clone(&seen));
        thread::spawn(move || {
            let (mut chunk, mut plain) = ([0; 4096], PlainText::default());
            while let Ok(len) = input.read(&mut chunk) {
                let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                let text: String = bytes.iter().filter_map(|byte| plain.push(*byte)).collect();
                shared
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
                shared.1.notify_all();
            }
        });
        Ok(Self {
            stream,
            seen,
            used: 0,
        })
    }

    /// Types `text`.
    ///
    /// # Errors
    /// If the line is gone.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let written = self.stream.write_all(text.as_bytes());
        written.map_err(|source| Error::File {
            path: "serial line".into(),
            source,
        })
    }

    /// Waits until one of `patterns` appears after what earlier waits used up, and returns everything up
    /// to its end.
    ///
    /// # Errors
    /// [`Error::Waited`] if none appears within [`PATIENCE`].
    pub fn expect(&mut self, patterns: &[&str]) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let fresh = seen.get(self.used..).unwrap_or_default();
            let end = patterns
                .iter()
                .filter_map(|text| Some(fresh.find(text)? + text.len()))
                .min();
            if let Some(end) = end {
                let text = fresh.get(..end).unwrap_or_default().to_owned();
                self.used += end;
                return Ok(text);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail: String = fresh.chars().rev().take(400).collect();
                return Err(Error::Waited {
                    what: patterns.join(" or "),
                    seen: tail.chars().rev().collect(),
                });
            }
            seen = self
                .seen
                .1
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the end of a boot: whether that is the firmware's built-in shell, or the boot manager, which waits for a
    /// key. OVMF was seen, once in some hundred boots, to start its shell with `Device Error`; a reset mends it.
    ///
    /// # Errors
    /// If it ends in neither.
    pub fn boot_once(&mut self) -> Result<bool> {
        let seen = self.expect(&["Press ESC in", PROMPTS[0], PROMPTS[1], BOOT_MANAGER])?;
        if seen.ends_with("ESC in") {
            // One alone could be the start of a sequence, so firmware waits two seconds for what follows
            // (edk2 `TerminalConIn.c`, `UnicodeToEfiKey`); two are one key at once.
            self.send("\x1b\x1b")?;
            self.expect(&PROMPTS)?;
        }
        Ok(!seen.ends_with(BOOT_MANAGER))
    }

    /// Waits for the end of a boot that begins a script on the guest's disk: whether the shell counts down to it, or the
    /// firmware went on to its boot manager, as in [`Self::boot_once`].
    ///
    /// # Errors
    /// If it does neither.
    pub fn script_once(&mut self) -> Result<bool> {
        let seen = self.expect(&["Press ESC in", BOOT_MANAGER])?;
        Ok(!seen.ends_with(BOOT_MANAGER))
    }

    /// Runs one command in the UEFI shell and returns what it printed, the command's echo left out.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn shell(&mut self, command: &str) -> Result<String> {
        self.send(&format!("{command}\r"))?;
        let output = self.expect(&PROMPTS)?;
        let body = output.split_once('\n').map_or("", |(_echo, rest)| rest);
        let body = PROMPTS
            .iter()
            .find_map(|prompt| body.strip_suffix(prompt))
            .unwrap_or(body);
        Ok(body.trim_end().to_owned())
    }

    /// Everything that has come so far.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Drops terminal control sequences (`ESC [ … letter`) and everything that is not ASCII text.
#[derive(Debug, Default)]
struct PlainText {
    escape: Escape,
}

#[derive(Debug, Default, PartialEq)]
enum Escape {
    #[default]
    None,
    Started,
    Parameters,
}

impl PlainText {
    fn push(&mut self, byte: u8) -> Option<char> {
        match (&self.escape, byte) {
            (_, 0x1b) => self.escape = Escape::Started,
            (Escape::Started, b'[') => self.escape = Escape::Parameters,
            (Escape::Started, _) => self.escape = Escape::None,
            (Escape::Parameters, b'@'..=b'~') => self.escape = Escape::None,
            (Escape::Parameters, _) => {}
            (Escape::None, b'\n' | b' '..=b'~') => return Some(char::from(byte)),
            (Escape::None, _) => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::PlainText;

    #[test]
    fn control_sequences_vanish_and_text_stays() {
        let mut plain = PlainText::default();
        let bytes = b"\x1b[2J\x1b[01;01H\x1b[40mShell> \x1b[37mver\r\nUEFI\x00 v2.70\x1b[1m!";
        let text: String = bytes.iter().filter_map(|byte| plain.push(*byte)).collect();
        assert_eq!(text, "Shell> ver\nUEFI v2.70!");
    }
}
