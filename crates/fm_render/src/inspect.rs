//! What a file is, for people: the facts, the flash map to scale, the tree.

use fm_api::v1::build::BuildSource;
use fm_api::v1::firmware::{Arch, Layout};
use fm_api::v1::inspect::{
    DamageDocument, ImageDocument, ImageFormat, InspectDocument, InspectKind, NodeDocument, PartDocument,
    RegionDocument, RegionKind, RegionRunsFrom, RunsFrom, StoreDocument,
};

use super::table::{Cell, Column, Table};
use super::{BAD, FAINT, GOOD, Output, STRONG, plain, screen, wrap};

/// Lines of the map, unless many small regions need one each.
const LINES: u64 = 16;

/// Cells of the map in a line, with room for words beside them.
fn cells_in_line() -> u64 {
    match screen::columns() {
        110.. => 48,
        76.. => 32,
        _ => 16,
    }
}

/// A folder: one line a file.
pub fn brief(output: &Output, documents: &[&InspectDocument]) {
    let mut table = Table::new([
        Column::new("FILE").most(MAX_NAME_COLUMNS),
        Column::new("KIND"),
        Column::new("ARCH").drops(2),
        Column::new("LAYOUT").drops(3),
        Column::new("SIZE").right().drops(1),
        Column::new("WHAT").flows(),
    ]);
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let mut folders: Vec<Option<String>> = documents.iter().map(|document| folder(&document.path)).collect();
    folders.dedup();
    let one_folder = match folders.as_slice() {
        [Some(one)] => Some(one.as_str()),
        _ => None,
    };
    if let Some(folder) = one_folder {
        output.line(format_args!("{STRONG}{}{STRONG:#}", plain(folder)));
    }
    for document in documents {
        let name = match one_folder {
            Some(folder) => document.path[folder.len()..].trim_start_matches('/'),
            None => document.path.as_str(),
        };
        let image = document.image.as_ref();
        table.row([
            Cell::styled(name, STRONG),
            Cell::from(document.kind),
            image.and_then(|image| image.arch).map_or("-", Arch::name).into(),
            image
                .and_then(|image| image.layout)
                .map_or("-", Layout::name)
                .into(),
            document.size_bytes.to_string().into(),
            Cell::ours(what(document)),
        ]);
    }
    output.table(&table);
    output.line(format_args!("{FAINT}--long says all of each{FAINT:#}"));
}

/// Longer names have a line of their own.
const MAX_NAME_COLUMNS: usize = 32;

/// What a file is, in a few words: the build, how many variables, why it is nothing.
fn what(document: &InspectDocument) -> String {
    let mut words = Vec::new();
    let is_vars = document.kind == InspectKind::Vars;
    if let Some(image) = document.image.as_ref().filter(|_| !is_vars) {
        words.push(plain(&image.build.to_string()));
    }
    if let Some(store) = &document.store {
        let keys = if store.secure_boot_keys {
            ", Secure Boot keys"
        } else {
            ""
        };
        words.push(format!("{} variables{keys}", store.variables));
    }
    words.extend(document.reason.as_deref().map(plain));
    let of_image = document.image.as_ref().map_or(0, |image| image.damage.len());
    let of_store = document.store.as_ref().map_or(0, |store| store.damage.len());
    if of_image + of_store + document.damage.len() > 0 {
        words.push(format!("{BAD}damaged{BAD:#}"));
    }
    words.join(", ")
}

/// Architecture, mode and platform, as far as they are known.
pub(super) fn image_words(image: &ImageDocument) -> Vec<String> {
    let arch = image.arch.map(|arch| arch.to_string());
    let mode = image.cpu_mode.map(|mode| mode.to_string());
    [arch, mode, image.platform.clone()]
        .into_iter()
        .flatten()
        .collect()
}

/// All that is known of an image.
pub fn text(output: &Output, document: &InspectDocument, modules: bool) {
    let heading = match &document.image {
        Some(image) => {
            let mut words = image_words(image);
            words.extend(image.layout.as_ref().map(|layout| format!("layout {layout}")));
            words.insert(0, document.kind.to_string());
            words.join(", ")
        }
        None => document.kind.to_string(),
    };
    output.line(format_args!("{STRONG}{}{STRONG:#}: {heading}", document.path));
    if let Some(why) = &document.stream_unreadable {
        output.line(format_args!("  snapshot cannot be read: {why}"));
    }
    if let Some(reason) = &document.reason {
        output.line(format_args!("  why      {reason}"));
    }
    let format = document.format.map_or("", ImageFormat::name);
    output.line(format_args!(
        "  size     {} bytes ({:#x}) {format}",
        document.size_bytes, document.size_bytes
    ));
    if let Some(sha256) = &document.sha256 {
        output.line(format_args!("  sha256   {sha256}"));
    }
    damage(output, &document.damage);
    if let Some(image) = &document.image {
        facts(output, image, document.store.as_ref());
    }
    if let Some(store) = &document.store {
        let keys = if store.secure_boot_keys {
            ", Secure Boot keys enrolled"
        } else {
            ""
        };
        output.line(format_args!(
            "  store    {}, {} variables{keys}",
            store.format, store.variables
        ));
    }
    if let Some(streamed) = &document.streamed {
        super::saved::stream(output, streamed);
    }
    tree(output, document.tree.as_deref());
    let Some(image) = &document.image else { return };
    output.line("");
    map(output, &image.map, document.store.as_ref(), document.size_bytes);
    volumes(output, image);
    if let Some(table) = &image.reset_vector {
        output.line(format_args!("\n{STRONG}reset vector table{STRONG:#}"));
        for entry in &table.entries {
            let name = entry.name.as_deref().unwrap_or(&entry.guid);
            output.line(format_args!("  {name:<22} {}", number_or_bytes(&entry.data)));
        }
        for range in &table.ranges {
            let measured = if range.measured { ", measured" } else { "" };
            output.line(format_args!(
                "  {:<8} {:#012x} +{:#010x}  {}{measured}",
                range.technology, range.base, range.size_bytes, range.purpose
            ));
        }
    }
    if modules {
        output.line(format_args!("\n{STRONG}modules{STRONG:#}"));
        for module in &image.modules {
            output.line(format_args!(
                "  {} {:<20} {:>8} {} {}",
                module.guid,
                module.kind,
                module.size_bytes,
                module.sha256.get(..16).unwrap_or(""),
                module.name.as_deref().unwrap_or("-")
            ));
        }
    }
    tree(output, image.tree.as_deref());
}

/// Four bytes are a number in the table of OVMF, the least first; others are shown as they stand.
fn number_or_bytes(data: &str) -> String {
    match u32::from_str_radix(data, 16) {
        Ok(number) if data.len() == 8 => format!("{:#x}", number.swap_bytes()),
        _ => data.into(),
    }
}

fn tree(output: &Output, nodes: Option<&[NodeDocument]>) {
    if let Some(nodes) = nodes {
        output.line(format_args!("\n{STRONG}tree{STRONG:#}"));
        nodes.iter().for_each(|node| output.line(tree_line(node)));
    }
}

/// More is in the JSON; the first tells where to look.
const MAX_DAMAGE_COUNT: usize = 16;

fn damage(output: &Output, damages: &[DamageDocument]) {
    for damage in damages.iter().take(MAX_DAMAGE_COUNT) {
        let from = damage
            .decoded_from
            .map(|from| format!(" (in what is decoded from {from:#x})"));
        output.line(format_args!(
            "  {BAD}damage{BAD:#}   {}{}",
            damage.message,
            from.unwrap_or_default()
        ));
    }
    if damages.len() > MAX_DAMAGE_COUNT {
        let more = damages.len() - MAX_DAMAGE_COUNT;
        output.line(format_args!("  {BAD}damage{BAD:#}   and {more} more (--json)"));
    }
}

fn facts(output: &Output, image: &ImageDocument, store: Option<&StoreDocument>) {
    let source = match image.build.source {
        BuildSource::Catalogue => " (its digest is in the catalogue)",
        BuildSource::Image => " (by the version string in it)",
        BuildSource::None => "",
    };
    output.line(format_args!("  build    {}{source}", image.build));
    // Variables alone bring no feature.
    if !image.modules.is_empty() {
        let features = if image.features.is_empty() {
            "none shows".into()
        } else {
            image.features.join(", ")
        };
        output.line(format_args!("  features {features}"));
        output.line(format_args!(
            "  content  {} volumes, {} modules",
            image.volumes.len(),
            image.modules.len()
        ));
    }
    let of_store = store.map_or(&[][..], |store| &store.damage);
    if image.damage.is_empty() && of_store.is_empty() {
        output.line(format_args!("  damage   {GOOD}none{GOOD:#}"));
    }
    damage(output, &image.damage);
    for damage in of_store.iter().take(MAX_DAMAGE_COUNT) {
        output.line(format_args!("  {BAD}damage{BAD:#}   {damage}"));
    }
    if let Some(more) = of_store
        .len()
        .checked_sub(MAX_DAMAGE_COUNT)
        .filter(|more| *more > 0)
    {
        output.line(format_args!("  {BAD}damage{BAD:#}   and {more} more (--json)"));
    }
}

/// How full a region is. Of a volume of variables what counts is the room for variables, which is a part of it.
pub(super) fn fullness(region: &RegionDocument, store: Option<&StoreDocument>) -> Option<String> {
    let percent = |used: u64, size: u64| used.saturating_mul(100) / size.max(1);
    match (region.kind, store) {
        (RegionKind::Padding, _) | (RegionKind::Variables, None) => None,
        (RegionKind::Variables, Some(store)) => Some(format!(
            "{} % of {} KiB for variables used",
            percent(store.used_bytes, store.size_bytes),
            store.size_bytes / 1024
        )),
        _ => Some(format!(
            "{} % full",
            percent(region.used_bytes, region.size_bytes)
        )),
    }
}

/// Regions from the start of flash to its end; a cell is as many bytes in one as in every other.
fn map(output: &Output, regions: &[RegionDocument], store: Option<&StoreDocument>, size_bytes: u64) {
    let in_line = cells_in_line();
    let cell = size_bytes.div_ceil(LINES * in_line).max(1);
    let tenths = cell * 10 / 1024;
    let each = match cell % 1024 {
        0 => format!("{} KiB", cell / 1024),
        _ if cell > 1024 => format!("{}.{} KiB", tenths / 10, tenths % 10),
        _ => format!("{cell} bytes"),
    };
    output.line(format_args!(
        "{STRONG}flash map{STRONG:#}, a cell is {each}: # in use, . free, blank is padding"
    ));
    if regions.iter().any(|region| !region.parts.is_empty()) {
        output.line("  of what is in use, F holds code that runs from flash, R code that runs from RAM");
    }
    let width = usize::try_from(in_line).unwrap_or(0);
    // The offset and the frame stand before the words.
    let room = screen::columns().saturating_sub(width + 16);
    for region in regions {
        let cells = (region.size_bytes / cell).max(1);
        let used = region.used_bytes.div_ceil(cell).min(cells);
        let full = fullness(region, store).map_or_else(String::new, |full| format!(", {full}"));
        let runs = match region.runs_from {
            Some(RegionRunsFrom::Flash) => ", its code runs from flash",
            Some(RegionRunsFrom::Mixed) => {
                ", its code runs from flash (F) and from RAM after decompression (R)"
            }
            Some(RegionRunsFrom::RamAfterDecompression) => ", its code runs from RAM after decompression",
            None => "",
        };
        let name = plain(region_name(region));
        let words = format!("{name}, {} KiB{full}{runs}", region.size_bytes.div_ceil(1024));
        let words = wrap::wrap_line(&words, room, 0);
        let lines = usize::try_from(cells.div_ceil(in_line)).unwrap_or(0);
        for line in 0..lines.max(words.len()) {
            let from = line as u64 * in_line;
            let drawn: String = (from..(from + in_line).min(cells))
                .map(|at| match region.kind {
                    _ if at < used => in_use(region, at * cell, cell),
                    RegionKind::Padding => ' ',
                    _ => '.',
                })
                .collect();
            let offset = match line {
                0 => format!("{:#010x}", region.offset),
                _ => String::new(),
            };
            let words = words.get(line).map_or("", String::as_str);
            let frame = if line < lines { '|' } else { ' ' };
            let text = format!("  {offset:<10} {frame}{drawn:<width$}{frame} {words}");
            output.whole_line(text.trim_end());
        }
    }
    output.line(format_args!("  {size_bytes:#010x}"));
}

/// The sign of the cell that starts so far into the region: for the code that most of it holds.
fn in_use(region: &RegionDocument, from: u64, cell: u64) -> char {
    let (start, end) = (region.offset + from, region.offset + from + cell);
    let overlap = |part: &&PartDocument| {
        (part.offset + part.size_bytes)
            .min(end)
            .saturating_sub(part.offset.max(start))
    };
    let most = region.parts.iter().max_by_key(overlap);
    match most.filter(|part| overlap(part) * 2 >= cell.min(region.size_bytes)) {
        Some(part) if part.runs_from == RunsFrom::Flash => 'F',
        Some(_) => 'R',
        None => '#',
    }
}

/// What a region is called: by its own name if it has one.
pub(super) fn region_name(region: &RegionDocument) -> &str {
    match &region.name {
        Some(name) => name,
        None if region.kind == RegionKind::Padding && region.used_bytes > 0 => "bytes outside of volumes",
        None => region.kind.name(),
    }
}

fn volumes(output: &Output, image: &ImageDocument) {
    output.line(format_args!("\n{STRONG}volumes{STRONG:#}"));
    for volume in &image.volumes {
        let percent = volume.used_bytes.saturating_mul(100) / volume.size_bytes.max(1);
        let used = if volume.is_variables() {
            String::new()
        } else {
            format!("{percent:>3} % used, ")
        };
        let place = if volume.compressed { "compressed at" } else { "at" };
        let runs = match volume.runs_from {
            Some(RunsFrom::Flash) => ", runs from flash",
            Some(RunsFrom::RamAfterDecompression) => ", runs from RAM",
            None => "",
        };
        let measured = if volume.measured { ", measured" } else { "" };
        output.line(format_args!(
            "  {:<16} {:>8} KiB {used}{place} {:#x}{runs}{measured}",
            volume.label(),
            volume.size_bytes / 1024,
            volume.offset,
        ));
        output.line(format_args!("    {} sha256 {}", volume.guid, volume.sha256));
    }
}

fn tree_line(node: &NodeDocument) -> String {
    let indent = "  ".repeat(usize::from(node.depth) + 1);
    let words = [&node.subtype, &node.name, &node.guid];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    let detail = node
        .detail
        .as_ref()
        .map(|detail| format!("  [{detail}]"))
        .unwrap_or_default();
    let offset = node.offset;
    format!(
        "{offset:#010x} {:>8} {indent}{} {}{detail}",
        node.size_bytes,
        node.kind,
        words.join(" ")
    )
}
