//! `virsh`, as far as we need it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_remedy::{Failure, Remedy};

use crate::{Domain, Identity, METADATA_URI, SavedError};

/// What can fail between libvirt and us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `virsh` cannot be run.
    #[error("cannot run virsh")]
    NoVirsh {
        /// The system's reason.
        source: std::io::Error,
    },
    /// libvirt refused.
    #[error("virsh {command} failed: {said}")]
    Virsh {
        /// What was asked.
        command: String,
        /// Its answer, in one line.
        said: String,
    },
    /// The file that hands a definition to `virsh` cannot be written.
    #[error("cannot write a definition to a temporary file")]
    Definition {
        /// The system's reason.
        source: std::io::Error,
    },
    /// XML of libvirt's cannot be read.
    #[error("the definition of domain {domain} cannot be read")]
    Xml {
        /// Whose.
        domain: String,
        /// Why.
        source: SavedError,
    },
}

impl Failure for Error {
    fn remedy(&self) -> Option<Remedy> {
        Some(match self {
            Self::NoVirsh { .. } => "install libvirt's clients (Debian's package is libvirt-clients)".into(),
            Self::Virsh { .. } => "see whether libvirt answers: `virsh -c qemu:///system list --all`".into(),
            Self::Definition { .. } | Self::Xml { .. } => return None,
        })
    }
}

/// A connection, by its URI.
#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
}

/// What `virsh dominfo` says.
#[derive(Debug, Clone)]
pub struct Info {
    pub name: String,
    pub uuid: String,
    pub is_running: bool,
    pub is_persistent: bool,
    /// The file in which libvirt keeps its memory until the next start, if it does.
    pub managed_save: Option<PathBuf>,
}

impl Virsh {
    pub fn new(uri: Option<&str>) -> Self {
        Self {
            uri: uri.unwrap_or("qemu:///system").to_owned(),
        }
    }

    /// `virsh` with these words, in the language that we read.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("virsh");
        // A daemon that hangs is given up after some seconds.
        command
            .env("LC_ALL", "C")
            .args(["-q", "-k", "5", "-K", "3", "-c", &self.uri])
            .args(words)
            .stdin(std::process::Stdio::null());
        command
    }

    pub fn ask(&self, words: &[&str]) -> Result<String, Error> {
        let output = self
            .command(words)
            .output()
            .map_err(|source| Error::NoVirsh { source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said
            .lines()
            .map(|line| line.trim().trim_start_matches("error: "))
            .filter(|line| !line.is_empty())
            .collect();
        Err(Error::Virsh {
            command: words.first().copied().unwrap_or_default().to_owned(),
            said: said.join("; "),
        })
    }

    /// The names of all domains.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        self.listed("--all")
    }

    /// The names of the domains that are off.
    pub fn names_off(&self) -> Result<Vec<String>, Error> {
        self.listed("--inactive")
    }

    fn listed(&self, which: &str) -> Result<Vec<String>, Error> {
        let list = self.ask(&["list", which, "--name"])?;
        Ok(list
            .lines()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The UUIDs of all domains.
    pub fn uuids(&self) -> Result<Vec<String>, Error> {
        let list = self.ask(&["list", "--all", "--uuid"])?;
        Ok(list.split_whitespace().map(str::to_owned).collect())
    }

    /// Its state and the reason for it, such as `paused (migrating)`; nothing if libvirt does not know it.
    pub fn state(&self, uuid: &str) -> Option<String> {
        let state = self.ask(&["domstate", "--reason", "--domain", uuid]).ok()?;
        Some(state.trim().to_owned())
    }

    pub fn info(&self, domain: &str) -> Result<Info, Error> {
        let text = self.ask(&["dominfo", "--domain", domain])?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
                .unwrap_or_default()
        };
        let name = field("Name");
        Ok(Info {
            managed_save: (field("Managed save") == "yes").then(|| managed_save(name)),
            name: name.to_owned(),
            uuid: field("UUID").to_owned(),
            is_running: !matches!(field("State"), "shut off" | "crashed" | ""),
            is_persistent: field("Persistent") == "yes",
        })
    }

    /// The definition that the next cold boot uses, with its secrets: they would be lost otherwise.
    pub fn inactive(&self, uuid: &str) -> Result<String, Error> {
        self.ask(&["dumpxml", "--inactive", "--security-info", "--domain", uuid])
    }

    /// The definition of a domain that is off, without its secrets.
    pub fn off(&self, domain: &str) -> Result<String, Error> {
        self.ask(&["dumpxml", "--inactive", "--domain", domain])
    }

    /// What runs.
    pub fn live(&self, uuid: &str) -> Result<String, Error> {
        self.ask(&["dumpxml", "--domain", uuid])
    }

    pub fn define(&self, xml: &str) -> Result<(), Error> {
        // Only its owner may read it: it may hold passwords.
        let failed = |source| Error::Definition { source };
        let mut file = tempfile::Builder::new()
            .prefix("flashmoor-define-")
            .suffix(".xml")
            .tempfile()
            .map_err(failed)?;
        file.write_all(xml.as_bytes()).map_err(failed)?;
        let path = file.path().display().to_string();
        self.ask(&["define", "--file", &path])?;
        Ok(())
    }

    /// Says in a running domain which firmware it runs.
    pub fn stamp(&self, uuid: &str, element: &str) -> Result<(), Error> {
        self.metadata(uuid, &["--key", "flashmoor", "--set", element])
    }

    /// Takes that away.
    pub fn unstamp(&self, uuid: &str) -> Result<(), Error> {
        self.metadata(uuid, &["--remove"])
    }

    fn metadata(&self, uuid: &str, words: &[&str]) -> Result<(), Error> {
        let fixed = ["metadata", "--domain", uuid, "--uri", METADATA_URI, "--live"];
        self.ask(&[&fixed, words].concat()).map(drop)
    }
}

/// Where the system's libvirt keeps the memory of a domain that was saved to be started again
/// (`src/qemu/qemu_driver.c:qemuDomainManagedSavePath`).
pub fn managed_save(domain: &str) -> PathBuf {
    Path::new("/var/lib/libvirt/qemu/save").join(format!("{domain}.save"))
}

/// What a running domain says that it runs; nothing if it is not adopted.
pub fn stamped(virsh: &Virsh, uuid: &str) -> Result<Option<Identity>, Error> {
    identity(uuid, &virsh.live(uuid)?)
}

/// The same of its definition.
pub fn defined(virsh: &Virsh, uuid: &str) -> Result<Option<Identity>, Error> {
    identity(uuid, &virsh.inactive(uuid)?)
}

fn identity(uuid: &str, xml: &str) -> Result<Option<Identity>, Error> {
    let domain = Domain::parse(xml).map_err(|source| Error::Xml {
        domain: uuid.to_owned(),
        source,
    })?;
    Ok(domain.identity)
}
