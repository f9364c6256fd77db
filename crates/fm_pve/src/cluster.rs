//! The cluster's file system: which guests there are, on which node, and their configurations.

use std::path::{Path, PathBuf};

use fm_files::read_bounded;
use fm_host::Guest;

use crate::config::{self, VmConfig};
use crate::{Error, Result};

/// What every node has at the same place.
const ETC: &str = "/etc/pve";
/// Where running guests have their monitors and pid files.
const RUN: &str = "/var/run/qemu-server";
/// Where our files for guests are.
const CODE: &str = "/var/lib/flashmoor/pve";

/// A cluster as this node sees it.
#[derive(Debug, Clone)]
pub struct Cluster {
    etc: PathBuf,
    code: PathBuf,
    run: PathBuf,
}

/// A guest and the node that it is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vm {
    pub(crate) id: u32,
    pub(crate) node: String,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Cluster {
    /// The cluster whose files lie below `root`, which is `/` but in tests.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            etc: root.join(ETC.trim_start_matches('/')),
            code: root.join(CODE.trim_start_matches('/')),
            run: root.join(RUN.trim_start_matches('/')),
        }
    }

    /// Where our records are.
    pub(crate) fn records(&self) -> PathBuf {
        self.etc.join("flashmoor")
    }

    /// The path of CODE that a guest's `args` name.
    pub(crate) fn code(&self, id: u32) -> PathBuf {
        self.code.join(id.to_string()).join("CODE.fd")
    }

    /// The QMP socket of a guest that runs on this node.
    pub(crate) fn monitor(&self, id: u32) -> PathBuf {
        self.run.join(format!("{id}.qmp"))
    }

    /// The number of a guest that Proxmox started on this node, which its monitor is called by.
    #[must_use]
    pub fn number(&self, guest: &Guest) -> Option<u32> {
        let run = self.run.canonicalize().ok()?;
        guest.qmp_sockets().iter().find_map(|socket| {
            let id = socket.file_name()?.to_str()?.strip_suffix(".qmp")?.parse().ok()?;
            (socket.parent()?.canonicalize().ok()? == run).then_some(id)
        })
    }

    /// The name of this node.
    pub(crate) fn node(&self) -> Result<String> {
        let local = self.etc.join("local");
        let target = std::fs::read_link(&local).map_err(|source| Error::NoProxmox {
            path: local.clone(),
            source,
        })?;
        let name = target.file_name().and_then(|name| name.to_str());
        name.map(str::to_owned).ok_or(Error::NoProxmox {
            path: local,
            source: std::io::ErrorKind::InvalidData.into(),
        })
    }

    /// Every guest of the cluster, by number.
    pub(crate) fn guests(&self) -> Result<Vec<Vm>> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::NoProxmox { path, source }
        };
        let nodes = self.etc.join("nodes");
        let mut found = Vec::new();
        for node in std::fs::read_dir(&nodes).map_err(failed(&nodes))?.flatten() {
            let Ok(node_name) = node.file_name().into_string() else {
                continue;
            };
            let Ok(configurations) = std::fs::read_dir(node.path().join("qemu-server")) else {
                continue;
            };
            for file in configurations.flatten() {
                let name = file.file_name();
                let id = name
                    .to_str()
                    .and_then(|name| name.strip_suffix(".conf")?.parse().ok());
                found.extend(id.map(|id| Vm {
                    id,
                    node: node_name.clone(),
                }));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The configuration of a guest that is on `node`.
    pub(crate) fn config_on(&self, node: &str, id: u32) -> Result<Option<VmConfig>> {
        let path = self
            .etc
            .join("nodes")
            .join(node)
            .join(format!("qemu-server/{id}.conf"));
        let bytes = read_bounded(&path, config::MAX_BYTES)?;
        Ok(bytes.map(|bytes| VmConfig::parse(&String::from_utf8_lossy(&bytes))))
    }

    /// The configuration of a guest of this node.
    pub(crate) fn config(&self, id: u32) -> Result<VmConfig> {
        let node = self.node()?;
        if let Some(config) = self.config_on(&node, id)? {
            return Ok(config);
        }
        let elsewhere = self.guests()?.into_iter().find(|vm| vm.id == id);
        Err(match elsewhere {
            Some(vm) => Error::OtherNode { id, node: vm.node },
            None => Error::NoGuest { id },
        })
    }

    /// The file with a node's ssh key, if the cluster keeps one for each node, as `PVE::SSHInfo` of pve-cluster looks for it.
    pub(crate) fn known_hosts(&self, node: &str) -> Option<PathBuf> {
        let path = self.etc.join("nodes").join(node).join("ssh_known_hosts");
        path.is_file().then_some(path)
    }

    /// The address of a node, if the cluster has told it.
    pub(crate) fn address(&self, node: &str) -> Option<String> {
        let bytes = read_bounded(&self.etc.join(".members"), config::MAX_BYTES).ok()??;
        let members: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        members["nodelist"][node]["ip"].as_str().map(str::to_owned)
    }
}
