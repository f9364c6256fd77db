//! The difference between two builds, for a person who must approve an update.

use std::collections::BTreeMap;

use fm_api::v1::diff::{BootPhase, DiffDocument, DiffModule, DiffVolume, Measured};

use super::{BAD, CARE, GOOD, Output, STRONG};

/// As many modules of a kind as are read in a minute; more are counted by phase.
const MAX_LISTED_COUNT: usize = 16;
/// Of those that are counted, how many are named.
const MAX_NAMED_COUNT: usize = 4;

/// Two images side by side: what differs, or with `all` everything.
pub fn text(output: &Output, document: &DiffDocument, all: bool) {
    for (word, side) in [("from", &document.from), ("to", &document.to)] {
        output.line(format_args!(
            "{word:<5}{STRONG}{}{STRONG:#}  {}",
            side.build, side.path
        ));
    }
    for damage in document.damage.iter().take(if all { usize::MAX } else { 4 }) {
        output.line(format_args!(
            "{BAD}damage in {}{BAD:#}: {}; what could not be read of it counts as absent below",
            damage.side, damage.message
        ));
    }
    if document.identical {
        output.line(format_args!("{GOOD}the two are the same, byte for byte{GOOD:#}"));
        differing(output, document);
        return;
    }
    facts(output, document);
    volumes(output, &document.volumes);
    modules(output, document, all);
}

/// Of the same image, one may be raw and the other qcow2.
fn differing(output: &Output, document: &DiffDocument) {
    for changed in &document.facts {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let (from, to) = (value(&changed.from), value(&changed.to));
        output.line(format_args!(
            "{CARE}{} differs{CARE:#}: {from} -> {to}",
            changed.fact
        ));
    }
}

fn facts(output: &Output, document: &DiffDocument) {
    differing(output, document);
    if document.facts.is_empty() {
        output.line("size, layout, architecture and platform are the same");
    }
    for feature in &document.features_lost {
        output.line(format_args!("{BAD}feature lost{BAD:#}: {feature}"));
    }
    for feature in &document.features_gained {
        output.line(format_args!("{GOOD}feature gained{GOOD:#}: {feature}"));
    }
    if document.measured == Measured::None {
        output.line("measured volumes: neither build extends PCR 0 with any");
    } else if document.measured == Measured::Unknown {
        output.line(format_args!(
            "{CARE}measured volumes: not known{CARE:#} of one of the two; take PCR 0 for changed"
        ));
    } else if document.measured_changed.is_empty() {
        output.line("measured volumes: the same; PCR 0 does not change for their sake");
    } else {
        let names = document.measured_changed.join(", ");
        output.line(format_args!(
            "{CARE}measured volumes differ{CARE:#}: {names}; PCR 0 changes at the next cold boot"
        ));
    }
    if !document.launch_measurement_changed.is_empty() {
        let names = document.launch_measurement_changed.join(", ");
        output.line(format_args!(
            "{CARE}launch measurement changes{CARE:#}: {names}; guests that are attested need the new value"
        ));
    }
    for technology in &document.ranges_changed {
        output.line(format_args!(
            "{CARE}memory ranges differ{CARE:#}: {technology} (see `inspect` of both)"
        ));
    }
}

fn volumes(output: &Output, volumes: &[DiffVolume]) {
    let side = |size: Option<u64>, used: Option<u64>| match (size, used) {
        (Some(size), Some(used)) => Some(format!(
            "{} % of {} KiB used",
            used.saturating_mul(100) / size.max(1),
            size / 1024
        )),
        (Some(size), None) => Some(format!("{} KiB", size / 1024)),
        (None, _) => None,
    };
    for volume in volumes {
        let from = side(volume.from_bytes, volume.from_used_bytes);
        let to = side(volume.to_bytes, volume.to_used_bytes);
        if from != to {
            let words = |side: Option<String>| side.unwrap_or_else(|| "not there".into());
            output.line(format_args!(
                "volume {}: {} -> {}",
                volume.name,
                words(from),
                words(to)
            ));
        }
    }
}

fn modules(output: &Output, document: &DiffDocument, all: bool) {
    // A file that holds volumes differs whenever something in it does.
    let listed = |modules: &[DiffModule]| -> Vec<DiffModule> {
        let modules = modules
            .iter()
            .filter(|module| module.phase != BootPhase::Container);
        modules.cloned().collect()
    };
    let groups = [
        ('+', listed(&document.added)),
        ('-', listed(&document.removed)),
        ('~', listed(&document.changed)),
        ('>', listed(&document.moved)),
    ];
    let [added, removed, changed, moved] = groups.each_ref().map(|(_, modules)| modules.len());
    output.line(format_args!(
        "modules: {added} added, {removed} removed, {changed} changed, {moved} moved, {} the same",
        document.unchanged
    ));
    if added + removed + changed + moved == 0 {
        output
            .line("  no module differs: the bytes that do lie in headers, padding, free space or variables");
    }
    let mut folded = false;
    for (sign, modules) in &groups {
        if all || modules.len() <= MAX_LISTED_COUNT {
            modules
                .iter()
                .for_each(|module| output.line(format_args!("  {sign} {}", line(module))));
        } else {
            folded = true;
            by_phase(output, *sign, modules);
        }
    }
    if folded {
        output.remark("--all lists every module");
    }
}

fn by_phase(output: &Output, sign: char, modules: &[DiffModule]) {
    let mut phases: BTreeMap<&str, Vec<&DiffModule>> = BTreeMap::new();
    for module in modules {
        phases.entry(module.phase.name()).or_default().push(module);
    }
    for (phase, mut modules) in phases {
        let same_size = modules.iter().filter(|module| growth(module) == 0).count();
        modules.sort_by_key(|module| std::cmp::Reverse(growth(module).abs()));
        let most: Vec<String> = modules
            .iter()
            .take(MAX_NAMED_COUNT)
            .map(|module| format!("{} {:+}", name(module), growth(module)))
            .collect();
        let same = match (same_size, sign) {
            (1.., '~') => format!(", {same_size} of the same size"),
            _ => String::new(),
        };
        output.line(format_args!(
            "  {sign} {phase}: {}{same}; most in bytes: {}",
            modules.len(),
            most.join(", ")
        ));
    }
}

/// How many bytes more there are of it.
fn growth(module: &DiffModule) -> i64 {
    let bytes = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX);
    bytes(module.to_bytes).saturating_sub(bytes(module.from_bytes))
}

fn name(module: &DiffModule) -> &str {
    module.name.as_deref().unwrap_or(&module.guid)
}

fn line(module: &DiffModule) -> String {
    let size = match (module.from_bytes, module.to_bytes) {
        (Some(from), Some(to)) if from == to => format!("{to} bytes"),
        (Some(from), Some(to)) => format!("{from} -> {to} bytes"),
        (from, to) => format!("{} bytes", from.or(to).unwrap_or(0)),
    };
    let digest = |digest: &Option<String>| {
        digest
            .as_deref()
            .and_then(|digest| digest.get(..12))
            .map(str::to_owned)
    };
    let digests = match (digest(&module.from_sha256), digest(&module.to_sha256)) {
        (Some(from), Some(to)) if from != to => format!("  {from} -> {to}"),
        _ => String::new(),
    };
    format!("{:<32} {:<14} {size}{digests}", name(module), module.kind)
}
