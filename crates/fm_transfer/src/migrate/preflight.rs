//! Judges a migration before a byte is sent, from what both monitors say.

use fm_host::monitor::Description;
use fm_judge::{
    Block, Evidence, Facts, Finding, Format, Known, MachineType, Outcome, Phase, QemuVersion, Verdict, judge,
};

use crate::error::refusal::Refusal;

/// The verdict on moving the guest from `source` to `destination`.
pub fn verdict(source: &Description, destination: &Description) -> Result<Verdict, fm_judge::Contradiction> {
    Ok(judge(&facts(source)?, &facts(destination)?))
}

/// The findings that rule the migration out, if there are any.
pub fn refusal(verdict: &Verdict) -> Option<Refusal> {
    let phase = verdict.phase(Phase::LiveMigration);
    let against = |finding: &&Finding| finding.outcome == Outcome::Incompatible;
    let findings: Vec<Finding> = phase.findings().iter().filter(against).cloned().collect();
    (!findings.is_empty()).then(|| Refusal::new(findings))
}

/// What a monitor says, as the judge wants it.
pub fn facts(seen: &Description) -> Result<Facts, fm_judge::Contradiction> {
    let version = QemuVersion::new(
        narrow(seen.version.major),
        narrow(seen.version.minor),
        narrow(seen.version.micro),
    );
    let mut facts = Facts {
        qemu: Known::new(version, "QMP greeting"),
        ..Facts::default()
    };
    if let Some(machine) = &seen.machine {
        facts.machine = Known::new(
            // A full name, which no version resolves: RISC-V has a `virt` that is one.
            MachineType::new(machine, None),
            Evidence::Monitor("qom-get /machine type"),
        );
    }
    if !seen.blocks.is_empty() {
        let block = |block: &fm_host::monitor::RamBlock| Block {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
        };
        facts.blocks = Known::new(
            seen.blocks.iter().map(block).collect(),
            Evidence::Monitor("x-query-ramblock"),
        );
    }
    for flash in &seen.flash {
        let format = match flash.format.as_str() {
            "raw" => Format::Raw,
            "qcow2" => Format::Qcow2,
            _ => continue,
        };
        match flash.unit {
            0 => facts.code.declared_format = Known::new(format, Evidence::Monitor("query-block")),
            1 => facts.vars.declared_format = Known::new(format, Evidence::Monitor("query-block")),
            _ => {}
        }
    }
    facts.deduce()?;
    Ok(facts)
}

fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
