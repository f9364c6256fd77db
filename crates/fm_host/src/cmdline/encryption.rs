//! Confidential guests: which object the machine refers to, and what kind of encryption that is.

use serde_json::Value;

use super::keyval::Options;

/// How a guest's memory is kept from its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// AMD SEV.
    Sev,
    /// AMD SEV-ES: SEV whose policy asks for encrypted state.
    SevEs,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
    /// Another kind by its name, or the id of an object that was not found.
    Other(String),
}

/// The bit of a SEV policy that asks for encrypted state (AMD SEV API specification, `POLICY.ES`).
const SEV_POLICY_ES: u64 = 1 << 2;

/// `-object sev-guest,id=sev0,…`, or the same as JSON, as libvirt writes it.
pub(super) fn object(value: &str) -> Option<Options> {
    if !value.trim_start().starts_with('{') {
        return Some(Options::parse(value, Some("qom-type")));
    }
    let Ok(Value::Object(object)) = serde_json::from_str(value) else {
        return None;
    };
    let mut options = Options::default();
    for (key, value) in &object {
        match value {
            Value::String(text) => options.push(key, text),
            Value::Number(number) => options.push(key, &number.to_string()),
            _ => {}
        }
    }
    Some(options)
}

/// What the machine refers to, by the object's kind; `memory-encryption` is the older name
/// (QEMU `hw/core/machine.c`, `machine_class_init`).
pub(super) fn of(machine: &Options, objects: &[Options]) -> Option<Encryption> {
    let id = machine
        .get("confidential-guest-support")
        .or_else(|| machine.get("memory-encryption"))?;
    let Some(options) = objects.iter().find(|object| object.get("id") == Some(id)) else {
        return Some(Encryption::Other(id.to_owned()));
    };
    let policy = options.get("policy").and_then(number).unwrap_or_default();
    Some(match options.get("qom-type") {
        Some("sev-guest") if policy & SEV_POLICY_ES != 0 => Encryption::SevEs,
        Some("sev-guest") => Encryption::Sev,
        Some("sev-snp-guest") => Encryption::SevSnp,
        Some("tdx-guest") => Encryption::Tdx,
        kind => Encryption::Other(kind.unwrap_or(id).to_owned()),
    })
}

/// A number as QEMU takes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommandLine;

    fn encryption(line: &[&str]) -> Option<Encryption> {
        let arguments: Vec<String> = line.iter().map(|argument| (*argument).to_owned()).collect();
        CommandLine::parse(&arguments, &mut |_| Err("no file".into())).encryption
    }

    #[test]
    fn encrypted_guests_are_told_by_the_object_that_the_machine_refers_to() {
        let machine = "q35,confidential-guest-support=lsec0";
        for (object, wanted) in [
            ("sev-guest,id=lsec0,policy=0x1,cbitpos=51", Encryption::Sev),
            ("sev-guest,id=lsec0,policy=0x7", Encryption::SevEs),
            (
                r#"{"qom-type":"sev-guest","id":"lsec0","cbitpos":51,"policy":5}"#,
                Encryption::SevEs,
            ),
            (r#"{"qom-type":"sev-snp-guest","id":"lsec0"}"#, Encryption::SevSnp),
            ("tdx-guest,id=lsec0", Encryption::Tdx),
            (
                "s390-pv-guest,id=lsec0",
                Encryption::Other("s390-pv-guest".into()),
            ),
            ("rng-random,id=rng0", Encryption::Other("lsec0".into())),
            ("{not json", Encryption::Other("lsec0".into())),
        ] {
            let line = ["qemu-system-x86_64", "-machine", machine, "-object", object];
            assert_eq!(encryption(&line), Some(wanted), "{object}");
        }
        let older = [
            "qemu-system-x86_64",
            "-object",
            "sev-guest,id=sev0,policy=1",
            "-machine",
            "pc-q35-7.2,memory-encryption=sev0",
        ];
        assert_eq!(encryption(&older), Some(Encryption::Sev));
        // An object alone encrypts nothing.
        assert_eq!(
            encryption(&["qemu-system-x86_64", "-object", "sev-guest,id=sev0"]),
            None
        );
        assert_eq!(encryption(&["qemu-system-x86_64", "-machine", "q35"]), None);
    }
}
