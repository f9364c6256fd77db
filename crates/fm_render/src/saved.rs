//! What the `saved` verbs found and did, as text.

use fm_api::v1::saved::{RestorePlan, SavedAdoption, SavedDiff, SavedExtract, SavedPair, SavedVars};
use fm_api::v1::stream::Streamed;

use super::{BAD, CARE, GOOD, Output, STRONG};

/// What was taken out of a saved guest.
pub fn extracted(output: &Output, extracted: &SavedExtract) {
    for file in &extracted.files {
        output.line(format_args!(
            "{STRONG}{}{STRONG:#}  {}  {} bytes  sha256 {}",
            file.path.display(),
            file.block,
            file.size_bytes,
            file.sha256
        ));
    }
    if !extracted.stream_complete {
        output.remark(format_args!(
            "{CARE}the stream is not whole{CARE:#}, but these blocks are; `flashmoor inspect` says where it ends"
        ));
    }
}

/// The variables of a saved guest.
pub fn vars(output: &Output, vars: &SavedVars) {
    for variable in &vars.variables {
        output.line(format_args!(
            "{STRONG}{}{STRONG:#}  {}  attributes {:#x}  {} bytes",
            variable.name, variable.guid, variable.attributes, variable.size_bytes
        ));
    }
    for damage in &vars.damage {
        output.line(format_args!("{CARE}damage{CARE:#}: {damage}"));
    }
}

/// How a saved guest is restored.
pub fn plan(output: &Output, plan: &RestorePlan) {
    if plan.dry_run {
        output.line("a dry run: the build would be stored and the variables put in place; neither was");
    }
    output.line(format_args!("build {}  {}", plan.build, plan.code.display()));
    if let Some(vars) = &plan.vars {
        output.line(format_args!("variables  {}", vars.display()));
    }
    for memory in &plan.memory {
        output.line(format_args!(
            "memory  {}  {} bytes",
            memory.name, memory.size_bytes
        ));
    }
    for rom in &plan.roms {
        output.line(format_args!("ROM  {}  {} bytes", rom.block, rom.size_bytes));
    }
    for device in &plan.devices {
        output.line(format_args!(
            "device  {} {}, version {}",
            device.name, device.instance, device.version
        ));
    }
    for (number, step) in plan.steps.iter().enumerate() {
        output.whole_line(format_args!("{}. {STRONG}{step}{STRONG:#}", number + 1));
    }
}

/// How two saved guests differ.
pub fn diff(output: &Output, diff: &SavedDiff) {
    if diff.same {
        output.line("no difference in machine, blocks, firmware, variables and device versions");
    }
    for part in &diff.unknown {
        output.line(format_args!("{CARE}unknown{CARE:#} {part}"));
    }
    for (name, complete) in [("first", diff.complete.a), ("second", diff.complete.b)] {
        if !complete {
            output.remark(format_args!(
                "the {name} stream is not whole; `flashmoor inspect` says where it ends"
            ));
        }
    }
    let absent = || "-".to_owned();
    if let Some(SavedPair { a, b }) = &diff.machine {
        let text = |machine: &Option<String>| machine.clone().unwrap_or_else(absent);
        output.line(format_args!("machine  {} -> {}", text(a), text(b)));
    }
    if let Some(SavedPair { a, b }) = &diff.page_size_bytes {
        output.line(format_args!("page size  {a} -> {b}"));
    }
    for block in &diff.blocks {
        let side = |size: Option<u64>, sha256: &Option<String>| match (size, sha256) {
            (None, _) => absent(),
            (Some(size), None) => format!("{size} bytes"),
            (Some(size), Some(sha256)) => format!("{size} bytes {}", sha256.get(..12).unwrap_or(sha256)),
        };
        output.line(format_args!(
            "block {STRONG}{}{STRONG:#}  {} -> {}",
            block.name,
            side(block.size_bytes.a, &block.sha256.a),
            side(block.size_bytes.b, &block.sha256.b)
        ));
    }
    for variable in &diff.variables {
        output.line(format_args!("variable {}  {}", variable.name, variable.change));
    }
    for device in &diff.devices {
        let version = |version: Option<u32>| version.map_or_else(absent, |version| version.to_string());
        output.line(format_args!(
            "device {} {}  version {} -> {}",
            device.name,
            device.instance,
            version(device.version.a),
            version(device.version.b)
        ));
    }
}

/// Where a saved guest gets its firmware from now.
pub fn adopted(output: &Output, adopted: &SavedAdoption) {
    let before = adopted
        .loader_before
        .as_ref()
        .map_or("-".into(), |path| path.display().to_string());
    if adopted.changed {
        let uses = if adopted.dry_run { "would use" } else { "now uses" };
        output.line(format_args!(
            "{GOOD}{}{GOOD:#} {uses} {} (before: {before})",
            adopted.domain,
            adopted.loader.display()
        ));
        let kept = if adopted.dry_run { "would be kept in" } else { "is" };
        output.line(format_args!(
            "the XML as it was {kept} {}",
            adopted.xml_before.display()
        ));
    } else {
        output.line(format_args!(
            "{} uses {} already",
            adopted.domain,
            adopted.loader.display()
        ));
    }
    output.line(format_args!(
        "to bring it back: {STRONG}{}{STRONG:#}",
        adopted.restore
    ));
}

/// A stream: what it is of, whether it is whole, its blocks.
pub fn stream(output: &Output, streamed: &Streamed) {
    let stream = &streamed.stream;
    let machine = stream.machine.as_deref().unwrap_or("unknown");
    output.line(format_args!(
        "  machine  {machine}, stream version {}, pages of {} bytes",
        stream.version, stream.page_size_bytes
    ));
    match &stream.stopped {
        None => output.line(format_args!("  state    {GOOD}whole{GOOD:#}")),
        Some(stop) => output.line(format_args!("  state    {BAD}not whole{BAD:#}: {}", stop.why)),
    }
    for (what, list) in [("declares", &stream.capabilities), ("uses", &stream.features)] {
        if !list.is_empty() {
            output.line(format_args!("  {what:<8} {}", list.join(", ")));
        }
    }
    if let Some(compression) = &streamed.compression {
        output.line(format_args!("  stored   {compression}"));
    }
    if let Some(domain) = &streamed.domain {
        let machine = domain.machine.as_deref().unwrap_or("no machine type");
        let was = match streamed.was_running {
            Some(true) => ", was running",
            Some(false) => ", was paused",
            None => "",
        };
        output.line(format_args!("  domain   {}, {machine}{was}", domain.name));
        let files = [
            ("loader", &domain.loader),
            ("nvram", &domain.nvram),
            ("template", &domain.nvram_template),
        ];
        for (what, path) in files {
            if let Some(path) = path {
                output.line(format_args!("           {what} {}", path.display()));
            }
        }
    }
    for channel in &stream.channels {
        let state = channel.stopped.as_ref().map_or_else(String::new, |stop| {
            format!(", {BAD}not whole{BAD:#}: {}", stop.why)
        });
        output.line(format_args!(
            "  channel  {}, pages: {} data, {} zero, compressed by {}{state}",
            channel.id, channel.pages_data, channel.pages_zero, channel.compression
        ));
    }
    for snapshot in &streamed.snapshots {
        let chosen = if snapshot.chosen { " (this one)" } else { "" };
        output.line(format_args!(
            "  snapshot {} {}: {} bytes of memory{chosen}",
            snapshot.id, snapshot.name, snapshot.vm_state_bytes
        ));
        if let Some(why) = &snapshot.unreadable {
            output.line(format_args!("             {BAD}cannot be read{BAD:#}: {why}"));
        }
        if let Some(stream) = &snapshot.stream {
            let state = stream.stopped.as_ref().map_or("whole", |stop| &stop.why);
            let machine = stream.machine.as_deref().unwrap_or("unknown");
            output.line(format_args!("             machine {machine}, {state}"));
            for (name, sha256) in stream
                .blocks
                .iter()
                .filter_map(|block| Some((&block.name, block.sha256.as_ref()?)))
            {
                output.line(format_args!("             {name}  sha256 {sha256}"));
            }
        }
    }
    for block in &stream.blocks {
        let kinds = [
            (block.pages_data, "data"),
            (block.pages_zero, "zero"),
            (block.pages_xbzrle, "xbzrle"),
            (block.pages_compressed, "deflated"),
        ];
        let pages: Vec<String> = kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let pages = if pages.is_empty() {
            "none".into()
        } else {
            pages.join(", ")
        };
        output.line(format_args!(
            "  block    {STRONG}{}{STRONG:#}  {} bytes, pages: {pages}, in {} bytes of the stream",
            block.name, block.size_bytes, block.stream_bytes
        ));
        if let Some(sha256) = &block.sha256 {
            output.line(format_args!("             sha256 {sha256}"));
        }
        if let Some(build) = &block.build {
            output.line(format_args!("             {build}"));
        }
    }
    for device in &stream.devices {
        output.line(format_args!(
            "  device   {} {}, version {}, {} bytes",
            device.name, device.instance, device.version, device.size_bytes
        ));
    }
    for note in &stream.notes {
        output.line(format_args!(
            "  {CARE}note{CARE:#}     at {:#x}: {}",
            note.offset, note.text
        ));
    }
}
