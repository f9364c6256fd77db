//! Descriptors against the real images that they name.

use std::path::Path;
use std::process::Command;

use fm_fixtures::path;
use fm_jobs::descriptors;

#[test]
fn descriptors_that_lie_are_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, code: &Path, vars: &Path, arch: &str, features: &str| {
        let text = format!(
            r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [{features}],
                "mapping": {{"device": "flash", "executable": {{"filename": {code:?}, "format": "raw"}},
                             "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
                "targets": [{{"architecture": "{arch}", "machines": ["pc-q35-*"]}}]}}"#
        );
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    write("10-sound.json", &code, &vars, "x86_64", r#""amd-sev""#);
    write("20-missing.json", Path::new("/no/such.fd"), &vars, "x86_64", "");
    write(
        "30-claims.json",
        &code,
        &vars,
        "x86_64",
        r#""secure-boot", "requires-smm""#,
    );
    write(
        "40-silent.json",
        &path("trixie/OVMF_CODE_4M.secboot.fd"),
        &vars,
        "x86_64",
        r#""secure-boot""#,
    );
    write("50-arch.json", &code, &vars, "aarch64", "");
    write(
        "60-layout.json",
        &path("bookworm/OVMF_CODE.fd"),
        &vars,
        "x86_64",
        "",
    );
    write("70-role.json", &vars, &code, "x86_64", "");
    std::fs::write(folder.path().join("80-empty.json"), "").unwrap();
    std::fs::write(folder.path().join("85-blank.json"), "\n").unwrap();
    std::fs::write(folder.path().join("90-broken.json"), "{").unwrap();
    let odd = std::fs::read_to_string(folder.path().join("10-sound.json")).unwrap();
    let odd = odd.replace(r#""device": "flash","#, r#""device": "flash", "mode": "dual","#);
    std::fs::write(folder.path().join("95-mode.json"), odd).unwrap();
    // libvirt passes over it; who names it wants to know.
    let passed_over = folder.path().join(".99-draft.json");
    std::fs::write(&passed_over, "{").unwrap();
    let named = descriptors::lint(std::slice::from_ref(&passed_over)).unwrap();
    assert_eq!(named.descriptors[0].problems[0].code, "malformed");
    let document = descriptors::lint(&[folder.path().to_owned()]).unwrap();
    let codes: Vec<Vec<&str>> = document
        .descriptors
        .iter()
        .map(|descriptor| {
            descriptor
                .problems
                .iter()
                .map(|problem| problem.code.as_str())
                .collect()
        })
        .collect();
    assert_eq!(
        codes,
        [
            vec![],
            vec!["missing-file"],
            vec!["feature-contradicted", "feature-contradicted"],
            vec!["feature-contradicted"],
            vec!["wrong-architecture"],
            vec!["size-mismatch"],
            vec!["wrong-role", "wrong-role"],
            vec!["hidden"],
            vec!["malformed"],
            vec!["malformed"],
            vec!["malformed"],
        ]
    );

    assert!(document.has_problems());

    let own = tempfile::tempdir().unwrap();
    std::fs::copy(
        folder.path().join("10-sound.json"),
        own.path().join("20-missing.json"),
    )
    .unwrap();
    let both = descriptors::lint(&[folder.path().to_owned(), own.path().to_owned()]).unwrap();
    let hidden = both
        .descriptors
        .iter()
        .find(|descriptor| descriptor.path.ends_with("20-missing.json"))
        .unwrap();
    assert!(
        hidden.problems.iter().any(|problem| problem.code == "hidden"),
        "{hidden:?}"
    );
}

/// Name, mapping, features, machine, interface, and the problems that are to be found.
type Case<'a> = (&'a str, String, &'a str, &'a str, &'a str, &'a [&'a str]);

#[test]
fn descriptors_are_held_against_keys_formats_machines_and_their_own_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let qcow2 = file("code.qcow2");
    let converted = Command::new("qemu-img")
        .args(["convert", "-O", "qcow2"])
        .args([&path("trixie/OVMF_CODE_4M.fd"), &qcow2])
        .output()
        .unwrap();
    assert!(converted.status.success());
    std::fs::write(file("real.igvm"), [b"IGVM".as_slice(), &[0; 60]].concat()).unwrap();
    std::fs::write(file("false.igvm"), [0; 64]).unwrap();
    std::fs::create_dir(file("a-folder")).unwrap();
    let (code, secure) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let (vars, keys) = (path("trixie/OVMF_VARS_4M.fd"), path("trixie/OVMF_VARS_4M.ms.fd"));
    let whole = path("trixie/OVMF.fd");
    let flash = |code: &Path, vars: Option<&Path>, mode: &str| {
        let vars =
            vars.map(|vars| format!(r#", "nvram-template": {{"filename": {vars:?}, "format": "raw"}}"#));
        format!(
            r#"{{"device": "flash", "mode": "{mode}", "executable": {{"filename": {code:?}, "format": "raw"}}{}}}"#,
            vars.unwrap_or_default()
        )
    };
    let of_file = |device: &str, file: &Path| format!(r#"{{"device": "{device}", "filename": {file:?}}}"#);
    let smm = r#""secure-boot", "requires-smm""#;
    let cases: &[Case<'_>] = &[
        (
            "keys",
            flash(&code, Some(&vars), "split"),
            r#""enrolled-keys""#,
            "pc-q35-*",
            "uefi",
            &["feature-contradicted"],
        ),
        (
            "silent-keys",
            flash(&code, Some(&keys), "split"),
            "",
            "pc-q35-*",
            "uefi",
            &["feature-contradicted"],
        ),
        (
            "true-keys",
            flash(&secure, Some(&keys), "split"),
            r#""enrolled-keys", "secure-boot", "requires-smm""#,
            "pc-q35-*",
            "uefi",
            &[],
        ),
        (
            "machine",
            flash(&secure, Some(&vars), "split"),
            smm,
            "pc-i440fx-*",
            "uefi",
            &["wrong-machine"],
        ),
        (
            "no-template",
            flash(&code, None, "split"),
            "",
            "pc-q35-*",
            "uefi",
            &["malformed"],
        ),
        (
            "combined",
            flash(&whole, None, "combined"),
            "",
            "pc-q35-*",
            "uefi",
            &[],
        ),
        (
            "not-combined",
            flash(&code, None, "combined"),
            "",
            "pc-q35-*",
            "uefi",
            &["wrong-role"],
        ),
        (
            "stateless",
            flash(&code, None, "stateless"),
            "",
            "pc-q35-*",
            "uefi",
            &[],
        ),
        (
            "verbose",
            flash(&code, Some(&vars), "split"),
            r#""verbose-static", "verbose-dynamic""#,
            "pc-q35-*",
            "uefi",
            &["feature-contradicted"],
        ),
        (
            "format",
            flash(&qcow2, Some(&vars), "split"),
            "",
            "pc-q35-*",
            "uefi",
            &["wrong-format"],
        ),
        (
            "unreadable",
            flash(&file("a-folder"), Some(&vars), "split"),
            "",
            "pc-q35-*",
            "uefi",
            &["unreadable"],
        ),
        // What is no UEFI firmware is none of our business, as long as it is there.
        ("bios", of_file("memory", &vars), "", "pc-q35-*", "bios", &[]),
        (
            "no-bios",
            of_file("memory", &file("no.bin")),
            "",
            "pc-q35-*",
            "bios",
            &["missing-file"],
        ),
        (
            "igvm",
            of_file("igvm", &file("real.igvm")),
            "",
            "pc-q35-*",
            "uefi",
            &[],
        ),
        (
            "no-igvm",
            of_file("igvm", &file("false.igvm")),
            "",
            "pc-q35-*",
            "uefi",
            &["not-firmware"],
        ),
        (
            "pv-vars",
            format!(
                r#"{{"device": "memory", "filename": {code:?}, "uefi-vars": {{"template": "/no/such.json"}}}}"#
            ),
            "",
            "pc-q35-*",
            "uefi",
            &["missing-file"],
        ),
    ];
    for (name, mapping, features, machine, interface, expected) in cases {
        let path = file(&format!("{name}.json"));
        let text = format!(
            r#"{{"description": "d", "interface-types": ["{interface}"], "tags": [], "features": [{features}],
                "mapping": {mapping}, "targets": [{{"architecture": "x86_64", "machines": ["{machine}"]}}]}}"#
        );
        std::fs::write(&path, text).unwrap();
        let document = descriptors::lint(&[path]).unwrap();
        let problems = &document.descriptors[0].problems;
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, *expected, "{name}: {problems:?}");
    }
    // What a folder holds under a descriptor's name is not passed over: libvirt stumbles over the one and does
    // not take the other for empty.
    let links = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/no/such.json", links.path().join("60-nowhere.json")).unwrap();
    std::os::unix::fs::symlink("/dev/null", links.path().join("70-null.json")).unwrap();
    let document = descriptors::lint(&[links.path().to_owned()]).unwrap();
    let messages: Vec<&str> = document
        .descriptors
        .iter()
        .map(|descriptor| {
            assert_eq!(descriptor.problems[0].code, "unreadable");
            descriptor.problems[0].message.as_str()
        })
        .collect();
    assert!(
        messages[0].contains("reads none of the descriptors") && messages[1].contains("passes over"),
        "{messages:?}"
    );
}

#[test]
fn what_flash_does_not_take_and_what_libvirt_does_not_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let grown = |fixture: &str, len: usize| {
        let mut bytes = fm_fixtures::bytes(fixture);
        bytes.resize(len, 0xff);
        bytes
    };
    // QEMU maps it so that it ends where CODE starts: the store is not where the firmware looks.
    let padded = file("padded.fd", &grown("trixie/OVMF_VARS_4M.fd", 1 << 20));
    let mut bytes = fm_fixtures::bytes("trixie/OVMF_VARS_4M.ms.fd");
    let name: Vec<u8> = "PK\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    // The GUID stands before the name (edk2 `AUTHENTICATED_VARIABLE_HEADER`).
    bytes[at - 16] ^= 1;
    let foreign = file("foreign.fd", &bytes);
    let (code, secure, vars) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
        path("trixie/OVMF_VARS_4M.fd"),
    );
    let (small, arm_vars) = (path("trixie/QEMU_EFI.fd"), path("trixie/AAVMF_VARS.fd"));
    let smm = r#""requires-smm""#;
    for (code, vars, interface, target, machine, features, problem) in [
        (&code, &vars, "uefi", "x86_64", "pc-*", "", None),
        (
            &code,
            &padded,
            "uefi",
            "x86_64",
            "pc-q35-*",
            "",
            Some("size-mismatch"),
        ),
        (
            &small,
            &arm_vars,
            "uefi",
            "aarch64",
            "virt-*",
            "",
            Some("size-mismatch"),
        ),
        (
            &code,
            &vars,
            "coreboot",
            "x86_64",
            "pc-q35-*",
            "",
            Some("malformed"),
        ),
        (
            &code,
            &vars,
            "uefi",
            r#"x86_64", "machines": []}, {"architecture": "vax"#,
            "*",
            "",
            Some("malformed"),
        ),
        (&secure, &vars, "uefi", "x86_64", "pc-q35-*", smm, None),
        (&secure, &vars, "uefi", "x86_64", "p*", smm, Some("wrong-machine")),
        (&secure, &vars, "uefi", "x86_64", "*", smm, Some("wrong-machine")),
        (
            &code,
            &foreign,
            "uefi",
            "x86_64",
            "pc-q35-*",
            r#""enrolled-keys""#,
            Some("feature-contradicted"),
        ),
    ] {
        let text = format!(
            r#"{{"description": "d", "interface-types": ["{interface}"], "tags": [], "features": [{features}],
                "mapping": {{"device": "flash", "executable": {{"filename": {code:?}, "format": "raw"}},
                             "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
                "targets": [{{"architecture": "{target}", "machines": ["{machine}"]}}]}}"#
        );
        let document = descriptors::lint(&[file("one.json", text.as_bytes())]).unwrap();
        let problems = document.descriptors[0].problems.iter();
        let codes: Vec<&str> = problems.map(|problem| problem.code.as_str()).collect();
        assert_eq!(
            codes,
            Vec::from_iter(problem),
            "{vars:?} {interface} {target} {machine}: {document:?}"
        );
    }
    let large = file("large.json", &vec![b' '; (1 << 20) + 1]);
    let document = descriptors::lint(&[large]).unwrap();
    assert_eq!(document.descriptors[0].problems[0].code, "unreadable");
}
