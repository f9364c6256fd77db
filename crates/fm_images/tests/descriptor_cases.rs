//! Descriptors as vendors ship them, held against the images that they name.

use fm_fixtures::path;
use fm_images::descriptors;

#[test]
fn a_descriptor_without_description_and_tags_is_judged_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("50-nodesc.json");
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("bookworm/OVMF_VARS.fd"));
    let text = format!(
        r#"{{"interface-types": ["uefi"], "features": ["acpi-s3", "acpi"],
            "mapping": {{"device": "flash", "mode": "split", "executable": {{"filename": {code:?}, "format": "raw"}},
                         "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
            "targets": [{{"architecture": "x86_64", "machines": ["pc-q35-*"]}}]}}"#
    );
    std::fs::write(&file, text).unwrap();
    let document = descriptors::lint(&[file]).unwrap();
    let found = &document.descriptors[0];
    assert_eq!(found.description, None);
    assert_eq!(found.architectures, ["x86_64"]);
    let codes: Vec<&str> = found
        .problems
        .iter()
        .map(|problem| problem.code.as_str())
        .collect();
    assert_eq!(codes, ["size-mismatch"]);
}
