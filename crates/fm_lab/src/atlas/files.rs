//! The firmware files of a folder, told apart by what is in them, whatever packages call them.

use std::fs;
use std::path::{Path, PathBuf};

use fm_check::{code_file, vars_file};
use fm_formats::image::{Arch as Machine, Feature, Layout};
use fm_judge::{CodeUnit, Known, StoreState, VarsUnit};

use super::Image;
use crate::{Arch, Error, Result};

/// What packages let the names of firmware files end with.
const ENDINGS: [&str; 3] = ["fd", "bin", "qcow2"];

/// All firmware of a folder and of those below it; the same bytes under two names count once.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Flash unit 0.
    pub(super) codes: Vec<Code>,
    /// Flash unit 1.
    pub(super) stores: Vec<Store>,
    /// Both in one file, as `-bios` takes it.
    pub(super) combined: Vec<Code>,
    /// Files that nothing can be tried with, and why.
    pub(super) passed_over: Vec<String>,
}

/// A firmware binary and what decides how it is tried.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) image: Image,
    pub(super) arch: Arch,
    pub(super) class: Class,
    /// Whether it has a shell that can be asked.
    pub(super) shell: bool,
    /// Whether it shows to be of edk2-stable202405 or later.
    pub(super) recent: bool,
}

/// Builds of one class differ in their year only, as far as a plan is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) layout: Layout,
    /// The machine of DXE and that of the phases before.
    pub(super) machines: [Machine; 2],
    pub(super) smm: bool,
    pub(super) secure_boot: bool,
}

/// A variable store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) image: Image,
    pub(super) layout: Layout,
    /// Whether Secure Boot keys are enrolled.
    pub(super) keys: bool,
    pub(super) state: StoreState,
}

impl Code {
    /// Whether it brings up a 64-bit guest without system management mode: what most guests have.
    pub(super) fn is_plain(&self) -> bool {
        !self.class.smm && self.has_64_bit_dxe()
    }

    pub(super) fn has_64_bit_dxe(&self) -> bool {
        self.class.machines[0] != Machine::Ia32
    }
}

impl Store {
    /// Whether CODE of `layout` finds variables in it where it looks for them.
    pub(super) fn fits(&self, layout: Layout) -> bool {
        self.layout.vars_size_bytes() == layout.vars_size_bytes()
    }
}

impl Files {
    /// Reads every file of `folder` that may be firmware.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        walk(folder, &mut paths)?;
        let mut files = Self::default();
        for path in paths {
            let name = path.strip_prefix(folder).unwrap_or(&path);
            files.take(&path, &name.to_string_lossy());
        }
        for list in [&mut files.codes, &mut files.combined] {
            list.sort_by_key(|code| (code.image.size_bytes, code.image.name.clone()));
            let mut known = Vec::new();
            list.retain(|code| is_new(&mut known, &code.image));
        }
        // Plain before enrolled, small before large.
        files
            .stores
            .sort_by_key(|store| (store.image.size_bytes, store.keys, store.image.name.clone()));
        let mut known = Vec::new();
        files.stores.retain(|store| is_new(&mut known, &store.image));
        Ok(files)
    }

    fn take(&mut self, path: &Path, name: &str) {
        match code_file(path, None) {
            Ok(unit) => self.take_code(&unit, name),
            Err(fm_check::Error::NoCode { .. }) => match vars_file(path) {
                Ok(unit) => self.take_store(&unit, name),
                Err(error) => self.pass_over(name, &in_full(&error.into())),
            },
            // ROMs of QEMU have the same endings.
            Err(fm_check::Error::NotFirmware { .. }) => {}
            Err(error) => self.pass_over(name, &in_full(&error.into())),
        }
    }

    fn take_store(&mut self, unit: &VarsUnit, name: &str) {
        let (Some(&layout), Some(image)) = (unit.layout.value(), image(name, &unit.sha256, &unit.size_bytes))
        else {
            return self.pass_over(name, "it is a store of a layout that is not known");
        };
        self.stores.push(Store {
            image,
            layout,
            keys: unit.keys.value() == Some(&true),
            state: unit.state.value().copied().unwrap_or(StoreState::Good),
        });
    }

    fn take_code(&mut self, unit: &CodeUnit, name: &str) {
        let (Some(image), Some(&machine), Some(&early)) = (
            image(name, &unit.sha256, &unit.size_bytes),
            unit.arch.value(),
            unit.early_arch.value(),
        ) else {
            return self.pass_over(name, "its architecture is not known");
        };
        let arch = match machine {
            Machine::Ia32 | Machine::X86_64 => Arch::X86_64,
            Machine::Aarch64 => Arch::Aarch64,
            Machine::Riscv64 => Arch::Riscv64,
            Machine::Loongarch64 => Arch::Loongarch64,
            other => return self.pass_over(name, &format!("no {other} guest is tried")),
        };
        let Some(&layout) = unit.layout.value() else {
            return self.pass_over(name, "its size is that of no known layout");
        };
        let has = |feature| {
            unit.features
                .value()
                .is_some_and(|features| features.has(feature))
        };
        let code = Code {
            arch,
            class: Class {
                layout,
                machines: [machine, early],
                smm: has(Feature::Smm),
                secure_boot: has(Feature::SecureBoot),
            },
            shell: has(Feature::Shell),
            recent: unit.is_recent.value() == Some(&true),
            image,
        };
        let list = match arch {
            _ if code.image.size_bytes == layout.code_size_bytes() => &mut self.codes,
            Arch::X86_64 => &mut self.combined,
            // QEMU refuses it: its chips have one size.
            _ => return self.pass_over(name, "it is not padded to the size of its flash chip"),
        };
        list.push(code);
    }

    fn pass_over(&mut self, name: &str, why: &str) {
        self.passed_over.push(format!("{name}: {why}"));
    }

    /// One build of each class of `arch`, small ones first. Folders count before names, so that a
    /// distribution's first build comes before its updates.
    pub(super) fn representatives(&self, arch: Arch) -> Vec<&Code> {
        let mut codes: Vec<&Code> = self.codes_of(arch).collect();
        codes.sort_by_key(|code| (code.image.size_bytes, PathBuf::from(&code.image.name)));
        let mut classes = Vec::new();
        codes.retain(|code| {
            let new = !classes.contains(&code.class);
            classes.push(code.class);
            new
        });
        codes
    }

    pub(super) fn codes_of(&self, arch: Arch) -> impl Iterator<Item = &Code> {
        self.codes.iter().filter(move |code| code.arch == arch)
    }

    /// The template of the layout: a sound store without keys, else whatever has the size.
    pub(super) fn template(&self, layout: Layout) -> Option<&Image> {
        let mut fit: Vec<&Store> = self.stores.iter().filter(|store| store.fits(layout)).collect();
        fit.sort_by_key(|store| (store.state != StoreState::Good, store.keys));
        fit.first().map(|store| &store.image)
    }

    /// A store of the layout in which there is something to lose.
    pub(super) fn enrolled(&self, layout: Layout) -> Option<&Image> {
        let mut stores = self.stores.iter();
        stores
            .find(|store| store.keys && store.fits(layout))
            .map(|store| &store.image)
    }
}

/// Regular files with the endings of firmware below `folder`, sorted; a folder behind a link is not entered.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| Error::file("read", folder, source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found)?;
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The bytes that the flash device holds: those of a qcow2 file are decoded.
fn image(name: &str, sha256: &Known<fm_formats::Sha256>, size_bytes: &Known<u64>) -> Option<Image> {
    Some(Image {
        name: name.into(),
        change: None,
        sha256: sha256.value()?.to_string(),
        size_bytes: *size_bytes.value()?,
    })
}

/// An error with its reasons, in one line.
fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    text
}

fn is_new(known: &mut Vec<String>, image: &Image) -> bool {
    let new = !known.contains(&image.sha256);
    known.push(image.sha256.clone());
    new
}
