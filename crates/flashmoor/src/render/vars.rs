//! Variable stores as text.

use fm_variables::{DbxForecast, SecureBootStatus, Shown, VariableDocument, VarsChange, VarsDiff, VarsList};

use super::{BAD, CARE, GOOD, Output, STRONG};

pub(crate) fn list(output: &Output, list: &VarsList) {
    let layout = list.layout.as_deref().unwrap_or("no layout");
    output.line(format_args!(
        "{STRONG}{}{STRONG:#}: {layout}, {}, {} variables{}",
        list.source,
        list.format,
        list.variables.len(),
        if list.truth == Some("spare") {
            ", truth in the spare (interrupted reclaim)"
        } else {
            ""
        },
    ));
    if let (Some(size), Some(used), Some(free), Some(won)) = (
        list.size_bytes,
        list.used_bytes,
        list.free_bytes,
        list.reclaimable_bytes,
    ) {
        output.line(format_args!(
            "{used} of {size} bytes used, {free} free, {won} more after a reclaim"
        ));
    }
    if let Some(found) = list.firmware_finds {
        output.line(format_args!(
            "{CARE}firmware finds {found} of them{CARE:#}: what it reads is the main area, up to the first damage; the rest \
             is lost with a boot, `flashmoor vars repair` saves it"
        ));
    }
    for damage in &list.damage {
        output.line(format_args!("{CARE}damage{CARE:#}: {}", damage.message));
    }
    for variable in &list.variables {
        line(output, variable);
    }
}

fn line(output: &Output, variable: &VariableDocument) {
    let state = match variable.state {
        "live" => String::new(),
        state => format!(" {CARE}[{state}]{CARE:#}"),
    };
    let meaning = variable
        .meaning
        .as_deref()
        .map(|meaning| format!("  {}", shortened(meaning)));
    output.line(format_args!(
        "{}-{STRONG}{}{STRONG:#} {} {} B{state}{}",
        variable.guid,
        variable.name,
        variable.attribute_names.join(","),
        variable.data_bytes,
        meaning.unwrap_or_default(),
    ));
}

/// A list is for the eye: long meanings are cut; `vars show` has them whole.
fn shortened(text: &str) -> String {
    const LIMIT: usize = 160;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) fn show(output: &Output, shown: &[Shown]) {
    for Shown { variable, lines } in shown {
        output.line(format_args!("{STRONG}{}{STRONG:#}", variable.name));
        output.line(format_args!("  guid        {}", variable.guid));
        output.line(format_args!(
            "  attributes  {:#x} ({})",
            variable.attributes,
            variable.attribute_names.join(", ")
        ));
        if let Some(time) = &variable.timestamp {
            output.line(format_args!("  signed      {}", time.text));
        }
        if variable.monotonic_count != 0 || variable.public_key_index != 0 {
            output.line(format_args!(
                "  count       {}, key {}",
                variable.monotonic_count, variable.public_key_index
            ));
        }
        for line in lines {
            output.line(format_args!("  means       {line}"));
        }
        for (at, row) in variable.data.as_bytes().chunks(64).enumerate() {
            let label = if at == 0 { "data" } else { "" };
            output.line(format_args!("  {label:<10}  {}", String::from_utf8_lossy(row)));
        }
    }
}

pub(crate) fn change(output: &Output, change: &VarsChange) {
    for step in &change.steps {
        output.line(step);
    }
    for note in &change.notes {
        output.line(format_args!("{CARE}note{CARE:#}: {note}"));
    }
    if change.written {
        output.line(format_args!("{GOOD}written{GOOD:#}: {}", change.path));
    } else if change.up_to_date {
        output.line(format_args!(
            "{GOOD}nothing to change{GOOD:#}: {} says that already",
            change.path
        ));
    } else {
        output.line(format_args!("nothing is changed; with --yes it is"));
    }
    if let Some(backup) = &change.backup {
        output.remark(format_args!("the old file is {backup}"));
    }
}

pub(crate) fn diff(output: &Output, diff: &VarsDiff) {
    for damage in &diff.damage {
        output.line(format_args!(
            "{CARE}damage{CARE:#} of the {} store: {}",
            damage.side, damage.found.message
        ));
    }
    if diff.identical {
        output.line(match diff.damage.is_empty() {
            true => "the variables are identical",
            false => "the variables that can be read are identical",
        });
    }
    for variable in &diff.only_left {
        output.line(format_args!("{BAD}-{BAD:#} {}-{}", variable.guid, variable.name));
    }
    for variable in &diff.only_right {
        output.line(format_args!(
            "{GOOD}+{GOOD:#} {}-{}",
            variable.guid, variable.name
        ));
    }
    for change in &diff.changed {
        output.line(format_args!(
            "{CARE}~{CARE:#} {}-{}: {}",
            change.left.guid,
            change.left.name,
            change.fields.join(", ")
        ));
    }
}

/// Each store, and where there are several, which of them still trust only 2011's certificates.
pub(crate) fn secure_boot(output: &Output, all: &[SecureBootStatus]) {
    for status in all {
        secure_boot_of(output, status);
    }
    let behind: Vec<_> = all
        .iter()
        .filter(|status| !status.behind().is_empty())
        .map(|status| format!("{} ({})", status.source, status.behind().join(", ")))
        .collect();
    if all.len() > 1 {
        output.line(format_args!(
            "{} of {} trust only Microsoft's certificates of 2011{}{}",
            behind.len(),
            all.len(),
            if behind.is_empty() { "" } else { ": " },
            behind.join(", ")
        ));
    }
}

fn secure_boot_of(output: &Output, status: &SecureBootStatus) {
    let state = match (status.enabled, status.setup_mode) {
        (true, _) => "on",
        (false, true) => "off (setup mode: no platform key)",
        (false, false) => "off",
    };
    output.line(format_args!(
        "{STRONG}{}{STRONG:#}: Secure Boot {state}",
        status.source
    ));
    for (label, keys) in [("PK", &status.pk), ("KEK", &status.kek), ("db", &status.db)] {
        for key in keys {
            output.line(format_args!("  {label:<4} {key}"));
        }
    }
    let plural =
        |count: u64, one: &str, several: &str| format!("{count} {}", if count == 1 { one } else { several });
    output.line(format_args!(
        "  dbx  {}, {}",
        plural(status.dbx_hashes, "hash", "hashes"),
        plural(status.dbx_certificates, "certificate", "certificates")
    ));
    let behind = status.behind();
    if !behind.is_empty() {
        output.line(format_args!(
            "  {CARE}trusts only Microsoft's certificates of 2011{CARE:#} for {}; `flashmoor vars secure-boot enroll \
             --microsoft 2023` adds the new ones",
            behind.join(", ")
        ));
    }
}

pub(crate) fn forecast(output: &Output, forecast: &DbxForecast) {
    let verdict = if forecast.fits_now {
        format!("{GOOD}fits{GOOD:#}")
    } else if forecast.fits_after_compact {
        format!("{CARE}fits only after `flashmoor vars compact`{CARE:#}")
    } else if forecast.fits_offline {
        format!("{CARE}fits only offline, by `flashmoor vars secure-boot enroll --dbx`{CARE:#}")
    } else {
        format!("{BAD}does not fit{BAD:#}")
    };
    output.line(format_args!(
        "{}: {verdict}: {} new signatures, dbx then takes {} bytes of at most {}; {} bytes are free, {} after a reclaim",
        forecast.source,
        forecast.new_signatures,
        forecast.needed_bytes,
        forecast.limit_bytes,
        forecast.free_bytes,
        forecast.free_after_compact_bytes
    ));
}
