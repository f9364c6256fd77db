//! The store's documents as text.

use fm_api::v1::store::{
    StoreBuild, StoreExport, StoreForgotten, StoreGc, StoreImport, StoreLandings, StoreList, StorePins,
    StoreRemoved, StoreSeverity, StoreVerification, UnreadableRecord,
};

use super::table::{Cell, Column, Table};
use super::{BAD, CARE, GOOD, Output, STRONG, plain};

/// So many digits tell builds apart for people.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn called(id: &str, name: Option<&str>) -> String {
    name.map_or_else(
        || short(id).to_owned(),
        |name| format!("{} {}", short(id), plain(name)),
    )
}

/// Records that cannot be read, each with why.
fn unreadable(output: &Output, records: &[UnreadableRecord]) {
    for record in records {
        let (name, why) = (plain(&record.name), plain(&record.why));
        output.remark(format_args!("{BAD}unreadable{BAD:#}: {name}: {why}"));
    }
}

/// The builds, one a line.
pub fn list(output: &Output, list: &StoreList) {
    unreadable(output, &list.unreadable);
    if list.builds.is_empty() {
        output.remark(format_args!("{} holds no builds", list.store.display()));
        return;
    }
    let mut rows = Table::new([
        Column::new("BUILD"),
        Column::new("SIZE").right().drops(1),
        Column::new("KEPT"),
        Column::new("NAME"),
        Column::new("VERSION"),
    ]);
    for build in &list.builds {
        let known = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
        rows.row([
            Cell::from(short(&build.id)),
            build.size_bytes.to_string().into(),
            if build.pins.is_empty() { "" } else { "pinned" }.into(),
            known(&build.name),
            known(&build.version),
        ]);
    }
    output.table(&rows);
}

/// All that is known of one build.
pub fn show(output: &Output, show: &StoreBuild) {
    let build = &show.build;
    let line = |head: &str, text: &str| output.line(format_args!("{head:<12} {}", plain(text)));
    output.line(format_args!(
        "{STRONG}{}{STRONG:#}",
        plain(build.name.as_deref().unwrap_or("a build without a name"))
    ));
    line("id", &build.id);
    for (head, text) in [
        ("version", &build.version),
        ("from", &build.source),
        ("stored", &build.created),
    ] {
        if let Some(text) = text {
            line(head, text);
        }
    }
    line(
        "CODE",
        &format!("{} ({} bytes)", build.path.display(), build.size_bytes),
    );
    for (head, file) in [
        ("template", &build.vars_template),
        ("descriptor", &build.descriptor),
    ] {
        if let Some(file) = file {
            line(
                head,
                &format!("{} ({} bytes)", file.path.display(), file.size_bytes),
            );
        }
    }
    line("manifest", &build.manifest);
    line("skopeo", &format!("oci:{}:{}", show.store.display(), build.tag));
    show.landings.iter().for_each(|landing| line("landing", landing));
    build.pins.iter().for_each(|pin| line("pinned", pin));
}

/// What was stored.
pub fn imported(output: &Output, done: &StoreImport) {
    let news = match (done.new, done.dry_run) {
        (true, false) => "stored",
        (true, true) => "would be stored:",
        (false, false) => "had it already",
        (false, true) => "has it already, and would add what it lacks:",
    };
    output.line(format_args!("{GOOD}{news}{GOOD:#} {}", done.id));
    output.line(done.path.display());
}

/// Where a build was written to.
pub fn exported(output: &Output, done: &StoreExport) {
    match &done.tag {
        Some(tag) => output.line(format_args!("oci:{}:{tag}", done.to.display())),
        None => done.files.iter().for_each(|file| output.line(file.display())),
    }
}

/// What is wrong with the store.
pub fn verified(output: &Output, found: &StoreVerification) {
    for finding in &found.findings {
        let (word, style) = match finding.severity {
            StoreSeverity::Damage => ("damage", BAD),
            StoreSeverity::Leftover => ("leftover", CARE),
        };
        output.line(format_args!(
            "{style}{word}{style:#}: {}: {}",
            finding.path.display(),
            plain(&finding.what)
        ));
    }
    let (word, style) = if found.whole {
        ("whole", GOOD)
    } else {
        ("damaged", BAD)
    };
    output.line(format_args!(
        "{style}{word}{style:#}: {} builds, {} landings, {} blobs, {} bytes read",
        found.builds, found.landings, found.blobs, found.size_bytes
    ));
}

/// What was collected, or would be.
pub fn collected(output: &Output, done: &StoreGc) {
    let (removed, frees) = if done.dry_run {
        ("would remove", "would free")
    } else {
        ("removed", "freed")
    };
    for gone in &done.removed {
        match gone {
            StoreRemoved::Build { id, name } => {
                output.line(format_args!("{removed} build {}", called(id, name.as_deref())));
            }
            StoreRemoved::Landing { id } => {
                output.line(format_args!("{removed} landing {id}, whose guest never came"))
            }
            StoreRemoved::Leftover { path } => {
                output.line(format_args!("{removed} leftover {}", path.display()))
            }
        }
    }
    for kept in &done.kept {
        let (name, why) = (called(&kept.id, kept.name.as_deref()), kept.reasons.join("; "));
        output.line(format_args!("kept build {name}: {}", plain(&why)));
    }
    output.line(format_args!("{frees} {} bytes", done.freed_bytes));
}

/// The pins of a build.
pub fn pinned(output: &Output, done: &StorePins) {
    let name = called(&done.id, done.name.as_deref());
    let is = if done.dry_run { "would be" } else { "is" };
    let is_not = if done.dry_run { "would not be" } else { "is not" };
    if done.pins.is_empty() {
        output.line(format_args!("build {name} {is_not} pinned"));
    }
    done.pins
        .iter()
        .for_each(|pin| output.line(format_args!("build {name} {is} pinned: {}", plain(pin))));
}

/// The landings, one a line.
pub fn landings(output: &Output, list: &StoreLandings) {
    unreadable(output, &list.unreadable);
    if list.landings.is_empty() {
        output.remark(format_args!("{} holds no landings", list.store.display()));
        return;
    }
    let mut rows = Table::new(["LANDING", "BUILD", "STATE", "MADE"].map(Column::new));
    for landing in &list.landings {
        let state = if landing.placeholder { "waiting" } else { "filled" };
        rows.row(
            [
                landing.id.as_str(),
                short(&landing.code_sha256),
                state,
                landing.created.as_str(),
            ]
            .map(Cell::from),
        );
    }
    output.table(&rows);
}

/// Which landings were removed.
pub fn forgotten(output: &Output, done: &StoreForgotten) {
    let removed = if done.dry_run { "would remove" } else { "removed" };
    output.line(format_args!("{removed} landing {}", done.id));
}
