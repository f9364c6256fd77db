//! The QEMU programs at hand: which machines they make, and which of these two of them share.

use std::path::{Path, PathBuf};
use std::process::Command;

use fm_judge::MachineType;
use fm_remedy::{Input, Misuse, Remedy};

use crate::{Arch, Emulator, Error, Result};

/// A QEMU program, by its own words.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) version: String,
    pub(super) arch: Arch,
    /// What `q35` or `virt` stands for: its newest machine type. RISC-V and LoongArch have one `virt`, without version.
    pub(super) newest: String,
    /// The full names of all machine types that it makes.
    pub(super) machines: Vec<String>,
}

impl Program {
    /// Asks the program itself; its name says nothing, since packages choose it.
    pub(super) fn ask(path: &Path) -> Result<Self> {
        let unfit = |why: &str| Error::file("use", path, std::io::Error::other(why.to_owned()));
        let version = said(path, &["-version"])?
            .split_whitespace()
            .skip_while(|word| *word != "version")
            .nth(1)
            .map(str::to_owned)
            .ok_or_else(|| unfit("it does not answer -version as QEMU does"))?;
        let (newest, machines) = machines(&said(path, &["-machine", "help"])?)
            .ok_or_else(|| unfit("it makes neither q35 nor virt"))?;
        let arch = if newest.starts_with("virt") {
            // The 32-bit programs have the same machines.
            let processors = said(path, &["-machine", &newest, "-cpu", "help"])?;
            let has = |name: &str| processors.split_whitespace().any(|word| word == name);
            [
                ("cortex-a57", Arch::Aarch64),
                ("rv64", Arch::Riscv64),
                ("la464", Arch::Loongarch64),
            ]
            .into_iter()
            .find_map(|(processor, arch)| has(processor).then_some(arch))
            .ok_or_else(|| unfit("its virt machine has no 64-bit processor that is known here"))?
        } else {
            Arch::X86_64
        };
        Ok(Self {
            path: path.to_owned(),
            version,
            arch,
            newest,
            machines,
        })
    }

    pub(super) fn makes(&self, machine: &str) -> bool {
        self.machines.iter().any(|known| known == machine)
    }

    /// The newest machine type that both programs make: a guest moves between them on that one.
    pub(super) fn shared<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        [self, other]
            .map(|program| program.newest.as_str())
            .into_iter()
            .find(|machine| self.makes(machine) && other.makes(machine))
    }

    /// The release of a machine type just before `machine`, on the same board.
    pub(super) fn before(&self, machine: &str) -> Option<&str> {
        let this = MachineType::new(machine, None);
        self.machines
            .iter()
            .map(|name| (MachineType::new(name, None), name))
            .filter(|(other, _)| other.family() == this.family() && other.version().is_some())
            .filter(|(other, _)| other.version() < this.version())
            .max_by_key(|(other, _)| other.version())
            .map(|(_, name)| name.as_str())
    }
}

/// The programs that were named, or else those of this system.
pub(super) fn named(paths: &[PathBuf]) -> Result<Vec<Program>> {
    if !paths.is_empty() {
        return paths.iter().map(|path| Program::ask(path)).collect();
    }
    let mut found = Vec::new();
    for arch in Arch::ALL {
        match Program::ask(&Emulator::system(arch).program) {
            Ok(program) => found.push(program),
            Err(Error::Files(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(Error::Usage(Misuse {
            message: "no QEMU for x86-64, aarch64, riscv64 or loongarch64 is installed".into(),
            remedy: Remedy::give("install one of them, or name yours", [Input::QemuProgram]),
        })),
    }
}

fn said(path: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(path)
        .args(words)
        .output()
        .map_err(|source| Error::file("start", path, source))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The newest type of the board that takes firmware in flash, and all types, from `-machine help`, whose lines
/// are `q35  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)`.
fn machines(help: &str) -> Option<(String, Vec<String>)> {
    let alias = |board: &str| {
        help.lines()
            .find(|line| line.split_whitespace().next() == Some(board))
            .and_then(|line| Some(line.split_once("(alias of ")?.1.split_once(')')?.0.to_owned()))
    };
    let names: Vec<String> = help
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let plain = || names.iter().find(|name| *name == "virt").cloned();
    let newest = alias("q35").or_else(|| alias("virt")).or_else(plain)?;
    Some((newest, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(version: &str, help: &str) -> Program {
        let (newest, machines) = machines(help).expect("a board with flash");
        Program {
            path: "qemu".into(),
            version: version.into(),
            arch: Arch::X86_64,
            newest,
            machines,
        }
    }

    #[test]
    fn two_programs_share_the_newest_machine_of_the_older_one() {
        let old = program(
            "7.2.22",
            "Supported machines are:\n\
             pc-q35-6.2           Standard PC (Q35 + ICH9, 2009)\n\
             q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)\n\
             pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)\n\
             pc-q35-7.1           Standard PC (Q35 + ICH9, 2009)\n",
        );
        let new = program(
            "10.0.2",
            "q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.0)\n\
             pc-q35-10.0          Standard PC (Q35 + ICH9, 2009)\n\
             pc-q35-9.2           Standard PC (Q35 + ICH9, 2009)\n\
             pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)\n",
        );
        assert_eq!(old.shared(&new), Some("pc-q35-7.2"));
        assert_eq!(new.shared(&old), Some("pc-q35-7.2"));
        assert_eq!(new.shared(&new), Some("pc-q35-10.0"));
        assert_eq!(old.before("pc-q35-7.2"), Some("pc-q35-7.1"));
        assert_eq!(new.before("pc-q35-10.0"), Some("pc-q35-9.2"));
        let other = program("9", "q35 a (alias of pc-q35-rhel9.4.0)\npc-q35-rhel9.4.0 a\n");
        assert_eq!(other.shared(&new), None);
    }

    #[test]
    fn a_program_without_a_board_for_flash_is_not_taken() {
        assert_eq!(
            machines("none   empty machine\nspike  RISC-V Spike board\n"),
            None
        );
        let (newest, _) = machines("none   empty machine\nvirt   RISC-V VirtIO board\n").unwrap();
        assert_eq!(newest, "virt");
    }
}
