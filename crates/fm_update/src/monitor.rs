//! Who stops a guest and lets it go on: a QMP monitor that nobody else has, or libvirt.
//!
//! | | QMP | libvirt |
//! |---|---|---|
//! | stop, go on | `stop`, `cont` (QEMU `qapi/misc.json`) | `virDomainSuspend`, `virDomainResume`, which return when it stands or runs |
//! | run state | `query-status` | `virDomainGetState` |
//! | jobs | `query-migrate`, `query-jobs`, `query-block-jobs` | `virDomainGetJobInfo`, `virDomainGetBlockJobInfo` |
//! | processors | `info registers -a` of the human monitor | the guest agent (`virDomainGetTime`), else that command, by `virDomainQemuMonitorCommand`, which taints the domain (`custom-monitor`) |

use std::path::{Path, PathBuf};
use std::time::Duration;

use fm_host::Guest;
use fm_host::processors::{self, Processors};
use fm_host::qmp::Client;
use fm_host::qmp::commands::{Cont, Cpu, QueryCpusFast, QueryMigrate, QueryStatus, Stop};
use fm_libvirt::Virsh;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// A QEMU that greets does so at once; one that serves another client never does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A guest that is stopped waits for its disks to be flushed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a guest's monitor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "monitor", rename_all = "snake_case")]
pub enum Place {
    /// A QMP socket.
    Qmp {
        /// Its path.
        socket: PathBuf,
    },
    /// libvirt's.
    Libvirt {
        /// Its URI; the system's if absent.
        uri: Option<String>,
        /// The domain.
        uuid: String,
    },
}

/// A guest's monitor, connected.
#[derive(Debug)]
pub(crate) enum Monitor {
    Qmp(Box<Client>),
    Libvirt { virsh: Virsh, uuid: String },
}

impl Monitor {
    /// Connects to it; a socket that another QEMU answers at is none of the guest's.
    pub(crate) fn open(place: &Place, guest: &Guest) -> Result<Self> {
        Ok(match place {
            Place::Qmp { socket } => Self::qmp(socket, guest)?,
            Place::Libvirt { uri, uuid } => Self::Libvirt {
                virsh: Virsh::new(uri.as_deref()),
                uuid: uuid.clone(),
            },
        })
    }

    fn qmp(socket: &Path, guest: &Guest) -> Result<Self> {
        let mut client = Client::connect(socket, CONNECT_TIMEOUT)?;
        client.set_timeout(ANSWER_TIMEOUT);
        // Who listens may be somebody in between: whose threads run its processors is the guest.
        let processors = client.ask(&QueryCpusFast)?;
        let is_its = |cpu: &Cpu| guest.process().has_thread(cpu.thread_id);
        match !processors.is_empty() && processors.iter().all(is_its) {
            true => Ok(Self::Qmp(Box::new(client))),
            false => Err(Error::OtherGuest {
                socket: socket.to_owned(),
                pid: guest.pid(),
            }),
        }
    }

    /// Its run state by QEMU's word; libvirt's words for the same.
    pub(crate) fn run_state(&mut self) -> Result<String> {
        match self {
            Self::Qmp(client) => Ok(client.ask(&QueryStatus)?.status.to_string()),
            Self::Libvirt { virsh, uuid } => Ok(virsh
                .state(uuid)
                .map(|state| state.split(" (").next().unwrap_or_default().to_owned())
                .unwrap_or_default()),
        }
    }

    /// Whether a migration runs, a save, or a snapshot of memory: what may not even begin while bytes are exchanged.
    pub(crate) fn migration(&mut self) -> Result<Option<String>> {
        match self {
            Self::Qmp(client) => {
                let status = client.ask(&QueryMigrate)?.status;
                Ok((!status.is_over()).then(|| format!("migration: {status}")))
            }
            Self::Libvirt { virsh, uuid } => {
                let said = virsh.ask(&["domjobinfo", "--domain", uuid])?;
                Ok(job_of(&said))
            }
        }
    }

    /// All that runs and reads or sends the guest's memory or disks.
    pub(crate) fn jobs(&mut self) -> Result<Vec<String>> {
        let mut jobs: Vec<String> = self.migration()?.into_iter().collect();
        match self {
            Self::Qmp(client) => {
                for command in ["query-jobs", "query-block-jobs"] {
                    // What an older QEMU does not know it does not run.
                    let Ok(reply) = client.execute(command, None) else {
                        continue;
                    };
                    jobs.extend(running_jobs(&reply));
                }
            }
            Self::Libvirt { virsh, uuid } => {
                let disks = virsh.ask(&["domblklist", "--domain", uuid])?;
                for disk in disks.lines().filter_map(|line| line.split_whitespace().next()) {
                    let said = virsh.ask(&["blockjob", "--domain", uuid, "--path", disk, "--info"]);
                    let said = said.unwrap_or_default();
                    if said.contains('%') {
                        jobs.push(format!("{disk}: {}", said.trim()));
                    }
                }
            }
        }
        jobs.sort();
        jobs.dedup();
        Ok(jobs)
    }

    /// Where its processors are.
    pub(crate) fn processors(&mut self, arch: &str) -> Processors {
        match self {
            Self::Qmp(client) => Processors::look(client, arch),
            Self::Libvirt { virsh, uuid } => {
                if virsh.ask(&["domtime", "--domain", uuid]).is_ok() {
                    return Processors::SystemAnswers;
                }
                let words = [
                    "qemu-monitor-command",
                    "--domain",
                    uuid,
                    "--hmp",
                    "info registers -a",
                ];
                virsh
                    .ask(&words)
                    .map_or(Processors::Unseen, |text| processors::parse(arch, &text))
            }
        }
    }

    /// Returns when the guest stands still; whether it does so by this. QEMU tells a guest that stops, and says nothing of
    /// one that stood already. libvirt does not say.
    pub(crate) fn stop(&mut self) -> Result<bool> {
        match self {
            Self::Qmp(client) => {
                client.drain_events();
                client.ask(&Stop)?;
                Ok(client.drain_events().iter().any(|event| event.name == "STOP"))
            }
            Self::Libvirt { virsh, uuid } => {
                virsh.ask(&["suspend", "--domain", uuid])?;
                Ok(true)
            }
        }
    }

    /// Returns when it goes on.
    pub(crate) fn cont(&mut self) -> Result<()> {
        match self {
            Self::Qmp(client) => client.ask(&Cont).map(drop).map_err(Error::from),
            Self::Libvirt { virsh, uuid } => Ok(virsh.ask(&["resume", "--domain", uuid]).map(drop)?),
        }
    }
}

/// The jobs of `query-jobs` and `query-block-jobs` that have not ended.
fn running_jobs(reply: &Value) -> Vec<String> {
    let text = |job: &Value, key: &str| job.get(key).and_then(Value::as_str).map(str::to_owned);
    reply
        .as_array()
        .into_iter()
        .flatten()
        .filter(|job| {
            !matches!(
                job.get("status").and_then(Value::as_str),
                Some("concluded" | "null" | "aborting")
            )
        })
        .map(|job| {
            let id = text(job, "id").or_else(|| text(job, "device"));
            format!(
                "{}: {}",
                text(job, "type").unwrap_or_else(|| "job".into()),
                id.unwrap_or_default()
            )
        })
        .collect()
}

/// What `virsh domjobinfo` says runs: `Job type: None` is nothing, `Operation: …` is its name.
fn job_of(said: &str) -> Option<String> {
    let field = |name: &str| {
        said.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let kind = field("Job type:")?;
    if matches!(kind.as_str(), "None" | "Completed" | "Failed" | "Cancelled") {
        return None;
    }
    Some(field("Operation:").unwrap_or(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_that_have_ended_do_not_count() {
        let reply = json!([
            {"id": "b0", "type": "backup", "status": "running"},
            {"id": "m0", "type": "mirror", "status": "concluded"},
            {"device": "d0", "type": "commit"},
            17,
        ]);
        assert_eq!(running_jobs(&reply), ["backup: b0", "commit: d0", "job: "]);
        assert!(running_jobs(&json!({})).is_empty());
    }

    #[test]
    fn libvirts_word_for_no_job_is_none() {
        assert_eq!(job_of("Job type:         None        \n"), None);
        assert_eq!(
            job_of("Job type:         Unbounded   \nOperation:        Outgoing migration\n"),
            Some("Outgoing migration".into())
        );
        assert_eq!(job_of(""), None);
    }
}
