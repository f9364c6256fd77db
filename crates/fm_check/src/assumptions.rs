//! What nobody told and is taken to be so: this host's QEMU on both sides, and its newest machine type.
//!
//! An assumption is never printed as a fact: it bears its own kind of evidence, and the document lists it.

use std::process::{Command, Stdio};
use std::sync::Mutex;

use fm_api::v1::check::{AssumedSide, AssumedSubject, Assumption};
use fm_formats::image::Arch;
use fm_images::words;
use fm_judge::{Contradiction, Evidence, Facts, Firmware, Known, MachineType, QemuVersion, StoreState};

use crate::machine_option::machine;

/// The assumptions of one judgement, each once.
#[derive(Debug, Default)]
pub(super) struct Assumptions(Vec<Assumption>);

impl Assumptions {
    /// Takes this host's QEMU for that of a side which does not say its own.
    pub(super) fn qemu(
        &mut self,
        facts: &mut Facts,
        arch: Option<Arch>,
        told: Option<&str>,
        side: AssumedSide,
    ) {
        if told.is_some() || facts.qemu.is_known() {
            return;
        }
        let Some((arch, host)) = arch.and_then(|arch| Some((arch, host_qemu(arch)?))) else {
            return;
        };
        let why = format!("{} of this host", host.program);
        let evidence = Evidence::Assumed(format!("assumed: {why}").into());
        facts.qemu = Known::new(host.version, evidence);
        self.add(AssumedSubject::Qemu, side, arch, host.version.to_string(), why);
    }

    /// Takes the newest machine type that both QEMUs have for the source's, which does not say its own.
    pub(super) fn machine(
        &mut self,
        source: &mut Facts,
        destination_qemu: Option<QemuVersion>,
    ) -> Result<(), Contradiction> {
        let (Some(arch), Some(from)) = (source.code.arch.value().copied(), source.qemu.value().copied())
        else {
            return Ok(());
        };
        if source.machine.is_known() {
            return Ok(());
        }
        let alias = match arch {
            Arch::X86_64 | Arch::Ia32 => "q35",
            _ => "virt",
        };
        let oldest = destination_qemu.map_or(from, |to| from.min(to));
        let host = host_qemu(arch).filter(|host| host.version == oldest);
        let (name, whose) = match host.and_then(|host| Some((host.newest(alias)?, host.program))) {
            Some((name, program)) => (name, program),
            None => (
                MachineType::new(alias, Some(oldest)).name().to_owned(),
                format!("QEMU {oldest}"),
            ),
        };
        let why = format!("the newest {alias} of {whose}");
        machine(
            source,
            &name,
            &Evidence::Assumed(format!("assumed: {why}").into()),
        )?;
        self.add(AssumedSubject::Machine, AssumedSide::Both, arch, name, why);
        Ok(())
    }

    /// Takes the guest's variables, of which nothing was told, for a sound store of the layout that its CODE is built for:
    /// where the destination has the same build, what is in them changes nothing.
    pub(super) fn vars(&mut self, source: &mut Facts) {
        let (Some(arch), Some(layout)) = (
            source.code.arch.value().copied(),
            source.code.layout.value().copied(),
        ) else {
            return;
        };
        if source.firmware.value() != Some(&Firmware::Flash) || source.vars.present.is_known() {
            return;
        }
        let why = "both sides have the same build; the store was not looked at".to_owned();
        let evidence = || Evidence::Assumed(format!("assumed: {why}").into());
        source.vars.present = Known::new(true, evidence());
        source.vars.layout = Known::new(layout, evidence());
        source.vars.state = Known::new(StoreState::Good, evidence());
        if !source.vars.size_bytes.is_known() {
            source.vars.size_bytes = Known::new(layout.vars_size_bytes(), evidence());
        }
        let value = format!("sound, of layout {layout},");
        self.add(AssumedSubject::Vars, AssumedSide::Both, arch, value, why);
    }

    /// Adds one, or the other side to the same of the first.
    fn add(&mut self, subject: AssumedSubject, side: AssumedSide, arch: Arch, value: String, why: String) {
        let new = Assumption {
            subject,
            side,
            arch: words::arch(arch),
            value,
            why,
        };
        let is_same = |known: &&mut Assumption| {
            (known.subject, known.arch, &known.value, &known.why)
                == (new.subject, new.arch, &new.value, &new.why)
        };
        match self.0.iter_mut().find(is_same) {
            Some(known) if known.side != new.side => known.side = AssumedSide::Both,
            Some(_) => {}
            None => self.0.push(new),
        }
    }

    pub(super) fn into_list(self) -> Vec<Assumption> {
        self.0
    }
}

/// A QEMU program of this host.
#[derive(Debug, Clone)]
struct HostQemu {
    program: String,
    version: QemuVersion,
}

/// Each program is asked once in a run.
static KNOWN: Mutex<Vec<(Arch, Option<HostQemu>)>> = Mutex::new(Vec::new());

/// This host's QEMU for `arch`, if it has one.
fn host_qemu(arch: Arch) -> Option<HostQemu> {
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, host)) = known.iter().find(|(of, _)| *of == arch) {
        return host.clone();
    }
    let mut programs = vec![format!("qemu-system-{}", arch.qemu_name())];
    if arch == Arch::Ia32 {
        programs.push("qemu-system-x86_64".into());
    }
    if arch.qemu_name() == std::env::consts::ARCH {
        // Where Red Hat's packages have it.
        programs.push("/usr/libexec/qemu-kvm".into());
    }
    let found = programs.into_iter().find_map(|program| {
        let version = version_in(&said_by(&program, &["--version"])?)?;
        Some(HostQemu { program, version })
    });
    known.push((arch, found.clone()));
    found
}

impl HostQemu {
    /// The machine type that this program means by `alias`.
    fn newest(&self, alias: &str) -> Option<String> {
        aliased(&said_by(&self.program, &["-machine", "help"])?, alias)
    }
}

/// What a program prints and ends with.
fn said_by(program: &str, words: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The version in what QEMU prints for `--version` (QEMU `system/vl.c`, `version`).
fn version_in(text: &str) -> Option<QemuVersion> {
    let (_, version) = text.lines().next()?.split_once("QEMU emulator version ")?;
    version.parse().ok()
}

/// The name behind `alias` in what QEMU prints for `-machine help` (`hw/core/machine.c`, `machine_help_func`).
fn aliased(help: &str, alias: &str) -> Option<String> {
    let line = help
        .lines()
        .find(|line| line.split_whitespace().next() == Some(alias))?;
    let (_, name) = line.rsplit_once("(alias of ")?;
    Some(name.trim_end().trim_end_matches(')').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_machine_is_what_the_program_means_by_its_alias() {
        let help = "Supported machines are:\nubuntu-q35           Ubuntu 24.04 PC (alias of pc-q35-noble)\n\
            q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-8.2)\npc-q35-8.2           Standard PC";
        assert_eq!(aliased(help, "q35").as_deref(), Some("pc-q35-8.2"));
        assert_eq!(aliased(help, "virt"), None);
        let version = version_in("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright");
        assert_eq!(version, Some(QemuVersion::new(7, 2, 22)));
        assert_eq!(version_in("something else 1.0"), None);
    }

    #[test]
    fn what_is_told_or_known_is_not_assumed_and_one_assumption_of_both_sides_is_one() {
        let mut assumptions = Assumptions::default();
        let mut facts = Facts {
            qemu: Known::new(QemuVersion::new(7, 2, 0), "a guest"),
            ..Facts::default()
        };
        assumptions.qemu(&mut facts, Some(Arch::X86_64), None, AssumedSide::Source);
        assumptions.qemu(
            &mut Facts::default(),
            Some(Arch::X86_64),
            Some("7.2"),
            AssumedSide::Source,
        );
        assert!(assumptions.0.is_empty());
        for side in [AssumedSide::Source, AssumedSide::Destination] {
            assumptions.add(
                AssumedSubject::Qemu,
                side,
                Arch::X86_64,
                "7.2.22".into(),
                "this host".into(),
            );
        }
        assert_eq!(assumptions.0.len(), 1);
        assert_eq!(assumptions.0[0].side, AssumedSide::Both);
    }

    #[test]
    fn a_machine_is_the_newest_that_the_older_qemu_has_and_says_that_it_is_assumed() {
        let mut facts = Facts {
            qemu: Known::new(QemuVersion::new(10, 0, 2), "a guest"),
            ..Facts::default()
        };
        facts.code.arch = Known::new(Arch::Aarch64, "a file");
        let mut assumptions = Assumptions::default();
        assumptions
            .machine(&mut facts, Some(QemuVersion::new(4, 1, 0)))
            .unwrap();
        let machine = facts.machine.fact().unwrap();
        assert_eq!(machine.value.name(), "virt-4.1");
        assert!(
            matches!(machine.evidence, Evidence::Assumed(_)),
            "{:?}",
            machine.evidence
        );
    }
}
