//! A second process that sees to it that no guest is left standing when the first one is killed.
//!
//! It holds the reading end of a pipe. The first process says that it is done before it closes its end; a pipe that is
//! closed without a word means that it was killed, and then this one recovers.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

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
            .spawn()?;
        Ok(Self { child })
    }

    /// Nothing is left to do.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            let _ = pipe.write_all(DONE);
        }
        let _ = self.child.wait();
    }
}
