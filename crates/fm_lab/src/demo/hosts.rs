//! The two hosts: a folder with firmware, a store, and QEMUs that belong to it.

use std::fs;
use std::path::{Path, PathBuf};

use fm_store::Store;

use crate::{Arch, Error, Guest, Machine, Result};

/// One of the demo's hosts.
pub(super) struct Host {
    folder: PathBuf,
    /// Its firmware package's CODE.
    pub(super) code: PathBuf,
    /// Its firmware package's VARS template.
    pub(super) vars_template: PathBuf,
    /// Its store.
    pub(super) store: Store,
    started: usize,
}

impl Host {
    /// A host whose firmware package consists of copies of `code` and `vars_template`.
    pub(super) fn new(folder: PathBuf, code: &Path, vars_template: &Path) -> Result<Self> {
        let firmware = folder.join("firmware");
        let file = |action, path: &Path, source| Error::file(action, path, source);
        fs::create_dir_all(&firmware).map_err(|source| file("create", &firmware, source))?;
        let copy = |from: &Path, name: &str| {
            let to = firmware.join(name);
            fs::copy(from, &to).map_err(|source| file("copy", from, source))?;
            Ok::<_, Error>(to)
        };
        Ok(Self {
            code: copy(code, "CODE.fd")?,
            vars_template: copy(vars_template, "VARS.fd")?,
            store: Store::open(folder.join("store"))?,
            folder,
            started: 0,
        })
    }

    /// Where a guest's own VARS file lives on this host.
    pub(super) fn vars(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A fresh VARS file from the package's template, as a management stack makes it for a new guest.
    pub(super) fn new_vars(&self, name: &str) -> Result<PathBuf> {
        let path = self.vars(name);
        fs::copy(&self.vars_template, &path).map_err(|source| Error::file("create", &path, source))?;
        Ok(path)
    }

    /// Starts a QEMU of this host.
    pub(super) fn start(
        &mut self,
        code: &Path,
        vars: &Path,
        incoming: bool,
    ) -> Result<Guest, crate::GuestError> {
        self.started += 1;
        let mut machine = Machine::new(Arch::X86_64, code, vars).named("demo");
        machine.incoming = incoming;
        Guest::start(&machine, &self.folder.join(format!("qemu-{}", self.started)))
    }
}
