//! The difference between two builds, for a person who must approve an update.

use fm_jobs::diff::{DiffDocument, DiffModule};

use super::{BAD, CARE, GOOD, Output, STRONG};

pub(crate) fn text(output: &Output, document: &DiffDocument) {
    for (word, side) in [("from", &document.from), ("to", &document.to)] {
        let version = side.build.version.as_deref().unwrap_or("");
        output.line(format_args!(
            "{word:<5}{STRONG}{} {version}{STRONG:#}  {}",
            side.build.name, side.path
        ));
    }
    if document.identical {
        output.line(format_args!("{GOOD}the two are the same, byte for byte{GOOD:#}"));
        return;
    }
    for changed in &document.facts {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let (from, to) = (value(&changed.from), value(&changed.to));
        output.line(format_args!(
            "{CARE}{} differs{CARE:#}: {from} -> {to}",
            changed.fact
        ));
    }
    if document.facts.is_empty() {
        output.line("size, layout, architecture and platform are the same");
    }
    for feature in &document.features_lost {
        output.line(format_args!("{BAD}feature lost{BAD:#}: {feature}"));
    }
    for feature in &document.features_gained {
        output.line(format_args!("{GOOD}feature gained{GOOD:#}: {feature}"));
    }
    if document.measured_changed.is_empty() {
        output.line("measured volumes: the same; PCR 0 does not change for their sake");
    } else {
        let names = document.measured_changed.join(", ");
        output.line(format_args!(
            "{CARE}measured volumes differ{CARE:#}: {names}; PCR 0 changes at the next cold boot"
        ));
    }
    output.line(format_args!(
        "modules: {} added, {} removed, {} changed, {} moved, {} the same",
        document.added.len(),
        document.removed.len(),
        document.changed.len(),
        document.moved.len(),
        document.unchanged
    ));
    for (sign, modules) in [
        ('+', &document.added),
        ('-', &document.removed),
        ('~', &document.changed),
        ('>', &document.moved),
    ] {
        modules
            .iter()
            .for_each(|module| output.line(format_args!("  {sign} {}", line(module))));
    }
}

fn line(module: &DiffModule) -> String {
    let name = module.name.as_deref().unwrap_or(&module.guid);
    let size = match (module.from_bytes, module.to_bytes) {
        (Some(from), Some(to)) if from == to => format!("{to} bytes"),
        (Some(from), Some(to)) => format!("{from} -> {to} bytes"),
        (from, to) => format!("{} bytes", from.or(to).unwrap_or(0)),
    };
    format!("{name:<32} {:<14} {size}", module.kind)
}
