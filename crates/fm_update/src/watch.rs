//! A second process that sees to it that no guest is left standing when the first one is killed.
//!
//! It holds the reading end of a pipe, and says so before anything begins: from then on somebody is there, and takes no time
//! from the guest's pause to get there. The first process says that it is done before it closes its end; a pipe that is closed
//! without a word means that it was killed, and then this one recovers.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

/// What the second process says when it watches.
pub(crate) const READY: &[u8] = b"ready\n";

/// What is said when nothing is left to do.
pub(crate) const DONE: &[u8] = b"done\n";

/// The second process, from where the first one sees it.
#[derive(Debug)]
pub struct Watch {
    child: Child,
}

impl Watch {
    /// Starts `command`, which is to call [`crate::recover_after`] with its standard input and output, and waits until it
    /// watches.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it does.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What kills the first one, such as Ctrl-C, must not reach it.
            .process_group(0)
            .spawn()?;
        let mut said = [0; READY.len()];
        let heard = match child.stdout.take() {
            Some(mut output) => output.read_exact(&mut said),
            None => Ok(()),
        };
        match heard {
            Ok(()) if said == READY => Ok(Self { child }),
            heard => {
                let _ = child.kill();
                let _ = child.wait();
                Err(heard.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into()))
            }
        }
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
