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
    let codes: Vec<&str> = found.problems.iter().map(|problem| problem.code.name()).collect();
    assert_eq!(codes, ["size-mismatch"]);
}

#[test]
fn a_link_to_dev_null_hides_nothing_and_is_told_so_once() {
    let general = tempfile::tempdir().unwrap();
    let specific = tempfile::tempdir().unwrap();
    std::fs::write(general.path().join("70-x.json"), "{}").unwrap();
    std::os::unix::fs::symlink("/dev/null", specific.path().join("70-x.json")).unwrap();
    let document = descriptors::lint(&[general.path().to_owned(), specific.path().to_owned()]).unwrap();
    let codes: Vec<Vec<&str>> = document
        .descriptors
        .iter()
        .map(|descriptor| {
            let problems = descriptor.problems.iter();
            problems.map(|problem| problem.code.name()).collect()
        })
        .collect();
    assert!(codes.contains(&vec!["unreadable"]), "{codes:?}");
    assert!(codes.iter().flatten().all(|code| *code != "hidden"), "{codes:?}");
}

#[test]
fn keys_are_held_against_a_template_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let code = fm_fixtures::path("trixie/OVMF_CODE_4M.secboot.fd");
    let keys = r#"{"version":2,"variables":[
        {"name":"PK","guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","attr":39,"data":"00"}]}"#;
    for (name, template, features, expected) in [
        ("claimed", keys, r#""enrolled-keys", "secure-boot""#, None),
        (
            "unclaimed",
            keys,
            r#""secure-boot""#,
            Some("feature-contradicted"),
        ),
        (
            "empty",
            r#"{"version":2,"variables":[]}"#,
            r#""enrolled-keys", "secure-boot""#,
            Some("feature-contradicted"),
        ),
        ("none", "text", r#""secure-boot""#, Some("wrong-format")),
    ] {
        let template = file(&format!("{name}.vars"), template);
        let descriptor = file(
            &format!("{name}.json"),
            &format!(
                r#"{{"interface-types": ["uefi"], "features": [{features}],
                    "mapping": {{"device": "memory", "filename": {code:?}, "uefi-vars": {{"template": {template:?}}}}},
                    "targets": [{{"architecture": "x86_64", "machines": ["pc-q35-*"]}}]}}"#
            ),
        );
        let document = descriptors::lint(&[descriptor]).unwrap();
        let about_template: Vec<&str> = document.descriptors[0]
            .problems
            .iter()
            .filter(|problem| problem.message.contains(&*template.to_string_lossy()))
            .map(|problem| problem.code.name())
            .collect();
        assert_eq!(about_template, expected.into_iter().collect::<Vec<_>>(), "{name}");
    }
}
