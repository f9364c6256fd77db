//! Every volume, file and section of every real image against an independent reader, UEFIExtract
//! (Debian package `uefitool-cli`): same order, same type, same size, same bytes (by CRC-32), same GUID.

use std::path::Path;
use std::process::Command;

use fm_fixtures::Kind;
use fm_formats::volume::{NodeKind, SectionKind, Tree, VolumeHeader, decode};

/// One row: what it is, how large, the CRC-32 of its bytes.
type Row = (String, u64, u32);

#[test]
fn every_image_has_the_volumes_files_and_sections_that_uefiextract_reports() {
    let folder = std::env::temp_dir().join(format!("flashmoor-uefiextract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut images = 0;
    for kind in [Kind::Code, Kind::Combined, Kind::Vars] {
        for fixture in fm_fixtures::of_kind(kind) {
            let image = without_padding(fixture.bytes());
            let theirs = uefiextract(&image, &folder);
            let ours = rows(&image);
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours, theirs, "{} row {at}", fixture.name);
            }
            assert_eq!(ours.len(), theirs.len(), "{}", fixture.name);
            assert!(
                kind == Kind::Vars || ours.len() > 150,
                "{}: {} rows",
                fixture.name,
                ours.len()
            );
            images += 1;
        }
    }
    assert!(images >= 40, "only {images} images");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Images for QEMU's fixed 64 MiB chips are zeros for the most part, over which UEFIExtract takes seconds and
/// 676 MB: both readers get a quarter of a MiB of them.
fn without_padding(mut image: Vec<u8>) -> Vec<u8> {
    let content = image
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    image.truncate(content.next_multiple_of(4096) + (256 << 10));
    image
}

fn rows(image: &[u8]) -> Vec<Row> {
    let tree = Tree::parse(image);
    let mut rows = Vec::new();
    for node in tree.nodes() {
        let what = match &node.kind {
            NodeKind::Volume(facts) => match facts.header.file_system {
                VolumeHeader::NV_DATA => "Volume NVRAM".to_owned(),
                VolumeHeader::FFS3 => format!("Volume FFSv3 {}", name(facts.name)),
                _ => format!("Volume FFSv2 {}", name(facts.name)),
            },
            NodeKind::File(facts) => {
                let kind = file_kind(facts.kind.to_wire());
                // Names of pad files mean nothing, and UEFIExtract leaves them out.
                if kind == "Pad" {
                    "File Pad".to_owned()
                } else {
                    format!("File {kind} {}", facts.name)
                }
            }
            NodeKind::Section(facts) => {
                let guid = match facts.kind {
                    SectionKind::GuidDefined | SectionKind::FreeformGuid => name(facts.guid),
                    _ => String::new(),
                };
                format!("Section {} {guid}", section_kind(facts.kind))
                    .trim_end()
                    .to_owned()
            }
            NodeKind::Padding { .. } | NodeKind::FreeSpace => continue,
        };
        let bytes = tree.bytes(node);
        rows.push((
            what.to_ascii_lowercase(),
            bytes.len() as u64,
            decode::crc32(bytes),
        ));
    }
    rows
}

fn name(guid: Option<fm_formats::Guid>) -> String {
    guid.map(|guid| guid.to_string()).unwrap_or_default()
}

fn uefiextract(image: &[u8], folder: &Path) -> Vec<Row> {
    let file = folder.join("image.fd");
    std::fs::write(&file, image).unwrap();
    let report = folder.join("image.fd.report.txt");
    let _ = std::fs::remove_file(&report);
    let run = Command::new("UEFIExtract").arg(&file).arg("report").output();
    run.unwrap_or_else(|error| panic!("UEFIExtract (apt install uefitool-cli): {error}"));
    let text = std::fs::read(&report).unwrap();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.splitn(6, '|').map(str::trim).collect();
    let [
        kind @ ("Volume" | "File" | "Section"),
        subtype,
        _,
        size,
        crc,
        name,
    ] = fields[..]
    else {
        return None;
    };
    let guid = name
        .trim_start_matches(['-', ' '])
        .get(..36)
        .filter(|text| text.parse::<fm_formats::Guid>().is_ok());
    // A volume without a name is shown with the GUID of its file system.
    let guid = guid.filter(|text| kind != "Volume" || *text != "8C8CE578-8A3D-4F1C-9935-896185C32DD3");
    let row = match (kind, guid) {
        ("Volume", None) if subtype.starts_with("FFS") => format!("{kind} {subtype} "),
        ("Volume", _) if subtype == "NVRAM" => format!("{kind} {subtype}"),
        (_, Some(guid)) => format!("{kind} {subtype} {guid}"),
        (_, None) => format!("{kind} {subtype}"),
    };
    let number = |text: &str| u32::from_str_radix(text, 16).unwrap();
    Some((row.to_ascii_lowercase(), u64::from(number(size)), number(crc)))
}

fn file_kind(kind: u8) -> &'static str {
    match kind {
        0x01 => "Raw",
        0x02 => "Freeform",
        0x03 => "SEC core",
        0x04 => "PEI core",
        0x05 => "DXE core",
        0x06 => "PEI module",
        0x07 => "DXE driver",
        0x08 => "Combined PEI/DXE",
        0x09 => "Application",
        0x0a => "SMM module",
        0x0b => "Volume image",
        0x0c => "Combined SMM/DXE",
        0x0d => "SMM core",
        0x0e => "MM standalone module",
        0x0f => "MM standalone core",
        0xf0 => "Pad",
        _ => "Unknown",
    }
}

fn section_kind(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Compression => "Compressed",
        SectionKind::GuidDefined => "GUID defined",
        SectionKind::Disposable => "Disposable",
        SectionKind::Pe32 => "PE32 image",
        SectionKind::Pic => "PIC image",
        SectionKind::Te => "TE image",
        SectionKind::DxeDepex => "DXE dependency",
        SectionKind::Version => "Version",
        SectionKind::Ui => "UI",
        SectionKind::Compatibility16 => "16-bit image",
        SectionKind::VolumeImage => "Volume image",
        SectionKind::FreeformGuid => "Freeform subtype GUID",
        SectionKind::Raw => "Raw",
        SectionKind::PeiDepex => "PEI dependency",
        SectionKind::MmDepex => "MM dependency",
        SectionKind::Other(_) => "Unknown",
    }
}
