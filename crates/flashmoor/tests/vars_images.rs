//! Stores inside other files: qcow2 and combined images, templates of another format, and files that only look
//! like stores.
#![allow(clippy::unwrap_used)]

mod vars_case;

use std::fs;
use std::process::Command;

use vars_case::{case, fixture, identical, json, refused, vars};

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_qcow2(path: &str) -> bool {
    fs::read(path).unwrap().starts_with(b"QFI\xfb")
}

/// A guest that may write its flash owns the first bytes of a raw VARS file.
#[test]
fn a_store_that_names_another_file_is_never_followed_to_it() {
    let case = case("bookworm/OVMF_VARS_4M.ms.fd");
    let evil = case.path("evil.fd");
    let create = ["create", "-q", "-f", "qcow2"];
    let other_data = format!("data_file={}", case.path("data.raw"));
    let attacks: [&[&str]; 3] = [
        &["-b", case.name(), "-F", "raw", &evil, "540672"],
        &["-b", "/etc/passwd", "-F", "raw", &evil, "540672"],
        &["-o", &other_data, &evil, "540672"],
    ];
    let mut told = Vec::new();
    for attack in attacks {
        let _ = fs::remove_file(&evil);
        run("qemu-img", &[&create[..], attack].concat());
        let stolen = case.path("stolen.fd");
        for words in [
            vec!["list", evil.as_str()],
            vec!["convert", &evil, "--layout", "4M", "-o", &stolen],
            vec!["convert", case.name(), "--like", &evil, "-o", &stolen],
            vec!["secure-boot", "status", &evil],
            vec!["set", &evil, "Timeout", "--hex", "0500"],
            vec!["import", case.name(), "--from", &evil],
        ] {
            told.push(case.refusal(&words));
        }
        assert!(!std::path::Path::new(&stolen).exists());
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_qcow2_store_is_written_as_one_and_read_back_from_its_place() {
    let case = case("bookworm/AAVMF_VARS.ms.fd");
    let packed = case.path("vars.qcow2");
    let options = ["-f", "raw", "-O", "qcow2", "-o", "cluster_size=4096"];
    run(
        "qemu-img",
        &[&["convert"], &options[..], &[case.name(), &packed]].concat(),
    );
    vars(&["set", &packed, "Timeout", "--hex", "0700"]);
    assert!(is_qcow2(&packed));
    assert_eq!(vars(&["get", &packed, "Timeout"]).trim(), "0700");
    // Clusters as they were, and a disk of the size of the chip.
    assert_eq!(fs::read(&packed).unwrap()[20..24], 12u32.to_be_bytes());
    assert_eq!(fs::read(&packed).unwrap()[24..32], (64u64 << 20).to_be_bytes());
    assert!(fs::metadata(&packed).unwrap().len() < 4 << 20);
}

#[test]
fn the_format_is_the_templates_unless_told_otherwise() {
    let case = case("bookworm/OVMF_VARS.ms.fd");
    let (template, out) = (case.path("template.qcow2"), |name: &str| case.path(name));
    vars(&[
        "convert",
        case.name(),
        "--layout",
        "4M",
        "--format",
        "qcow2",
        "-o",
        &template,
    ]);
    assert!(is_qcow2(&template) && identical(case.name(), &template));
    let from = |source: &str, words: &[&str], to: &str| {
        vars(&[&["convert", source], words, &["-o", to]].concat());
        assert!(identical(case.name(), to), "{words:?}");
        is_qcow2(to)
    };
    assert!(from(case.name(), &["--like", &template], &out("1")));
    assert!(!from(&template, &["--like", case.name()], &out("2")));
    assert!(from(&template, &["--layout", "2M"], &out("3")));
    assert!(!from(
        &template,
        &["--layout", "2M", "--format", "raw"],
        &out("4")
    ));
    // CODE may be a qcow2 as well.
    let code = out("code.qcow2");
    run(
        "qemu-img",
        &[
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            &fixture("trixie/OVMF_CODE_4M.fd"),
            &code,
        ],
    );
    assert!(!from(case.name(), &["--for", &code], &out("5")));
    assert_eq!(json(&["list", &out("5")])["layout"], "4M");
    refused(&[
        "convert",
        case.name(),
        "--layout",
        "json",
        "--format",
        "raw",
        "-o",
        &out("6"),
    ]);
}

#[test]
fn what_is_no_firmware_has_no_layout() {
    let case = case("bookworm/OVMF_VARS.ms.fd");
    let (zeros, out) = (case.path("zeros.fd"), case.path("out.fd"));
    fs::write(&zeros, vec![0; 3_653_632]).unwrap();
    let told = [
        ("--for", zeros.as_str()),
        ("--for", &fixture("bookworm/OVMF_VARS_4M.fd")),
        ("--like", &fixture("bookworm/OVMF_CODE.fd")),
    ]
    .map(|(by, file)| case.refusal(&["convert", case.name(), by, file, "-o", &out]));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_firmware_of_a_combined_image_is_carried_or_its_loss_is_said_or_refused() {
    let case = case("bookworm/OVMF.fd");
    let before = fs::read(&case.file).unwrap();
    // Like itself: a copy that boots.
    let copy = case.path("copy.fd");
    vars(&["convert", case.name(), "--like", case.name(), "-o", &copy]);
    assert!(fs::read(&copy).unwrap()[0x2_0000..] == before[0x2_0000..]);
    // Like the other build: that one's firmware, these variables.
    vars(&["set", case.name(), "Timeout", "--hex", "0500"]);
    let template = fixture("trixie/OVMF.fd");
    let moved = case.path("moved.fd");
    vars(&["convert", case.name(), "--like", &template, "-o", &moved]);
    let (made, wanted) = (fs::read(&moved).unwrap(), fs::read(&template).unwrap());
    assert!(made.len() == wanted.len() && made[0x8_4000..] == wanted[0x8_4000..]);
    assert!(identical(case.name(), &moved));
    // A bare store says so, and takes no combined image's place.
    let bare = case.path("bare.fd");
    let change = json(&["convert", case.name(), "--layout", "4M", "-o", &bare]);
    let fitted = json(&["convert", &bare, "--for", &template, "-o", &case.path("for.fd")]);
    let replaced = |layout: &str| {
        case.refusal(&[
            "convert",
            case.name(),
            "--layout",
            layout,
            "-o",
            case.name(),
            "--replace",
        ])
    };
    let told = [
        case.notes(&change),
        case.notes(&fitted),
        replaced("2M"),
        replaced("json"),
    ];
    insta::assert_snapshot!(told.join("\n"));
    assert!(fs::read(&case.file).unwrap()[0x2_0000..] == before[0x2_0000..]);
}

#[test]
fn a_pipe_and_an_endless_device_are_refused_at_once() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let pipe = case.path("pipe");
    run("mkfifo", &[&pipe]);
    let out = case.path("x");
    let told = [
        &["list", pipe.as_str()][..],
        &["set", &pipe, "Timeout", "--hex", "0500"],
        &["diff", case.name(), &pipe],
        &["convert", case.name(), "--for", &pipe, "-o", "/dev/null/x"],
        &["convert", case.name(), "--like", "/dev/zero", "-o", &out],
        &["list", "/tmp"],
    ]
    .map(|words| case.refusal(words));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_event_log_is_kept_by_a_change_and_its_loss_is_said_by_a_conversion() {
    let case = case("bookworm/OVMF_VARS_4M.fd");
    let mut bytes = fs::read(&case.file).unwrap();
    bytes[0x4_0000..0x4_0010].fill(0x11);
    fs::write(&case.file, &bytes).unwrap();
    assert_eq!(json(&["list", case.name()])["event_log"], true);
    vars(&["set", case.name(), "Timeout", "--hex", "0500"]);
    assert_eq!(fs::read(&case.file).unwrap()[0x4_0000..0x4_0010], [0x11; 16]);
    let out = case.path("out.fd");
    let change = json(&["convert", case.name(), "--layout", "2M", "-o", &out]);
    insta::assert_snapshot!(case.notes(&change));
    assert_eq!(json(&["list", &out])["event_log"], false);
}
