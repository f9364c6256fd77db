//! A guest's serial line: everything it prints is kept, and can be waited for.
//!
//! edk2's serial driver gives a character up that the port has not taken for a second, and loses what it would have said
//! or takes its console for broken. A socket of QEMU's holds 278 characters; then QEMU tries again from its main loop,
//! which waits for the very lock that the polling firmware holds most of the time. A reader that is some milliseconds late
//! so costs a character, or the boot. A pipe holds as many as we say.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};

use crate::PATIENCE;
use crate::failure::{GuestError as Error, GuestResult as Result};

/// What the UEFI shell prints when it waits for a command: no drive mapped, or standing on one.
const PROMPTS: [&str; 2] = ["Shell> ", ":\\> "];
/// What firmware says that found nothing to boot.
const BOOT_MANAGER: &str = "enter the Boot Manager Menu";
/// What a pipe holds that nobody has read yet: as much as the kernel gives anybody.
const PIPE_BYTES: usize = 1 << 20;

/// The connected line. A thread of its own drains it, so that a guest never blocks on printing.
#[derive(Debug)]
pub struct Serial {
    keyboard: File,
    seen: Arc<(Mutex<String>, Condvar)>,
    /// How much of `seen` earlier waits have used up.
    used: usize,
}

impl Serial {
    /// Makes the two named pipes of a guest that is about to be started with `-serial pipe:PATH`.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let [keyboard, screen] = [".in", ".out"].map(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        });
        for pipe in [&keyboard, &screen] {
            make_pipe(pipe).map_err(|source| Error::File {
                path: pipe.clone(),
                source,
            })?;
        }
        let open = |path: &PathBuf, flags: OFlags| {
            let opened = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
            opened.map_err(|source| Error::File {
                path: path.clone(),
                source: source.into(),
            })
        };
        // Opened for both, as QEMU does too, neither waits for the other.
        let keyboard = open(&keyboard, OFlags::RDWR)?;
        let output = open(&screen, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let sized = rustix::pipe::fcntl_setpipe_size(&output, PIPE_BYTES);
        sized.map_err(|source| Error::File {
            path: screen,
            source: source.into(),
        })?;
        Ok(Self::over(output, keyboard))
    }

    /// Connects to the socket that a guest's first serial port listens at. For want of room in it, characters may be lost.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let file = |source| Error::File {
            path: socket.to_owned(),
            source,
        };
        let stream = UnixStream::connect(socket).map_err(file)?;
        let output = stream.try_clone().map_err(file)?;
        Ok(Self::over(output.into(), stream.into()))
    }

    fn over(output: OwnedFd, keyboard: OwnedFd) -> Self {
        let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            let (mut output, mut chunk, mut plain) = (File::from(output), [0; 4096], PlainText::default());
            // A pipe that QEMU has not opened yet would read as ended.
            while let Ok(()) = wait_for_text(&output)
                && let Ok(len @ 1..) = output.read(&mut chunk)
            {
                let bytes = chunk.get(..len).unwrap_or_default();
                let text: String = bytes.iter().filter_map(|byte| plain.push(*byte)).collect();
                shared
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
                shared.1.notify_all();
            }
        });
        Self {
            keyboard: keyboard.into(),
            seen,
            used: 0,
        }
    }

    /// Types `text`.
    ///
    /// # Errors
    /// If the line is gone.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let written = self.keyboard.write_all(text.as_bytes());
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
    /// key.
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

/// A named pipe, in place of what an earlier guest has left.
fn make_pipe(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(rustix::fs::mkfifoat(
        rustix::fs::CWD,
        path,
        Mode::RUSR | Mode::WUSR,
    )?)
}

fn wait_for_text(output: &impl AsFd) -> std::io::Result<()> {
    let mut waited = [PollFd::new(output, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut waited, None))?;
    Ok(())
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
