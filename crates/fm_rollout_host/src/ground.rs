//! What a host is and can do, as far as rollouts need it: so that everything above it can be stopped at every step.

use std::path::Path;
use std::time::Duration;

use fm_adopt::libvirt::DefinedFirmware;
use fm_api::v1::fleet::{CertificateSet, Digest};

use crate::Result;

/// A guest's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number and when it started.
    pub(crate) id: (u32, u64),
    /// What it runs.
    pub(crate) code: Option<Digest>,
    /// How often its firmware has booted.
    pub(crate) boots: Option<u32>,
    /// The file of its variables.
    pub(crate) vars: Option<std::path::PathBuf>,
}

/// What was judged here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It goes well; with the variables converted, if so.
    Well {
        /// Whether they are.
        converts: bool,
    },
    /// It does not, or nobody knows.
    Not(String),
    /// Nobody can tell now.
    Later(String),
}

/// What a guest's keys are, as far as certificates go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They have them.
    Have,
    /// They gain them.
    Gain,
    /// They are not to be changed, or nobody can tell.
    Not(String),
}

/// What became of an attempt to give a guest a build for its next reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// Its memory has it.
    Pending,
    /// It must not be done.
    Not(String),
    /// It cannot be done at this moment.
    Later(String),
}

/// Where an update of a guest's memory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    /// The guest has not reset since.
    Pending,
    /// It has booted what it was given.
    Done,
    /// It was taken back, or somebody has put in something else.
    Gone,
}

/// This host.
pub(crate) trait Ground {
    /// How long this host runs, for spans of time.
    fn monotonic(&self) -> Duration;
    /// The minute of the day, in UTC.
    fn minute_of_day(&self) -> u32;
    /// What the guest's definition says; nothing if it has none here.
    fn defined(&self, guest: &str) -> Result<Option<DefinedFirmware>>;
    /// The guest's process; nothing if it is off.
    fn process(&self, guest: &str) -> Result<Option<Process>>;
    /// Whether the store has a build, which is fetched if need be.
    fn has(&self, build: &Digest) -> Result<bool>;
    /// What the change will do to this guest.
    fn judge(&self, guest: &DefinedFirmware, build: &Digest) -> Result<Judged>;
    /// Keeps a build, for this reason.
    fn keep(&self, build: &Digest, why: &str) -> Result<()>;
    /// Keeps it no longer for that reason, nor for the guest unless its definition names it.
    fn let_go(&self, guest: &str, build: &Digest, why: &str) -> Result<()>;
    /// The bytes of a file of variables; nothing if it is not there.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>>;
    /// Where the copy of its variables lies.
    fn copy_of(&self, guest: &str) -> std::path::PathBuf;
    /// Makes `to` of the variables in `from`, in the layout of the build.
    fn convert(&self, from: &Path, to: &Path, build: &Digest) -> Result<()>;
    /// What the guest's keys are.
    fn keys(&self, guest: &DefinedFirmware, certificates: CertificateSet) -> Result<Keys>;
    /// Makes `to` of the variables in `from`, whose keys gain the certificates; else why that cannot be.
    fn enroll(&self, from: &Path, to: &Path, certificates: CertificateSet) -> Result<Option<String>>;
    /// Gives the guest's memory a build, judged on what it is now.
    fn give(&self, guest: &str, build: &Digest) -> Result<Given>;
    /// Where the last update of its memory to this build stands; nothing if there was none.
    fn given(&self, guest: &str, build: &Digest) -> Result<Option<Update>>;
    /// Gives its memory back what it had before an update that it has not booted.
    fn take_back(&self, guest: &str) -> Result<()>;
    /// Puts the variables in `copy` in place of those in `path`, which are kept as a backup.
    fn restore(&self, path: &Path, copy: &Path) -> Result<()>;
    /// Removes a file that the guest does not have any more.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Lets the definition name a build and, if given, another file of variables.
    fn switch(&self, guest: &str, build: &Digest, vars: Option<&Path>) -> Result<()>;
    /// Asks the guest to shut down.
    fn shut_down(&self, guest: &str) -> Result<()>;
    /// Starts it.
    fn start(&self, guest: &str) -> Result<()>;
}
