//! What is found in real images, and what is said where not all of one can be read.

use std::fs::OpenOptions;
use std::num::NonZero;
use std::path::Path;

use fm_api::v1::extract::FoundPlace;
use fm_api::v1::inspect::{InspectDocument, VolumeDocument};
use fm_fixtures::path;
use fm_images::Error;
use fm_images::catalogue;
use fm_images::diff;
use fm_images::extract;
use fm_images::extract::Wanted;
use fm_images::inspect::{Request, inspect};
use fm_remedy::{Action, Class, Failure as _, Input, PieceKey};
use rustix::fs::{FileType, Mode};

fn found(name: &str, query: &str) -> Vec<FoundPlace> {
    extract::find(&path(name), query).unwrap().matches
}

fn file(name: &str) -> Wanted {
    Wanted {
        file: Some(name.into()),
        ..Wanted::default()
    }
}

fn volume(name: &str) -> Wanted {
    Wanted {
        volume: Some(name.into()),
        ..Wanted::default()
    }
}

fn section(kind: &str, of: Wanted) -> Wanted {
    Wanted {
        section: Some(kind.into()),
        ..of
    }
}

/// What the refusal of an ambiguous request offers.
fn offered(image: &Path, wanted: &Wanted) -> Vec<(PieceKey, String)> {
    let error = extract::extract(image, wanted).unwrap_err();
    assert_eq!(error.class(), Class::Usage, "{error}");
    let given = error.remedy().unwrap().actions.into_iter();
    given
        .filter_map(|action| match action {
            Action::Give(Input::Piece { by, value, .. }) => Some((by, value)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_container_is_not_called_what_is_in_it() {
    for (image, module) in [
        ("trixie/OVMF_CODE_4M.fd", "PeiCore"),
        ("trixie/AAVMF_CODE.secboot.fd", "DxeCore"),
    ] {
        let named: Vec<FoundPlace> = found(image, module);
        let named: Vec<&FoundPlace> = named.iter().filter(|found| found.what.name() == "name").collect();
        assert!(!named.is_empty());
        let all = named
            .iter()
            .all(|found| found.place.last().unwrap().contains(module));
        assert!(all, "{named:?}");
    }
}

#[test]
fn volumes_are_found_by_their_format_and_text_in_headers() {
    let image = "trixie/OVMF.fd";
    let offsets = |query: &str| -> Vec<u64> {
        let found = found(image, query);
        let outside = found.iter().filter(|found| !found.compressed);
        outside.map(|found| found.offset).collect()
    };
    // Variables, FVMAIN_COMPACT and SECFV.
    for start in [0u64, 0x8_4000, 0x3c_c000] {
        assert!(offsets("_FVH").contains(&(start + 0x28)), "{start:#x}");
    }
    let formats = offsets("{8C8CE578-8A3D-4F1C-9935-896185C32DD3}");
    assert!(
        formats.starts_with(&[0x8_4000]) && formats.contains(&0x3c_c000),
        "{formats:x?}"
    );
    assert_eq!(offsets("fff12b8d-7696-4c8b-a985-2747075b4f50")[0], 0);
}

#[test]
fn what_could_not_be_read_is_said_where_nothing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.fd");
    let mut bytes = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    bytes[0x8_0000] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let sound = extract::find(&path("trixie/OVMF_CODE_4M.fd"), "TlsDxe").unwrap();
    assert!(sound.total > 0 && sound.damage.is_empty());
    let document = extract::find(&damaged, "TlsDxe").unwrap();
    assert_eq!(document.total, 0);
    assert!(document.damage[0].contains("lzma"), "{:?}", document.damage);
    let error = extract::extract(&damaged, &file("TlsDxe")).unwrap_err();
    assert!(error.to_string().contains("lzma"), "{error}");
}

#[test]
fn a_name_that_two_modules_have_is_refused_with_their_guids_and_found_twice() {
    let image = "trixie/OVMF_CODE_4M.fd";
    for (name, guids) in [
        (
            "CpuDxe",
            [
                "1a1e4886-9517-440e-9fde-3be44cee2136",
                "6490f1c5-ebcc-4665-8892-0075b9bb49b7",
            ],
        ),
        (
            "CpuMpPei",
            [
                "edadeb9d-ddba-48bd-9d22-c1c169c8c5c6",
                "280251c4-1d09-4035-9062-839acb5f18c1",
            ],
        ),
    ] {
        let named = found(image, name);
        let named = named.iter().filter(|found| found.what.name() == "name");
        let called: Vec<&str> = named
            .filter_map(|found| Some(found.place.last()?.as_str()))
            .collect();
        assert_eq!(called, [name, name]);
        let [one, other] = guids.map(|guid| extract::extract(&path(image), &file(guid)).unwrap());
        assert!(one != other);
        let choices = [guids[0], guids[1]].map(|value| (PieceKey::File, value.to_string()));
        assert_eq!(offered(&path(image), &file(name)), choices);
        assert_eq!(offered(&path(image), &section("pe32", file(name))), choices);
    }
}

#[test]
fn of_many_pieces_the_first_are_offered_by_their_files() {
    let image = path("trixie/OVMF_CODE_4M.fd");
    let wanted = section("pe32", Wanted::default());
    let files = offered(&image, &wanted);
    let remedy = extract::extract(&image, &wanted).unwrap_err().remedy().unwrap();
    assert!(
        matches!(remedy.actions.last(), Some(Action::InspectTree { .. })),
        "{remedy:?}"
    );
    assert_eq!(files.len(), 8);
    for (by, guid) in files {
        assert_eq!(by, PieceKey::File);
        assert!(
            extract::extract(&image, &section("pe32", file(&guid)))
                .unwrap()
                .starts_with(b"MZ")
        );
    }
}

#[test]
fn a_volume_is_taken_by_whatever_inspect_shows_of_it() {
    let image = path("trixie/OVMF.fd");
    let request = Request {
        path: image.clone(),
        ..Request::default()
    };
    let document = InspectDocument::from(inspect(&request).unwrap());
    let volumes: Vec<VolumeDocument> = document.image.unwrap().volumes;
    assert!(volumes.iter().any(|volume| volume.label() == "variables"));
    for shown in &volumes {
        let by = |words: &str| {
            let bytes = extract::extract(&image, &volume(words)).unwrap();
            assert_eq!(
                fm_formats::Sha256::of(&bytes).to_string(),
                shown.sha256,
                "{words}"
            );
        };
        by(&shown.guid);
        by(shown.label());
        by(shown.name.as_ref().unwrap());
        for offset in [format!("{:#x}", shown.offset), shown.offset.to_string()] {
            if shown.compressed {
                let choices = ["PEIFV", "DXEFV"].map(|value| (PieceKey::Volume, value.to_owned()));
                assert_eq!(offered(&image, &volume(&offset)), choices);
            } else {
                by(&offset);
            }
        }
    }
    assert_eq!(volumes.iter().filter(|volume| volume.compressed).count(), 2);
}

#[test]
fn an_offset_at_which_nothing_lies_is_called_one() {
    let error = extract::extract(&path("trixie/OVMF.fd"), &volume("0x20090")).unwrap_err();
    assert!(
        error.to_string().contains("no volume lies at offset 0x20090"),
        "{error}"
    );
    assert!(error.remedy().unwrap().advice.contains("offset"));
}

#[test]
fn pieces_of_one_file_are_chosen_by_their_number() {
    let image = path("trixie/OVMF_CODE_4M.fd");
    let held = section("volume-image", file("FVMAIN_COMPACT_IMAGE"));
    let raw = section("raw", file("PcdPeim"));
    for wanted in [&held, &raw] {
        let choices = ["1", "2"].map(|value| (PieceKey::Nth, value.to_owned()));
        assert_eq!(offered(&image, wanted), choices);
    }
    let nth = |wanted: &Wanted, nth: usize| {
        let wanted = Wanted {
            nth: NonZero::new(nth),
            ..wanted.clone()
        };
        extract::extract(&image, &wanted)
    };
    let remedy = extract::extract(&image, &held).unwrap_err().remedy().unwrap();
    for (number, name) in [(1, "PEIFV"), (2, "DXEFV")] {
        let about = remedy.actions.iter().find_map(|action| match action {
            Action::Give(Input::Piece { value, about, .. }) if *value == number.to_string() => about.as_ref(),
            _ => None,
        });
        assert!(about.unwrap().starts_with(&format!("{name}, ")), "{remedy:?}");
        let whole = extract::extract(&image, &volume(name)).unwrap();
        assert!(nth(&held, number).unwrap() == whole, "{name}");
    }
    assert!(nth(&raw, 1).unwrap() != nth(&raw, 2).unwrap());
    let error = nth(&raw, 3).unwrap_err();
    assert_eq!(
        error.remedy().unwrap().actions,
        [Action::Give(Input::Nth(Some(2)))],
        "{error}"
    );
    // A number is no reason to refuse what is clear, and none to give something else.
    assert!(nth(&volume("DXEFV"), 1).is_ok());
    assert!(nth(&volume("DXEFV"), 2).is_err());
}

#[test]
fn what_is_no_firmware_is_called_so_and_not_searched() {
    let folder = tempfile::tempdir().unwrap();
    let code = path("trixie/OVMF_CODE_4M.fd");
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("hello.txt", b"hello"),
        ("zeros", &[0; 4096]),
    ] {
        let other = folder.path().join(name);
        std::fs::write(&other, bytes).unwrap();
        let told = diff::diff(&other, &code, None).unwrap_err();
        let searched = extract::find(&other, "DxeCore").unwrap_err();
        let taken = extract::extract(&other, &file("DxeCore")).unwrap_err();
        for error in [&told, &searched, &taken] {
            assert!(matches!(error, Error::NotFirmware { .. }), "{error}");
            assert_eq!(error.class(), Class::Failed);
            assert_eq!(error.to_string(), told.to_string());
        }
    }
    // Nobody wrote to this variable store, and it is one.
    assert_eq!(
        extract::find(&path("bookworm/AAVMF_VARS.fd"), "PK")
            .unwrap()
            .total,
        0
    );
}

#[test]
fn whoever_looks_into_images_refuses_what_is_no_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    let (code, user) = (
        path("trixie/OVMF_CODE_4M.fd"),
        folder.path().join("catalogue.tsv"),
    );
    for name in ["fifo", "fifo.json"] {
        let fifo = folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Whoever opens it after all finds a writer, and an end: the test fails and does not hang.
        let writer = fifo.clone();
        std::thread::spawn(move || while OpenOptions::new().write(true).open(&writer).is_ok() {});
        for error in [
            diff::diff(&fifo, &code, None).unwrap_err(),
            diff::diff(&code, &fifo, None).unwrap_err(),
            catalogue::add(&user, &fifo, "a", "1", false).unwrap_err(),
            catalogue::update(&user, std::slice::from_ref(&fifo), false).unwrap_err(),
            extract::find(&fifo, "DxeCore").unwrap_err(),
            extract::extract(&fifo, &file("DxeCore")).unwrap_err(),
        ] {
            let said = fm_remedy::one_line(&error);
            assert!(said.contains("it is a FIFO and no regular file"), "{said}");
        }
    }
}
