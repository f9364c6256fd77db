//! `virsh`, as far as we need it: libvirt is asked and told things by its own program, which needs no library of ours.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fm_remedy::{Failure, Remedy};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Domain, DomainXmlError, Identity, METADATA_URI};

/// What can fail between `virsh` and us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VirshError {
    /// `virsh` cannot be run.
    #[error("cannot run virsh")]
    NoVirsh {
        /// The system's reason.
        source: std::io::Error,
    },
    /// libvirt refused.
    #[error("virsh {command} failed: {said}")]
    Refused {
        /// What was asked.
        command: String,
        /// Its answer, in one line.
        said: String,
    },
    /// libvirt did not answer.
    #[error("virsh {command} had no answer within {} s", within.as_secs())]
    Silent {
        /// What was asked.
        command: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// What `virsh` is to read cannot be written.
    #[error("cannot write a file in {}", path.display())]
    File {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// libvirt's XML cannot be read.
    #[error("the definition of domain {domain} cannot be read")]
    Xml {
        /// Whose.
        domain: String,
        /// Why.
        source: DomainXmlError,
    },
}

impl Failure for VirshError {
    fn remedy(&self) -> Option<Remedy> {
        Some(Remedy::advice(match self {
            Self::NoVirsh { .. } => "install libvirt's clients (Debian: libvirt-clients)",
            Self::Refused { .. } | Self::Silent { .. } => {
                "see whether libvirt answers: `virsh -c qemu:///system list --all`"
            }
            Self::File { .. } | Self::Xml { .. } => return None,
        }))
    }
}

/// The start of a guest whose memory is allocated beforehand may take minutes; a daemon that hangs before it greets would take
/// for ever.
const LONGEST_ANSWER: Duration = Duration::from_secs(300);

/// A connection, by its URI.
#[derive(Debug, Clone)]
pub struct Virsh {
    uri: String,
}

/// What `virsh dominfo` says.
#[derive(Debug, Clone)]
pub struct DomainInfo {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it has a definition that outlives it.
    pub is_persistent: bool,
    /// The file in which libvirt keeps its memory until the next start, if it does.
    pub managed_save: Option<PathBuf>,
}

impl Virsh {
    /// The libvirt at `uri`; nothing for the system's.
    #[must_use]
    pub fn new(uri: Option<&str>) -> Self {
        Self {
            uri: uri.unwrap_or("qemu:///system").to_owned(),
        }
    }

    /// `virsh` with these words, in the language that we read.
    #[must_use]
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

    /// What it answers to these words.
    ///
    /// # Errors
    /// [`VirshError::NoVirsh`], [`VirshError::Refused`] or [`VirshError::Silent`].
    pub fn ask(&self, words: &[&str]) -> Result<String, VirshError> {
        let output = output(&mut self.command(words), LONGEST_ANSWER)
            .map_err(|source| VirshError::NoVirsh { source })?
            .ok_or_else(|| VirshError::Silent {
                command: words.first().copied().unwrap_or_default().to_owned(),
                within: LONGEST_ANSWER,
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said
            .lines()
            .map(|line| line.trim().trim_start_matches("error: "))
            .filter(|line| !line.is_empty())
            .collect();
        Err(VirshError::Refused {
            command: words.first().copied().unwrap_or_default().to_owned(),
            said: said.join("; "),
        })
    }

    /// The names of all domains.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn names(&self) -> Result<Vec<String>, VirshError> {
        self.listed("--all")
    }

    /// The names of the domains that are off.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn names_off(&self) -> Result<Vec<String>, VirshError> {
        self.listed("--inactive")
    }

    fn listed(&self, which: &str) -> Result<Vec<String>, VirshError> {
        let list = self.ask(&["list", which, "--name"])?;
        Ok(list
            .lines()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The UUIDs of all domains.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn uuids(&self) -> Result<Vec<String>, VirshError> {
        let list = self.ask(&["list", "--all", "--uuid"])?;
        Ok(list.split_whitespace().map(str::to_owned).collect())
    }

    /// Its state and the reason for it, such as `paused (migrating)`; nothing if libvirt does not know it.
    #[must_use]
    pub fn state(&self, uuid: &str) -> Option<String> {
        let state = self.ask(&["domstate", "--reason", "--domain", uuid]).ok()?;
        Some(state.trim().to_owned())
    }

    /// The process in which libvirt runs a domain, as its own daemon wrote it down where nobody else writes; nothing if it
    /// does not run, or runs on another host. What a process says of itself anybody can say.
    #[must_use]
    pub fn pid(&self, uuid: &str) -> Option<u32> {
        let folder = self.state_folder()?;
        let name = self.ask(&["domname", "--domain", uuid]).ok()?;
        let name = name.trim_end_matches('\n');
        if name.is_empty() || name.contains('/') {
            return None;
        }
        // libvirt `src/util/virpidfile.c` (`virPidFileBuildPath`)
        let file = File::open(folder.join(format!("{name}.pid"))).ok()?;
        let mut pid = String::new();
        file.take(32).read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }

    /// Where the daemon of this connection keeps what runs (libvirt `src/qemu/qemu_conf.c`, `virQEMUDriverConfigNew`);
    /// nothing for one on another host.
    fn state_folder(&self) -> Option<PathBuf> {
        let (scheme, rest) = self.uri.split_once("://")?;
        if !matches!(scheme, "qemu" | "qemu+unix") {
            return None;
        }
        let (host, path) = rest.split_once('/')?;
        match path.split('?').next() {
            Some("system") if host.is_empty() => Some("/run/libvirt/qemu".into()),
            Some("session") if host.is_empty() => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)?;
                Some(runtime.join("libvirt/qemu/run"))
            }
            _ => None,
        }
    }

    /// What libvirt knows of a domain, by name or UUID.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn info(&self, domain: &str) -> Result<DomainInfo, VirshError> {
        let text = self.ask(&["dominfo", "--domain", domain])?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
                .unwrap_or_default()
        };
        let name = field("Name");
        Ok(DomainInfo {
            managed_save: (field("Managed save") == "yes").then(|| managed_save(name)),
            name: name.to_owned(),
            uuid: field("UUID").to_owned(),
            is_running: !matches!(field("State"), "shut off" | "crashed" | ""),
            is_persistent: field("Persistent") == "yes",
        })
    }

    /// The definition that the next cold boot uses, with its secrets: they would be lost otherwise.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn inactive(&self, uuid: &str) -> Result<String, VirshError> {
        self.ask(&["dumpxml", "--inactive", "--security-info", "--domain", uuid])
    }

    /// The definition of a domain that is off, without its secrets.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn off(&self, domain: &str) -> Result<String, VirshError> {
        self.ask(&["dumpxml", "--inactive", "--domain", domain])
    }

    /// What runs.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn live(&self, uuid: &str) -> Result<String, VirshError> {
        self.ask(&["dumpxml", "--domain", uuid])
    }

    /// Defines a domain, or defines it anew.
    ///
    /// # Errors
    /// As [`Virsh::ask`], or if there is no room for a file.
    pub fn define(&self, xml: &str) -> Result<(), VirshError> {
        // Only its owner may read it: it may hold passwords.
        let failed = |source| VirshError::File {
            path: std::env::temp_dir(),
            source,
        };
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

    /// Asks a running domain to shut down, and does not wait for it.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn shut_down(&self, uuid: &str) -> Result<(), VirshError> {
        self.ask(&["shutdown", "--domain", uuid]).map(drop)
    }

    /// Starts a domain that is off.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn start(&self, uuid: &str) -> Result<(), VirshError> {
        self.ask(&["start", "--domain", uuid]).map(drop)
    }

    /// Says in a running domain which firmware it runs.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn stamp(&self, uuid: &str, element: &str) -> Result<(), VirshError> {
        self.metadata(uuid, &["--key", "flashmoor", "--set", element])
    }

    /// Takes that away.
    ///
    /// # Errors
    /// As [`Virsh::ask`].
    pub fn unstamp(&self, uuid: &str) -> Result<(), VirshError> {
        self.metadata(uuid, &["--remove"])
    }

    /// What a running domain says that it runs; nothing if it is not adopted.
    ///
    /// # Errors
    /// As [`Virsh::ask`], or if the answer is no domain.
    pub fn stamped(&self, uuid: &str) -> Result<Option<Identity>, VirshError> {
        identity(uuid, &self.live(uuid)?)
    }

    /// The same of its definition.
    ///
    /// # Errors
    /// As [`Virsh::stamped`].
    pub fn defined(&self, uuid: &str) -> Result<Option<Identity>, VirshError> {
        identity(uuid, &self.inactive(uuid)?)
    }

    /// Whether a running domain's guest agent answers: it is asked for the time.
    #[must_use]
    pub fn agent_answers(&self, uuid: &str) -> bool {
        self.ask(&["domtime", "--domain", uuid]).is_ok()
    }

    fn metadata(&self, uuid: &str, words: &[&str]) -> Result<(), VirshError> {
        let fixed = ["metadata", "--domain", uuid, "--uri", METADATA_URI, "--live"];
        self.ask(&[&fixed, words].concat()).map(drop)
    }
}

/// Where the system's libvirt keeps the memory of a domain that was saved to be started again
/// (`src/qemu/qemu_driver.c:qemuDomainManagedSavePath`).
#[must_use]
pub fn managed_save(domain: &str) -> PathBuf {
    Path::new("/var/lib/libvirt/qemu/save").join(format!("{domain}.save"))
}

fn identity(uuid: &str, xml: &str) -> Result<Option<Identity>, VirshError> {
    let domain = Domain::parse(xml).map_err(|source| VirshError::Xml {
        domain: uuid.to_owned(),
        source,
    })?;
    Ok(domain.identity)
}

/// What a program prints until it ends; nothing if it has not ended within `limit`, and it is ended then.
fn output(command: &mut Command, limit: Duration) -> std::io::Result<Option<Output>> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It is our child, and not waited for yet: its number is its own.
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let (ended, waits) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let is_over = waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if is_over {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
        is_over
    });
    let output = child.wait_with_output();
    drop(ended);
    let was_ended = watch.join().unwrap_or(false);
    output.map(|output| (!was_ended).then_some(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended_and_one_that_does_is_heard() {
        let mut silent = Command::new("sleep");
        assert!(
            output(silent.arg("1000"), Duration::from_millis(10))
                .unwrap()
                .is_none()
        );
        let mut speaks = Command::new("sh");
        let said = output(
            speaks.args(["-c", "echo yes; echo no >&2; exit 3"]),
            LONGEST_ANSWER,
        );
        let said = said.unwrap().unwrap();
        assert_eq!(
            (said.stdout.as_slice(), said.stderr.as_slice()),
            (&b"yes\n"[..], &b"no\n"[..])
        );
        assert_eq!(said.status.code(), Some(3));
        assert!(output(&mut Command::new("/nowhere"), LONGEST_ANSWER).is_err());
    }

    #[test]
    fn only_a_daemon_of_this_host_says_which_process_is_whose() {
        let folder = |uri: &str| Virsh::new(Some(uri)).state_folder();
        let system = Some(PathBuf::from("/run/libvirt/qemu"));
        assert_eq!(Virsh::new(None).state_folder(), system);
        assert_eq!(folder("qemu+unix:///system?socket=/a/b"), system);
        for elsewhere in [
            "qemu+tls://host/system",
            "qemu+ssh://root@host/system",
            "test:///default",
            "qemu://host/system",
        ] {
            assert_eq!(folder(elsewhere), None, "{elsewhere}");
        }
    }
}
