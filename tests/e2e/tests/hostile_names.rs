//! Names that others chose, through every command that prints them: no line is forged, no terminal steered, no page or
//! table broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fm_e2e::{Bench, document, stderr};
use fm_lab::{Arch, Machine};

/// What it would take to forge a line, set a window's title, clear the screen, turn the text around, and leave an element.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\nFORGED line</td><script>\"'&";

/// The same as far as XML can hold it.
const IN_XML: &str = "x\u{9b}31m\u{202e}&#10;FORGED line&lt;/td&gt;&lt;script&gt;&quot;&apos;&amp;";

fn steers(letter: char) -> bool {
    fm_remedy::steers(letter)
}

/// That nothing in `text` does anything but colour it.
fn is_tame(text: &str, context: &str) {
    assert!(
        !text.lines().any(|line| line.starts_with("FORGED")),
        "{context}: {text:?}"
    );
    let mut rest = text;
    while let Some(at) = rest.find(steers) {
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("\u{1b}[") {
            let (sequence, after) = after
                .split_once('m')
                .unwrap_or_else(|| panic!("{context}: {text:?}"));
            let is_colour = sequence.bytes().all(|byte| byte == b';' || byte.is_ascii_digit());
            assert!(is_colour, "{context}: {text:?}");
            rest = after;
            continue;
        }
        let letter = rest.chars().next().unwrap();
        assert!(matches!(letter, '\n' | '\t'), "{context}: {letter:?} in {text:?}");
        rest = &rest[letter.len_utf8()..];
    }
}

/// Runs a command in both forms, and looks at all that it says. Whether it succeeds is not the question.
fn tame(bench: &Bench, words: &[&str]) -> String {
    let mut all = String::new();
    for form in [&["--color", "always"][..], &["--json"]] {
        let mut command = bench.flashmoor();
        let output = command
            .env_remove("NO_COLOR")
            .args(form)
            .args(words)
            .output()
            .unwrap();
        assert!(
            !matches!(output.status.code(), Some(70) | None),
            "{words:?}: {}",
            stderr(&output)
        );
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            is_tame(&text, &format!("{words:?}"));
            all += &text;
        }
    }
    all
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_guests_name_is_shown_by_every_command_and_obeyed_by_none() {
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "VARS.fd");
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(
            Arch::X86_64,
            &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
            &vars,
        )
    };
    // a comma would end the name
    let guest = bench.start(&machine.named(HOSTILE));
    let pid = guest.pid().to_string();
    let metrics = bench.path("flashmoor.prom");
    for words in [
        &["ps"][..],
        &["ps", "--long"],
        &["ps", "--prometheus", text(&metrics)],
        &["capture", &pid],
        &["capture", "--all"],
        &["offer", &pid],
        &["harvest", &pid],
        &["vars", "list", &pid],
        &["vars", "show", &pid],
        &["vars", "secure-boot", "status", "--guests"],
        &["vars", "list", HOSTILE],
        &["vars", "list", "no such guest\u{1b}[2J\nFORGED"],
        &["store", "list"],
        &["store", "gc"],
        &["libvirt", "status"],
    ] {
        tame(&bench, words);
    }
    let shown = tame(&bench, &["ps"]);
    assert!(shown.contains("FORGED line"), "it is shown: {shown}");
    let metrics = fs::read_to_string(metrics).unwrap();
    is_tame(&metrics, "metrics");
    let own = metrics.lines().filter(|line| line.contains("FORGED")).count();
    assert!(
        own > 0 && metrics.lines().all(|line| line.starts_with(['#', 'f'])),
        "{metrics}"
    );
}

#[test]
fn what_a_peer_wrote_into_a_store_an_offer_or_a_descriptor_is_shown_and_not_obeyed() {
    let bench = Bench::new();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let imported = bench
        .flashmoor()
        .args([
            "--json",
            "store",
            "import",
            "--name",
            HOSTILE,
            "--version",
            HOSTILE,
        ])
        .arg(&code)
        .output()
        .unwrap();
    let id = document(&imported)["id"].as_str().unwrap().to_owned();
    tame(&bench, &["store", "pin", &id, "--reason", HOSTILE]);
    let descriptor = bench.path("50-hostile\u{1b}[2J\nFORGED.json");
    let hostile = serde_json::to_string(HOSTILE).unwrap();
    fs::write(
        &descriptor,
        format!(
            r#"{{"description":{hostile},"interface-types":["uefi"],"mapping":{{"device":"flash","executable":
            {{"filename":{hostile},"format":{hostile}}},"nvram-template":{{"filename":{hostile},"format":"raw"}}}},
            "targets":[{{"architecture":{hostile},"machines":[{hostile}]}}],"features":[{hostile}]}}"#
        ),
    )
    .unwrap();
    let offer = bench.path("offer.json");
    let flash =
        format!(r#"{{"sha256":"{id}","size_bytes":4096,"format":{hostile},"path":{hostile},"node":null}}"#);
    fs::write(
        &offer,
        format!(
            r#"{{"schema":"flashmoor/offer/1","qemu_version":{hostile},"machine":{hostile},"guest":{{"name":{hostile},
            "uuid":{hostile},"pid":1}},"blocks":[{{"name":{hostile},"size_bytes":4096,"sha256":null}}],
            "blocks_complete":true,"code":{flash},"vars":{flash},"build":"{id}"}}"#
        ),
    )
    .unwrap();
    let named = bench.copy("bookworm/OVMF_CODE_4M.fd", "CODE\u{1b}[2J\nFORGED<b>.fd");
    let (page, picture) = (bench.path("matrix.html"), bench.path("map.svg"));
    let vars = bench.path("vars.json");
    fs::write(
        &vars,
        format!(
            r#"{{"version":2,"variables":[{{"name":{hostile},"guid":"8be4df61-93ca-11d2-aa0d-00e098032b8c","attr":7,
            "data":"0100"}}]}}"#
        ),
    )
    .unwrap();
    for words in [
        &["store", "list"][..],
        &["store", "show", &id],
        &["store", "gc", "--dry-run"],
        &["store", "verify"],
        &["store", "export", &id, "/proc/nowhere"],
        &["store", "forget", HOSTILE],
        &["inspect", text(&descriptor)],
        &["inspect", text(&named)],
        &["inspect", "--svg", text(&picture), text(&named)],
        &["inspect", text(&offer)],
        &["prepare", text(&offer)],
        &["check", "--from-code", text(&named), "--to", text(&offer)],
        &["check", "--matrix", text(named.parent().unwrap())],
        &[
            "check",
            "--matrix",
            text(named.parent().unwrap()),
            "--html",
            text(&page),
        ],
        &["find", text(&named), HOSTILE],
        &["extract", text(&named), "--name", HOSTILE],
        &["diff", text(&named), text(&descriptor)],
        &["vars", "list", text(&vars)],
        &["vars", "show", text(&vars)],
        &["vars", "diff", text(&vars), text(&named)],
    ] {
        tame(&bench, words);
    }
    for picture in [page, picture]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
    {
        assert!(
            !picture.contains("<b>") && !picture.contains("<script"),
            "{picture}"
        );
        assert!(!picture.chars().any(|letter| letter != '\n' && steers(letter)));
    }
}

/// A save image of a domain of that name, with a stream that ends early.
fn save_image(path: &Path) {
    let xml = format!(
        "<domain><name>{IN_XML}</name><uuid>{IN_XML}</uuid><os><type machine='{IN_XML}'>hvm</type>\
         <loader type='pflash'>{IN_XML}</loader><nvram template='{IN_XML}'>{IN_XML}</nvram></os></domain>\0"
    );
    let mut image = b"LibvirtQemudSave\x02\0\0\0".to_vec();
    image.extend(u32::try_from(xml.len()).unwrap().to_le_bytes());
    image.resize(92, 0);
    image.extend(xml.as_bytes());
    image.extend(b"QEVM\0\0\0\x03\x07\0\0\0\x08pc\x1b[2J\nF\x02\0\0\0\x01\x03ra");
    fs::write(path, image).unwrap();
}

/// A certificate with that common name.
fn certificate(folder: &Path) -> PathBuf {
    let path = folder.join("hostile.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-utf8", "-subj"])
        .arg("/CN=x\u{1b}]0;owned\u{7}\u{9b}2J\u{202e} FORGED")
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    path
}

#[test]
fn saved_guests_and_certificates_steer_nothing() {
    let bench = Bench::new();
    let image = bench.path("hostile.save");
    save_image(&image);
    let image = text(&image);
    for words in [
        &["inspect", image][..],
        &["saved", "plan", image],
        &["saved", "adopt", image],
        &["saved", "extract", image, "code"],
        &["vars", "list", image],
    ] {
        tame(&bench, words);
    }
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "VARS.fd");
    let (vars, pem) = (text(&vars).to_owned(), certificate(&bench.path("")));
    tame(
        &bench,
        &[
            "vars",
            "secure-boot",
            "enroll",
            &vars,
            "--pk",
            text(&pem),
            "--db",
            text(&pem),
        ],
    );
    for words in [
        &["vars", "secure-boot", "status", &vars][..],
        &["vars", "list", &vars],
        &["vars", "show", &vars],
    ] {
        let shown = tame(&bench, words);
        assert!(shown.contains("FORGED") || words[1] == "list", "{shown}");
    }
}
