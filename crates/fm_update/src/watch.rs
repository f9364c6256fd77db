//! A second process that sees to it that no guest is left standing when the first one is killed.
//!
//! It holds the reading end of a pipe. The first process says that it is done before it closes its end; a pipe that is
//! closed without a word means that it was killed, and then this one recovers.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

/// What is said when nothing is left to do.
pub(crate) const DONE: &[u8] = b"done\n";

/// The second process, from where the first one sees it.
#[derive(Debug)]
pub struct Watch {
    child: Child,
}

impl Watch {
    /// Starts `command`, which is to call [`crate::recover_after`] with its standard input.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What kills the first one, such as Ctrl-C, must not reach it.
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// Leaves what is left to do to it.
    pub(crate) fn hand_over(mut self) {
        drop(self.child.stdin.take());
        // It may outlive us, and an agent outlives it.
        thread::spawn(move || self.child.wait());
    }

    /// Nothing is left to do.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            let _ = pipe.write_all(DONE);
        }
        let _ = self.child.wait();
    }
}
