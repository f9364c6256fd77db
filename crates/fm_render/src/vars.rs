//! Variable stores as text.

use fm_api::v1::firmware::Layout;
use fm_api::v1::secure_boot::{DbxForecast, SecureBootStatus};
use fm_api::v1::vars::{ActiveCopy, VariableState, VarsChange, VarsDiff, VarsList};
use fm_variables::{Shown, namespace_alias};

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, FAINT, GOOD, Output, STRONG, plain};

/// Longer names have a line of their own.
const MAX_NAME_COLUMNS: usize = 24;

/// The variables of a store, one a line, or with `long` in a block each.
pub fn list(output: &Output, list: &VarsList, long: bool) {
    let layout = list.layout.map_or("no layout", Layout::name);
    output.line(format_args!(
        "{STRONG}{}{STRONG:#}: {layout}, {}, {} variables{}",
        list.source,
        list.format,
        list.variables.len(),
        if list.truth == Some(ActiveCopy::Spare) {
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
    if list.variables.is_empty() {
        return;
    }
    let is_all_live = list
        .variables
        .iter()
        .all(|variable| variable.state == VariableState::Live);
    let mut columns = vec![
        Column::new("NAME").most(MAX_NAME_COLUMNS),
        Column::new("NAMESPACE"),
        Column::new("ATTR").drops(1),
        Column::new("SIZE").right(),
    ];
    if !is_all_live {
        columns.push(Column::new("STATE"));
    }
    columns.push(Column::new("MEANING").flows());
    let mut table = Table::new(columns);
    for variable in &list.variables {
        let mut row = vec![
            Cell::styled(&variable.name, STRONG),
            match long {
                true => Cell::from(&variable.guid),
                false => Cell::from(namespace(&variable.guid)),
            },
            variable.attribute_names.join(",").into(),
            variable.data_bytes.to_string().into(),
        ];
        if !is_all_live {
            row.push(Cell::styled(
                match variable.state {
                    VariableState::Live => "",
                    state => state.name(),
                },
                CARE,
            ));
        }
        let meaning = variable.meaning.as_deref().unwrap_or_default();
        row.push(Cell::ours(with_expired(&plain(&match long {
            true => meaning.to_owned(),
            false => shortened(meaning),
        }))));
        table.row(row);
    }
    let dropped = output.table(&table).join(", ");
    if !dropped.is_empty() {
        output.line(format_args!("{FAINT}no room for {dropped} (vars show){FAINT:#}"));
    }
}

/// The short name of a namespace, or the start of its GUID.
fn namespace(guid: &str) -> String {
    match namespace_alias(guid) {
        Some(alias) => alias.to_owned(),
        None => guid.split('-').next().unwrap_or(guid).to_owned(),
    }
}

/// Certificates whose last day is past, in red. The words stay those that `meaning` has.
fn with_expired(meaning: &str) -> String {
    meaning.replace("(expired ", &format!("({BAD}expired{BAD:#} "))
}

/// A list is for the eye: long meanings are cut between words; `vars show` has them whole.
fn shortened(text: &str) -> String {
    const LIMIT: usize = 160;
    let Some((end, _)) = text.char_indices().nth(LIMIT) else {
        return text.to_owned();
    };
    let end = text[..end].rfind([' ', ',', '/']).unwrap_or(end);
    format!("{} …", &text[..end])
}

/// What variables hold.
pub fn show(output: &Output, shown: &[Shown]) {
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

/// What was changed.
pub fn change(output: &Output, change: &VarsChange) {
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
        output.line(format_args!(
            "a dry run: {} would be written, and is as it was",
            change.path
        ));
    }
    if let Some(backup) = &change.backup {
        output.remark(format_args!("the old file is {backup}"));
    }
}

/// How two stores differ.
pub fn diff(output: &Output, diff: &VarsDiff) {
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
    let mut table = Table::new([
        Column::new(""),
        Column::new("NAME").most(MAX_NAME_COLUMNS),
        Column::new("NAMESPACE"),
        Column::new("WHAT").flows(),
    ]);
    let mut row = |sign: &str, style, name: &str, guid: &str, what: String| {
        let sign = Cell::styled(sign, style);
        table.row([
            sign,
            Cell::styled(name, STRONG),
            namespace(guid).into(),
            what.into(),
        ]);
    };
    for variable in &diff.only_left {
        row(
            "-",
            BAD,
            &variable.name,
            &variable.guid,
            format!("{} bytes", variable.data_bytes),
        );
    }
    for variable in &diff.only_right {
        row(
            "+",
            GOOD,
            &variable.name,
            &variable.guid,
            format!("{} bytes", variable.data_bytes),
        );
    }
    for change in &diff.changed {
        let what = format!("{} differ", change.fields.join(", "));
        row("~", CARE, &change.left.name, &change.left.guid, what);
    }
    if !diff.identical {
        output.table(&table);
    }
}

/// Each store, and where there are several, which of them still trust only 2011's certificates.
pub fn secure_boot(output: &Output, all: &[SecureBootStatus]) {
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
        let nothing: Vec<_> = all
            .iter()
            .filter(|status| !status.nothing_trusted_for.is_empty())
            .map(|status| format!("{} ({})", status.source, status.nothing_trusted_for.join(", ")))
            .collect();
        if !nothing.is_empty() {
            output.line(format_args!(
                "{} of {} trust nothing any more for what is in brackets: {}",
                nothing.len(),
                all.len(),
                nothing.join(", ")
            ));
        }
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
            let key = plain(key).replace(", expired,", &format!(", {BAD}expired{BAD:#},"));
            output.line(format_args!("  {label:<4} {key}"));
        }
    }
    let plural =
        |count: u64, one: &str, several: &str| format!("{count} {}", if count == 1 { one } else { several });
    output.line(format_args!(
        "  dbx  {}, {}{}",
        plural(status.dbx_hashes, "hash", "hashes"),
        plural(status.dbx_certificates, "certificate", "certificates"),
        match status.dbx_certificate_hashes {
            0 => String::new(),
            count => format!(
                ", {}",
                plural(count, "digest of a certificate", "digests of certificates")
            ),
        }
    ));
    for version in &status.dbx_secure_versions {
        output.line(format_args!("  dbx  secure version: {version}"));
    }
    if let Some(level) = &status.sbat_level {
        output.line(format_args!("  SBAT {level}"));
    }
    for revoked in &status.revoked {
        output.line(format_args!(
            "  {CARE}revoked{CARE:#}, so that nothing boots by it: {revoked}"
        ));
    }
    if !status.nothing_trusted_for.is_empty() {
        output.line(format_args!(
            "  {BAD}trusts nothing for {}{BAD:#}: dbx revokes every certificate of Microsoft's in db for it",
            status.nothing_trusted_for.join(", ")
        ));
    }
    let behind = status.behind();
    if !behind.is_empty() {
        output.line(format_args!(
            "  {CARE}trusts only Microsoft's certificates of 2011{CARE:#} for {}; `flashmoor vars secure-boot enroll \
             --microsoft 2023` adds the new ones",
            behind.join(", ")
        ));
    }
}

/// What an update of the revocation list would shut out.
pub fn forecast(output: &Output, forecast: &DbxForecast) {
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
    for revoked in &forecast.revoked {
        output.line(format_args!("  {CARE}revokes in db{CARE:#}: {revoked}"));
    }
    if !forecast.nothing_trusted_for.is_empty() {
        output.line(format_args!(
            "  {BAD}nothing is trusted any more{BAD:#} for {}",
            forecast.nothing_trusted_for.join(", ")
        ));
    }
}
