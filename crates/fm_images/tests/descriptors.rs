//! Descriptors against the real images that they name.

use std::path::Path;
use std::process::Command;

use fm_api::v1::descriptors::DescriptorProblem;
use fm_fixtures::path;
use fm_images::descriptors;

/// What is wrong with a descriptor of flash for these architectures and machines.
fn problems_of(
    code: &Path,
    vars: Option<&Path>,
    targets: &[(&str, &str)],
    features: &str,
) -> Vec<DescriptorProblem> {
    let folder = tempfile::tempdir().unwrap();
    let (mode, template) = match vars {
        Some(vars) => (
            "split",
            format!(r#", "nvram-template": {{"filename": {vars:?}, "format": "raw"}}"#),
        ),
        None => ("combined", String::new()),
    };
    let targets: Vec<String> = targets
        .iter()
        .map(|(arch, machine)| format!(r#"{{"architecture": "{arch}", "machines": ["{machine}"]}}"#))
        .collect();
    let text = format!(
        r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [{features}],
            "mapping": {{"device": "flash", "mode": "{mode}",
                         "executable": {{"filename": {code:?}, "format": "raw"}}{template}}},
            "targets": [{}]}}"#,
        targets.join(", ")
    );
    let path = folder.path().join("one.json");
    std::fs::write(&path, text).unwrap();
    let document = descriptors::lint(&[path]).unwrap();
    document.descriptors[0].problems.clone()
}

fn codes(problems: &[DescriptorProblem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.code.name()).collect()
}

const Q35: &[(&str, &str)] = &[("x86_64", "pc-q35-*")];

#[test]
fn descriptors_that_lie_are_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, code: &Path, vars: &Path, arch: &str, features: &str| {
        let machine = if arch == "aarch64" { "virt-*" } else { "pc-q35-*" };
        let text = format!(
            r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [{features}],
                "mapping": {{"device": "flash", "executable": {{"filename": {code:?}, "format": "raw"}},
                             "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
                "targets": [{{"architecture": "{arch}", "machines": ["{machine}"]}}]}}"#
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
    assert_eq!(named.descriptors[0].problems[0].code.name(), "malformed");
    let document = descriptors::lint(&[folder.path().to_owned()]).unwrap();
    let codes: Vec<Vec<&str>> = document
        .descriptors
        .iter()
        .map(|descriptor| {
            descriptor
                .problems
                .iter()
                .map(|problem| problem.code.name())
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
        hidden
            .problems
            .iter()
            .any(|problem| problem.code.name() == "hidden"),
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
            flash(&secure, Some(&vars), "split"),
            r#""enrolled-keys", "secure-boot", "requires-smm""#,
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
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code.name()).collect();
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
            assert_eq!(descriptor.problems[0].code.name(), "unreadable");
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
            &secure,
            &foreign,
            "uefi",
            "x86_64",
            "pc-q35-*",
            r#""enrolled-keys", "secure-boot", "requires-smm""#,
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
        let codes: Vec<&str> = problems.map(|problem| problem.code.name()).collect();
        assert_eq!(
            codes,
            Vec::from_iter(problem),
            "{vars:?} {interface} {target} {machine}: {document:?}"
        );
    }
    let large = file("large.json", &vec![b' '; (1 << 20) + 1]);
    let document = descriptors::lint(&[large]).unwrap();
    assert_eq!(document.descriptors[0].problems[0].code.name(), "unreadable");
}

#[test]
fn what_is_no_regular_file_is_never_waited_for_and_told_for_what_it_is() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let zero = Path::new("/dev/zero");
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    for (code, vars, what) in [
        (fifo.as_path(), vars.as_path(), "it is a FIFO"),
        (&code, &fifo, "it is a FIFO"),
        (zero, &vars, "it is a character device"),
        (&code, folder.path(), "it is a directory"),
    ] {
        let problems = problems_of(code, Some(vars), Q35, "");
        assert_eq!(codes(&problems), ["unreadable"], "{problems:?}");
        assert!(problems[0].message.contains(what), "{problems:?}");
    }
    let igvm = folder.path().join("igvm.json");
    let text = format!(
        r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [], "targets": [],
            "mapping": {{"device": "igvm", "filename": {fifo:?}}}}}"#
    );
    std::fs::write(&igvm, text).unwrap();
    let document = descriptors::lint(&[igvm]).unwrap();
    let problem = &document.descriptors[0].problems[0];
    assert_eq!(problem.code.name(), "unreadable");
    assert!(problem.message.contains("it is a FIFO"), "{problem:?}");
}

#[test]
fn flash_on_x86_that_is_no_multiple_of_its_sectors_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Padding in front leaves code where the processor starts.
    let padded = |fixture: &str, by: usize| {
        let file = folder.path().join(format!("{by}.fd"));
        let bytes = [vec![0xff; by], fm_fixtures::bytes(fixture)].concat();
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let vars = path("trixie/OVMF_VARS_4M.fd");
    for (by, expected) in [(333, &["size-mismatch"][..]), (4096, &[])] {
        let code = padded("trixie/OVMF_CODE_4M.fd", by);
        let problems = problems_of(&code, Some(&vars), Q35, "");
        assert_eq!(codes(&problems), expected, "{problems:?}");
    }
    let whole = padded("trixie/OVMF.fd", 333);
    let problems = problems_of(&whole, None, Q35, "");
    assert!(codes(&problems).contains(&"size-mismatch"), "{problems:?}");
}

#[test]
fn enrolled_keys_without_secure_boot_are_a_contradiction() {
    let (code, secure) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let keys = path("trixie/OVMF_VARS_4M.ms.fd");
    for (code, features) in [
        (&code, r#""enrolled-keys""#),
        (&secure, r#""enrolled-keys", "requires-smm""#),
    ] {
        let problems = problems_of(code, Some(&keys), Q35, features);
        assert_eq!(codes(&problems), ["feature-contradicted"], "{problems:?}");
        assert!(problems[0].message.contains("not secure-boot"), "{problems:?}");
    }
}

#[test]
fn each_target_that_the_code_is_not_for_is_told() {
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    let targets = [Q35[0], ("aarch64", "virt-*"), ("riscv64", "virt*")];
    let problems = problems_of(&code, Some(&vars), &targets, "");
    assert_eq!(
        codes(&problems),
        ["wrong-architecture", "wrong-architecture"],
        "{problems:?}"
    );
    assert!(
        problems[0].message.contains("aarch64") && problems[1].message.contains("riscv64"),
        "{problems:?}"
    );
    let problems = problems_of(&code, Some(&vars), &[], "");
    assert_eq!(codes(&problems), ["wrong-architecture"], "{problems:?}");
    // A 64-bit machine runs it as well.
    let problems = problems_of(
        &path("bookworm/OVMF32_CODE_4M.secboot.fd"),
        Some(&path("bookworm/OVMF32_VARS_4M.fd")),
        &[("i386", "pc-q35-*"), Q35[0]],
        r#""secure-boot", "requires-smm""#,
    );
    assert!(!codes(&problems).contains(&"wrong-architecture"), "{problems:?}");
}

#[test]
fn machines_and_sleep_states_of_other_architectures_are_told() {
    let x86 = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    let arm = (path("bookworm/AAVMF_CODE.fd"), path("bookworm/AAVMF_VARS.fd"));
    let sleep = r#""acpi-s3", "acpi-s4""#;
    let contradicted = ["feature-contradicted", "feature-contradicted"];
    for ((code, vars), target, features, expected) in [
        (&x86, Q35[0], sleep, &[][..]),
        (&x86, ("x86_64", "virt-*"), "", &["wrong-machine"]),
        (&arm, ("aarch64", "virt-*"), r#""verbose-static""#, &[]),
        (&arm, ("aarch64", "pc-q35-*"), "", &["wrong-machine"]),
        (&arm, ("aarch64", "board-of-tomorrow"), "", &[]),
        (&arm, ("aarch64", "virt-*"), sleep, &contradicted),
    ] {
        let problems = problems_of(code, Some(vars), &[target], features);
        assert_eq!(codes(&problems), expected, "{target:?} {problems:?}");
    }
}

#[test]
fn a_folder_that_is_named_twice_counts_once_where_it_is_named_last() {
    let root = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| root.path().join(name));
    for folder in [&first, &second] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("50-x.json"), "{").unwrap();
    }
    let again = second.join("../first");
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&first, &link).unwrap();
    for other in [&first, &again, &link] {
        let document = descriptors::lint(&[first.clone(), other.clone()]).unwrap();
        let problems: Vec<_> = document
            .descriptors
            .iter()
            .map(|one| codes(&one.problems))
            .collect();
        assert_eq!(problems, [["malformed"]], "{}", other.display());
    }
    let document = descriptors::lint(&[first, second.clone(), again]).unwrap();
    let hidden = document
        .descriptors
        .iter()
        .filter(|one| codes(&one.problems).contains(&"hidden"));
    let hidden: Vec<_> = hidden.map(|one| one.path.as_str()).collect();
    assert_eq!(hidden, [second.join("50-x.json").to_str().unwrap()]);
    assert_eq!(document.descriptors.len(), 2);
}
