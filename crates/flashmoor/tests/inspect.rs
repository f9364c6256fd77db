//! `flashmoor inspect`, `diff`, `extract`, `find` and `catalogue` as their users call them.

use assert_cmd::Command;
use fm_fixtures::path;
use serde_json::Value;

fn flashmoor(store: &std::path::Path) -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    // Wide enough that nothing that is looked for is on two lines.
    command.env("COLUMNS", "1000").arg("--store").arg(store);
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn inspect_says_what_an_image_is_and_draws_it() {
    let store = tempfile::tempdir().unwrap();
    let code = path("bookworm/OVMF_CODE_4M.fd");
    let said = text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(&code)
            .arg("--modules")
            .arg("--tree"),
    );
    for words in [
        "code, x86-64, IA32X64, OvmfPkg, layout 4M",
        "ovmf 2022.11-6+deb12u2 (its digest is in the catalogue)",
        "FVMAIN_COMPACT, 3360 KiB, 43 % full, its code runs from RAM after decompression",
        "SECFV, 208 KiB, 100 % full, its code runs from flash",
        "VariableRuntimeDxe",
        "section guid-defined (lzma)",
        // An address, the least byte first in the table.
        "SEV-ES reset block     0x808004",
        "|RRRRRR",
        "|FFF",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{}", &said[..2000]);
    }
    let svg = store.path().join("map.svg");
    text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(&code)
            .arg("--svg")
            .arg(&svg),
    );
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("SECFV") && picture.ends_with("</svg>\n"));
    // A part of SECFV runs from flash: the whole of it is drawn as data, and the part over it.
    let drawn = |colour: &str| picture.matches(colour).count();
    assert_eq!(
        (drawn("#b03a2e"), drawn("#3a70ad")),
        (2, 2),
        "one each, and in the legend"
    );
    assert!(said.contains("a cell is 4.6 KiB: "), "{}", &said[..2000]);
    // The jump to the first volume, which lies before it, is not padding.
    let arm = text(
        flashmoor(store.path())
            .arg("inspect")
            .arg(path("bookworm/AAVMF_CODE.fd")),
    );
    assert!(
        arm.contains("|#                                               | bytes outside of volumes, 4 KiB"),
        "{arm}"
    );
}

#[test]
fn the_json_of_inspect_has_the_promised_fields() {
    let store = tempfile::tempdir().unwrap();
    let code = path("bookworm/OVMF_CODE_4M.fd");
    let document: Value = serde_json::from_str(&text(
        flashmoor(store.path()).arg("inspect").arg(&code).arg("--json"),
    ))
    .unwrap();
    assert_eq!(document["schema"], "flashmoor/inspect/2");
    assert_eq!(document["kind"], "code");
    assert_eq!(document["size_bytes"], 0x37_c000);
    let image = &document["image"];
    assert_eq!(
        (&image["arch"], &image["layout"]),
        (&"x86-64".into(), &"4M".into())
    );
    assert!(
        image["features"]
            .as_array()
            .unwrap()
            .contains(&"secure-boot".into())
    );
    for field in [
        "offset",
        "size_bytes",
        "guid",
        "name",
        "sha256",
        "used_bytes",
        "compressed",
    ] {
        assert!(!image["volumes"][0][field].is_null(), "volumes[].{field}");
    }
    for field in ["guid", "name", "type", "sha256", "size_bytes"] {
        assert!(
            image["modules"]
                .as_array()
                .unwrap()
                .iter()
                .any(|module| !module[field].is_null()),
            "{field}"
        );
    }
    for (field, value) in [
        ("name", "ovmf"),
        ("version", "2022.11-6+deb12u2"),
        ("source", "catalogue"),
    ] {
        assert_eq!(image["build"][field], value);
    }
    for name in ["inspect", "diff", "find", "catalogue", "descriptors"] {
        let schema: Value =
            serde_json::from_str(&text(flashmoor(store.path()).args(["schema", name]))).unwrap();
        assert!(schema["properties"]["schema"].is_object(), "{name}");
    }
}

#[test]
fn a_folder_of_descriptors_and_several_files_are_taken() {
    let store = tempfile::tempdir().unwrap();
    let folder = path("trixie/firmware/60-edk2-x86_64.json")
        .parent()
        .unwrap()
        .to_owned();
    // The files that they name are Debian's, and need not be installed here.
    let output = flashmoor(store.path())
        .arg("inspect")
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("60-edk2-x86_64.json"), "{said}");
    let status = if said.contains("missing-file") { 10 } else { 0 };
    assert_eq!(output.status.code(), Some(status), "{said}");
    let both = text(
        flashmoor(store.path())
            .args(["--json", "inspect"])
            .arg(path("bookworm/OVMF_VARS.fd"))
            .arg(path("trixie/shellx64.efi")),
    );
    let both: Value = serde_json::from_str(&both).unwrap();
    assert_eq!(
        (&both[0]["kind"], &both[1]["kind"]),
        (&"vars".into(), &"not-firmware".into())
    );
}

#[test]
fn diff_extract_find_and_catalogue_run_from_the_command_line() {
    let store = tempfile::tempdir().unwrap();
    let (old, new) = (
        path("trixie/OVMF_CODE_4M.fd"),
        path("trixie/OVMF_CODE_4M.secboot.fd"),
    );
    let said = text(flashmoor(store.path()).arg("diff").arg(&old).arg(&new));
    assert!(
        said.contains("feature gained: secure-boot") && said.contains("measured volumes differ"),
        "{said}"
    );
    let piece = store.path().join("dxefv");
    text(
        flashmoor(store.path())
            .arg("extract")
            .arg(&old)
            .args(["--volume", "DXEFV", "-o"])
            .arg(&piece),
    );
    assert_eq!(&std::fs::read(&piece).unwrap()[40..44], b"_FVH");
    flashmoor(store.path()).arg("extract").arg(&old).assert().code(2);
    let said = text(
        flashmoor(store.path())
            .arg("find")
            .arg(&old)
            .arg("VariableRuntimeDxe"),
    );
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("DXEFV / VariableRuntimeDxe"), "{said}");
    let said = text(flashmoor(store.path()).args(["catalogue", "list"]));
    assert!(said.contains("ovmf 2022.11-6+deb12u2 OVMF_CODE_4M.fd"), "{said}");
}

#[test]
fn how_full_a_store_is_counts_the_room_for_variables() {
    let store = tempfile::tempdir().unwrap();
    for (image, said) in [
        ("trixie/OVMF_VARS_4M.fd", "0 % of 255 KiB for variables used"),
        ("trixie/OVMF_VARS_4M.ms.fd", "4 % of 255 KiB for variables used"),
    ] {
        let text = text(flashmoor(store.path()).arg("inspect").arg(path(image)));
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("features") && !text.contains("49 %"), "{text}");
        // In the drawing as well.
        let used = text.matches('#').count();
        assert!(used < 48, "{text}");
    }
}

#[test]
fn a_picture_or_a_piece_is_never_written_over_the_image() {
    let store = tempfile::tempdir().unwrap();
    let image = store.path().join("image.fd");
    let bytes = fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd");
    std::fs::write(&image, &bytes).unwrap();
    let run = |words: &[&str]| {
        let mut command = flashmoor(store.path());
        command.args(words).arg(&image).arg(&image).assert().code(2);
        assert!(std::fs::read(&image).unwrap() == bytes, "{words:?}");
    };
    run(&["inspect", "--svg"]);
    run(&["extract", "--volume", "DXEFV", "--output"]);
}

#[test]
fn a_file_that_is_not_there_fails_with_one_clear_error() {
    let store = tempfile::tempdir().unwrap();
    let output = flashmoor(store.path())
        .args(["inspect", "/no/such/file.fd"])
        .assert()
        .code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains("cannot read /no/such/file.fd") && said.contains("No such file"),
        "{said}"
    );
}

/// A folder of programs that stand for the host's own.
fn programs(folder: &std::path::Path, all: &[(&str, &str)]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(folder).unwrap();
    for (name, text) in all {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn catalogue_update_takes_names_from_the_package_manager_and_says_what_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let mut bytes = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    // In the free space of the main volume: the same firmware, which no catalogue knows.
    for name in ["owned.fd", "stray.fd", "rebuilt.fd"] {
        bytes[0x1b_0000] ^= 1;
        std::fs::write(images.join(name), &bytes).unwrap();
        bytes[0x1b_0001] ^= 1;
    }
    std::fs::write(images.join("README"), "no firmware").unwrap();
    let elsewhere = folder.path().join("described.fd");
    bytes[0x1b_0002] ^= 1;
    std::fs::write(&elsewhere, &bytes).unwrap();
    let described = format!(r#"{{"mapping": {{"executable": {{"filename": {elsewhere:?}}}}}}}"#);
    std::fs::write(images.join("60-some.json"), described).unwrap();

    let dpkg = r#"case "$*" in
        "-S "*owned.fd | "-S "*rebuilt.fd) echo "vendor-ovmf:amd64: $2" ;;
        "-S "*described.fd) echo "vendor-extra: $2" ;;
        "-W -f "*" vendor-ovmf") printf 7.1-2 ;;
        "-W -f "*" vendor-extra") printf 0.9 ;;
        *) exit 1 ;;
    esac"#;
    // Somebody put another file in the place of one that a package brought.
    let changed = format!(
        "echo '??5??????   {0}/rebuilt.fd'; echo '??.??????   {0}/owned.fd'; exit 1",
        images.display()
    );
    let verify = format!(
        r#"case "$*" in "--verify vendor-ovmf") {changed} ;; "--verify vendor-extra") ;; *) exit 2 ;; esac"#
    );
    let rpm = format!(
        r#"case "$*" in
        -qf*owned.fd | -qf*rebuilt.fd) printf 'edk2-ovmf\t20250221-8.fc42\n' ;;
        "--verify "*edk2-ovmf) echo 'S.5....T.    {0}/rebuilt.fd'; echo '.......T.    {0}/owned.fd'; exit 1 ;;
        *) exit 1 ;;
        esac"#,
        images.display()
    );
    for (program, text, known) in [
        (
            "dpkg-query",
            dpkg,
            vec![
                ("vendor-extra", "0.9", "described.fd"),
                ("vendor-ovmf", "7.1-2", "owned.fd"),
            ],
        ),
        ("rpm", &rpm, vec![("edk2-ovmf", "20250221-8.fc42", "owned.fd")]),
    ] {
        let (store, path) = (
            folder.path().join(format!("store-{program}")),
            folder.path().join(program),
        );
        programs(&path, &[(program, text), ("dpkg", &verify)]);
        let update = || {
            let mut command = flashmoor(&store);
            command.env("PATH", &path).args(["--json", "catalogue", "update"]);
            let said = text_of_json(command.arg(&images));
            let mut entries: Vec<Value> = said["entries"].as_array().unwrap().clone();
            entries.sort_by_key(|entry| entry["name"].to_string());
            (entries, said["unnamed"].as_array().map_or(0, Vec::len))
        };
        let (entries, unnamed) = update();
        let named: Vec<(&str, &str, &str)> = entries
            .iter()
            .map(|entry| {
                let text = |field: &str| entry[field].as_str().unwrap();
                (text("name"), text("version"), text("file"))
            })
            .collect();
        assert_eq!(named, known);
        assert_eq!(unnamed, 4 - known.len());
        assert!(update().0.is_empty(), "nothing is new the second time");
        let seen = text_of_json(
            flashmoor(&store)
                .args(["--json", "inspect"])
                .arg(images.join("owned.fd")),
        );
        let owned = known.last().unwrap();
        assert_eq!(seen["image"]["build"]["name"], owned.0);
        assert_eq!(seen["image"]["build"]["version"], owned.1);
    }
}

fn text_of_json(command: &mut Command) -> Value {
    serde_json::from_str(&text(command)).unwrap()
}

#[test]
fn names_and_kept_looks_may_be_in_a_folder_before_there_is_a_store() {
    let store = tempfile::tempdir().unwrap();
    let vars = path("bookworm/OVMF_VARS.fd");
    let mut add = flashmoor(store.path());
    add.args(["catalogue", "add", "--name", "mine", "--build-version", "1"]);
    text(add.arg(&vars));
    let first = text(flashmoor(store.path()).arg("inspect").arg(&vars));
    let kept: Vec<_> = std::fs::read_dir(store.path().join("cache/inspect"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(text(flashmoor(store.path()).arg("inspect").arg(&vars)), first);
    text(flashmoor(store.path()).args(["store", "list"]));
    text(
        flashmoor(store.path())
            .args(["store", "import"])
            .arg(path("bookworm/OVMF_CODE.fd")),
    );
    // A folder that is no store yet is not made into half of one by looking.
    let none = store.path().join("none");
    text(flashmoor(&none).arg("inspect").arg(&vars));
    assert!(!none.exists());
}

#[test]
fn many_files_are_answered_in_their_order_and_one_that_fails_is_named_among_them() {
    let store = tempfile::tempdir().unwrap();
    let names = [
        "trixie/OVMF_CODE_4M.fd",
        "bookworm/OVMF_VARS.fd",
        "trixie/shellx64.efi",
        "bookworm/OVMF_CODE.fd",
        "trixie/OVMF_VARS_4M.fd",
    ];
    let mut command = flashmoor(store.path());
    command.args(["--json", "inspect"]);
    let said = text_of_json(command.args(names.map(path)));
    let paths: Vec<_> = said
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].clone())
        .collect();
    assert_eq!(paths, names.map(|name| Value::from(path(name).to_str().unwrap())));

    let mut command = flashmoor(store.path());
    command
        .arg("inspect")
        .args([path(names[1]), "/no/such.fd".into(), path(names[2])]);
    let output = command.assert().code(1).get_output().clone();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("OVMF_VARS.fd: vars") && shown.contains("shellx64"),
        "{shown}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read /no/such.fd"));
    let mut command = flashmoor(store.path());
    command
        .args(["--json", "inspect"])
        .args([path(names[1]), "/no/such.fd".into(), path(names[2])]);
    let output = command.assert().code(1).get_output().clone();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<&Value> = said.as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["vars", "unreadable", "not-firmware"]);
}

#[test]
fn a_folder_of_disks_and_images_is_looked_at_to_its_end_and_is_an_array() {
    let store = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inspect = || {
        text_of_json(
            flashmoor(store.path())
                .args(["--json", "inspect"])
                .arg(folder.path()),
        )
    };
    assert_eq!(inspect(), Value::Array(Vec::new()), "nothing is in it");
    let disk = std::process::Command::new("qemu-img")
        .args(["create", "-f", "qcow2"])
        .arg(folder.path().join("a-disk.qcow2"))
        .arg("10G")
        .output()
        .unwrap();
    assert!(disk.status.success());
    let said = inspect();
    assert_eq!(
        (said.as_array().map(Vec::len), &said[0]["kind"]),
        (Some(1), &"not-firmware".into())
    );
    assert!(
        said[0]["reason"].as_str().unwrap().contains("larger than flash"),
        "{said}"
    );
    std::fs::copy(path("bookworm/OVMF_VARS.fd"), folder.path().join("b-vars.fd")).unwrap();
    let said = inspect();
    assert_eq!(
        (&said[0]["kind"], &said[1]["kind"]),
        (&"not-firmware".into(), &"vars".into())
    );
    std::os::unix::fs::symlink("nowhere", folder.path().join("c-code.fd")).unwrap();
    let mut command = flashmoor(store.path());
    let output = command.arg("inspect").arg(folder.path()).assert().code(1);
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains("c-code.fd"), "{said}");
}

#[test]
fn what_comes_through_a_pipe_is_told_as_a_file_is() {
    let store = tempfile::tempdir().unwrap();
    let bytes = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    let whole = text_of_json(
        flashmoor(store.path())
            .args(["--json", "inspect"])
            .arg(path("bookworm/OVMF_CODE_4M.fd")),
    );
    let piped = |bytes: Vec<u8>| {
        text_of_json(
            flashmoor(store.path())
                .args(["--json", "inspect", "-"])
                .write_stdin(bytes),
        )
    };
    let said = piped(bytes.clone());
    assert_eq!((&said["path"], &said["kind"]), (&"-".into(), &"code".into()));
    assert_eq!(said["sha256"], whole["sha256"]);
    assert_eq!(piped(b"no firmware at all".to_vec())["kind"], "not-firmware");
    // The same as a file on standard input.
    let file = std::fs::File::open(path("bookworm/OVMF_CODE_4M.fd")).unwrap();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flashmoor"));
    let output = command
        .args(["--json", "inspect", "-"])
        .stdin(file)
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["sha256"], whole["sha256"]);
}

#[test]
fn an_image_in_qcow2_on_standard_input_is_told_to_be_named_as_a_file() {
    let store = tempfile::tempdir().unwrap();
    let image = store.path().join("code.qcow2");
    let converted = std::process::Command::new("qemu-img")
        .args(["convert", "-O", "qcow2"])
        .args([path("bookworm/OVMF_CODE_4M.fd"), image.clone()])
        .status();
    assert!(converted.unwrap().success());
    let said = |stdin: std::process::Stdio| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flashmoor"));
        let output = command.args(["inspect", "-"]).stdin(stdin).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let file = said(std::fs::File::open(&image).unwrap().into());
    assert!(
        file.contains("in qcow2 is read where its file is named"),
        "{file}"
    );
    let mut pipe = std::process::Command::new("cat")
        .arg(&image)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let piped = said(pipe.stdout.take().unwrap().into());
    pipe.wait().unwrap();
    assert!(piped.contains("name the file instead"), "{piped}");
}

#[test]
fn a_descriptor_that_another_folder_hides_is_told_so_and_problems_end_with_status_10() {
    let store = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folders = ["usr", "etc"].map(|name| folder.path().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let (code, vars) = (path("trixie/OVMF_CODE_4M.fd"), path("trixie/OVMF_VARS_4M.fd"));
    let text = format!(
        r#"{{"description": "d", "interface-types": ["uefi"], "tags": [], "features": [],
            "mapping": {{"device": "flash", "executable": {{"filename": {code:?}, "format": "raw"}},
                         "nvram-template": {{"filename": {vars:?}, "format": "raw"}}}},
            "targets": [{{"architecture": "x86_64", "machines": ["pc-q35-*"]}}]}}"#
    );
    std::fs::write(folders[0].join("60-x.json"), &text).unwrap();
    let lint = |status: i32| {
        let mut command = flashmoor(store.path());
        let output = command
            .args(["--json", "inspect"])
            .args(&folders)
            .assert()
            .code(status);
        serde_json::from_slice::<Value>(&output.get_output().stdout).unwrap()["descriptors"].clone()
    };
    let problems = |said: &Value, at: usize| said[at]["problems"].as_array().unwrap().len();
    assert_eq!(problems(&lint(0), 0), 0);
    std::fs::write(folders[1].join("60-x.json"), "").unwrap();
    let said = lint(0);
    assert_eq!(
        (problems(&said, 0), &said[0]["problems"][0]["code"]),
        (1, &"hidden".into())
    );
    assert!(
        said[0]["problems"][0]["message"]
            .as_str()
            .unwrap()
            .contains("etc/60-x.json is empty")
    );
    std::fs::write(
        folders[1].join("60-x.json"),
        text.replace("OVMF_VARS_4M", "no_such"),
    )
    .unwrap();
    let said = lint(10);
    assert_eq!(said[1]["problems"][0]["code"], "missing-file");
}

#[test]
fn a_bomb_ends_within_its_memory() {
    // A million signatures of volumes with headers of 4 KiB; and a payload that says it is 4 GiB long.
    let store = tempfile::tempdir().unwrap();
    let bait = store.path().join("bait.fd");
    std::fs::write(&bait, b"_FVH\0\0\0\0\0\x10\0\0".repeat(1 << 20)).unwrap();
    let mut image = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    let lzma = fm_formats::volume::Encoding::LZMA.to_bytes();
    let at = image.windows(16).position(|window| window == lzma).unwrap();
    let declared = at + 20 + 5;
    image[declared..declared + 8].copy_from_slice(&(4u64 << 30).to_le_bytes());
    let bomb = store.path().join("bomb.fd");
    std::fs::write(&bomb, image).unwrap();
    for path in [bait, bomb] {
        let program = assert_cmd::cargo::cargo_bin("flashmoor");
        let output = std::process::Command::new("bash")
            // Address space, of which threads take most: a gigabyte holds neither of the two.
            .args(["-c", "ulimit -v 1048576; exec \"$@\"", "bash"])
            .arg(program)
            .arg("--store")
            .arg(store.path())
            .args(["--json", "inspect"])
            .arg(&path)
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = said.to_string();
        assert!(
            all.contains("exceeds the limit of"),
            "{}",
            &all[..all.len().min(500)]
        );
    }
}
