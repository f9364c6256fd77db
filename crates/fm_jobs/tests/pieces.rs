//! What is found in real images, and what is said where not all of one can be read.

use fm_fixtures::path;
use fm_jobs::pieces::{self, Match, Wanted};

fn found(name: &str, query: &str) -> Vec<Match> {
    pieces::find(&path(name), query).unwrap().matches
}

#[test]
fn a_container_is_not_called_what_is_in_it() {
    for (image, module) in [
        ("trixie/OVMF_CODE_4M.fd", "PeiCore"),
        ("trixie/AAVMF_CODE.secboot.fd", "DxeCore"),
    ] {
        let named: Vec<Match> = found(image, module);
        let named: Vec<&Match> = named.iter().filter(|found| found.what == "name").collect();
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
    let sound = pieces::find(&path("trixie/OVMF_CODE_4M.fd"), "TlsDxe").unwrap();
    assert!(sound.total > 0 && sound.damage.is_empty());
    let document = pieces::find(&damaged, "TlsDxe").unwrap();
    assert_eq!(document.total, 0);
    assert!(document.damage[0].contains("lzma"), "{:?}", document.damage);
    let wanted = Wanted {
        file: Some("TlsDxe".into()),
        ..Wanted::default()
    };
    let error = pieces::extract(&damaged, &wanted).unwrap_err();
    assert!(error.to_string().contains("lzma"), "{error}");
}
