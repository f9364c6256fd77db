//! What `-machine` says, as facts.

use fm_judge::{Contradiction, Evidence, Facts, MachineType};

/// Reads what `-machine` says: the type, and of its properties those that firmware depends on.
pub fn machine(facts: &mut Facts, text: &str, evidence: &Evidence) -> Result<(), Contradiction> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let name = name.strip_prefix("type=").unwrap_or(name);
    let machine = MachineType::new(name, facts.qemu.value().copied());
    let meant = match facts.qemu.value() {
        Some(qemu) if machine.name() != name => {
            evidence.part(format!("where {name} means {machine} in QEMU {qemu}"))
        }
        _ => evidence.clone(),
    };
    facts.machine.learn("the machine type", machine, meant)?;
    for part in parts {
        match part {
            "smm=on" => facts.smm.learn("system management mode", true, evidence)?,
            "smm=off" => facts.smm.learn("system management mode", false, evidence)?,
            _ => {}
        }
    }
    Ok(())
}
