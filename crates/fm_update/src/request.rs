//! What is asked for.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fm_check::Wording;

use crate::decide::Vouched;
use crate::moment::Moment;

/// What to do to which guest.
#[derive(Debug)]
pub struct Request<'a> {
    /// The guest: a pid, name, uuid, domain or QMP socket.
    pub guest: &'a str,
    /// How.
    pub options: Options<'a>,
}

/// How a guest is updated.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Judge and decide, touch nothing.
    pub dry_run: bool,
    /// A QMP socket of the guest that nobody else is connected to.
    pub monitor: Option<&'a PathBuf>,
    /// libvirt's URI; the system's if absent.
    pub libvirt_uri: Option<&'a str>,
    /// What the user vouches for.
    pub vouched: Vouched,
    /// How long the guest may stand still.
    pub max_pause: Duration,
    /// When it is done.
    pub moment: Moment,
    /// How findings and remedies are put into words.
    pub wording: Wording,
    /// The command that recovers the guest of this record if we are killed.
    pub watcher: Option<&'a dyn Fn(&str) -> Command>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("dry_run", &self.dry_run)
            .field("monitor", &self.monitor)
            .field("vouched", &self.vouched)
            .finish_non_exhaustive()
    }
}
