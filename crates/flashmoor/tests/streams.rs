//! Streams and saved guests as their users meet them: files, pipes, save images, whole and cut short.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

const CODE: &str = "bookworm/OVMF_CODE.fd";
const VARS: &str = "bookworm/OVMF_VARS.ms.fd";

fn flashmoor() -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    command.arg("--store").arg("/no/such/store");
    command
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&text(command.arg("--json"))).unwrap()
}

/// The stream of a guest with a little memory, all zero, and real firmware (QEMU `migration/{savevm,ram}.c`).
fn stream() -> Vec<u8> {
    let memory = vec![0; 64 << 10];
    let blocks = [
        ("pc.ram", memory),
        ("system.flash0", fm_fixtures::bytes(CODE)),
        ("system.flash1", fm_fixtures::bytes(VARS)),
    ];
    let name = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let mut out = b"QEVM\0\0\0\x03\x07\0\0\0\x0apc-q35-7.2".to_vec();
    out.extend(b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04");
    let total: u64 = blocks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    out.extend((total | 4).to_be_bytes());
    for (block, bytes) in &blocks {
        out.extend(name(block));
        out.extend((bytes.len() as u64).to_be_bytes());
    }
    let end = [&0x10u64.to_be_bytes()[..], b"\x7e\0\0\0\x02"].concat();
    out.extend(&end);
    out.extend(b"\x03\0\0\0\x02");
    for (block, bytes) in &blocks {
        for (at, page) in bytes.chunks(4096).enumerate() {
            let again = if at == 0 { 0 } else { 0x20 };
            let is_zero = page.iter().all(|byte| *byte == 0);
            let kind: u64 = if is_zero { 0x02 } else { 0x08 };
            out.extend(((at as u64 * 4096) | kind | again).to_be_bytes());
            if again == 0 {
                out.extend(name(block));
            }
            out.extend(if is_zero { &[0][..] } else { page });
        }
    }
    out.extend(&end);
    out.push(0);
    out
}

/// A libvirt save image (libvirt `src/qemu/qemu_saveimage.h`).
fn save_image(stream: &[u8], format: u32) -> Vec<u8> {
    let xml = "<domain type='qemu'><name>shop</name><uuid>1a2b3c4d-0000-4000-8000-000000000001</uuid>\
        <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\
        <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>\
        <nvram template='/usr/share/OVMF/OVMF_VARS.ms.fd'>/var/lib/libvirt/qemu/nvram/shop.fd</nvram></os></domain>\0";
    let mut image = b"LibvirtQemudSave".to_vec();
    for word in [2, xml.len() as u32, 1, format, 0] {
        image.extend(word.to_le_bytes());
    }
    image.resize(92, 0);
    image.extend(xml.as_bytes());
    image.extend(stream);
    image
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn digest(fixture: &str) -> String {
    fm_fixtures::all()
        .find(|known| known.name == fixture)
        .unwrap()
        .sha256
        .clone()
}

#[test]
fn a_stream_is_shown_with_its_blocks_and_its_build_from_a_file_and_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = stream();
    let file = write(folder.path(), "guest.mig", &bytes);
    let from_file = json(flashmoor().arg("inspect").arg(&file));
    assert_eq!(from_file["kind"], "migration_stream");
    assert_eq!(from_file["size_bytes"], bytes.len());
    let stream = &from_file["stream"];
    for (field, value) in [
        ("version", Value::from(3)),
        ("machine", "pc-q35-7.2".into()),
        ("complete", true.into()),
        ("page_size_bytes", 4096.into()),
        ("capabilities", Value::Array(Vec::new())),
        ("devices", Value::Array(Vec::new())),
    ] {
        assert_eq!(stream[field], value, "{field}");
    }
    let [memory, code, vars] = stream["blocks"].as_array().unwrap().as_slice() else {
        panic!("{stream}");
    };
    assert_eq!(memory["name"], "pc.ram");
    assert_eq!(
        (&memory["pages_data"], &memory["pages_zero"]),
        (&0.into(), &16.into())
    );
    assert!(memory["sha256"].is_null(), "memory is not hashed");
    assert_eq!(
        (&code["name"], &code["size_bytes"]),
        (&"system.flash0".into(), &0x1e_0000.into())
    );
    assert_eq!(
        (&code["sha256"], &vars["sha256"]),
        (&digest(CODE).into(), &digest(VARS).into())
    );
    assert_eq!(code["build"]["version"], "2022.11-6+deb12u2");

    let from_pipe = json(flashmoor().args(["inspect", "-"]).write_stdin(bytes));
    assert_eq!(from_pipe["stream"], from_file["stream"]);
    assert_eq!(
        from_pipe["size_bytes"], from_file["size_bytes"],
        "as far as it was read"
    );
    let said = text(flashmoor().arg("inspect").arg(&file));
    for words in [
        "machine  pc-q35-7.2, stream version 3",
        "state    whole",
        "block    pc.ram  65536 bytes, pages: 16 zero, in",
        "ovmf 2022.11-6+deb12u2",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}

#[test]
fn a_build_that_no_catalogue_knows_is_named_by_its_own_version_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = stream();
    // In the free space of CODE's main volume.
    let at = bytes
        .windows(4096)
        .position(|page| page.iter().all(|byte| *byte == 0xff))
        .unwrap();
    bytes[at + 2048] ^= 1;
    let file = write(folder.path(), "guest.mig", &bytes);
    let build = json(flashmoor().arg("inspect").arg(&file))["stream"]["blocks"][1]["build"].clone();
    assert_eq!(
        (&build["name"], &build["source"]),
        (&"unknown build".into(), &"none".into())
    );
}

#[test]
fn a_save_image_is_shown_with_what_of_its_domain_decides_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = stream();
    let packed = {
        let raw = write(folder.path(), "raw", &plain);
        let done = std::process::Command::new("gzip")
            .arg("-c")
            .arg(raw)
            .output()
            .unwrap();
        assert!(done.status.success());
        done.stdout
    };
    for (name, image, compression) in [
        ("plain.save", save_image(&plain, 0), "raw"),
        ("packed.save", save_image(&packed, 1), "gzip"),
    ] {
        let file = write(folder.path(), name, &image);
        let document = json(flashmoor().arg("inspect").arg(&file));
        assert_eq!(document["kind"], "libvirt_save_image");
        assert_eq!(document["compression"], compression);
        assert_eq!(document["stream"]["complete"], true);
        let domain = &document["domain"];
        assert_eq!(
            (&domain["name"], &domain["machine"]),
            (&"shop".into(), &"pc-q35-7.2".into())
        );
        assert_eq!(domain["loader"], "/usr/share/OVMF/OVMF_CODE.fd");
        assert_eq!(domain["nvram_template"], "/usr/share/OVMF/OVMF_VARS.ms.fd");
        let said = text(flashmoor().arg("inspect").arg(&file));
        assert!(said.contains("domain   shop, pc-q35-7.2, was running"), "{said}");
    }
}

#[test]
fn a_stream_that_is_cut_short_says_where_and_gives_only_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = stream();
    // In the middle of VARS: CODE came whole, and a guest cannot write it.
    let len = bytes.len() - 40_000;
    let file = write(folder.path(), "cut.mig", &bytes[..len]);
    let document = json(flashmoor().arg("inspect").arg(&file));
    let stream = &document["stream"];
    assert_eq!(
        (&stream["complete"], &stream["stopped"]["offset"]),
        (&false.into(), &len.into())
    );
    assert_eq!(stream["blocks"][1]["sha256"], digest(CODE));
    assert!(stream["blocks"][2]["sha256"].is_null());

    let (code, vars) = (folder.path().join("code.fd"), folder.path().join("vars.fd"));
    text(
        flashmoor()
            .args(["saved", "extract"])
            .arg(&file)
            .arg("--code")
            .arg(&code),
    );
    assert_eq!(std::fs::read(&code).unwrap(), fm_fixtures::bytes(CODE));
    flashmoor()
        .args(["saved", "extract"])
        .arg(&file)
        .arg("--vars")
        .arg(&vars)
        .assert()
        .code(1);
    assert!(!vars.exists());
}

#[test]
fn saved_guests_give_back_firmware_variables_and_an_offer() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "guest.save", &save_image(&stream(), 0));
    let (code, vars) = (folder.path().join("code.fd"), folder.path().join("vars.fd"));
    let extract = || {
        let mut command = flashmoor();
        command.args(["saved", "extract"]).arg(&file);
        command.arg("--code").arg(&code).arg("--vars").arg(&vars);
        command
    };
    text(&mut extract());
    assert_eq!(std::fs::read(&code).unwrap(), fm_fixtures::bytes(CODE));
    assert_eq!(std::fs::read(&vars).unwrap(), fm_fixtures::bytes(VARS));
    extract().assert().code(2); // nothing is overwritten

    let listed = text(flashmoor().args(["saved", "vars"]).arg(&file));
    assert!(listed.contains("PK") && listed.contains("db"), "{listed}");
    let offer = json(flashmoor().args(["saved", "offer"]).arg(&file));
    assert_eq!(offer["schema"], "flashmoor/offer/1");
    assert!(offer.to_string().contains(&digest(CODE)), "{offer}");
    let same = text(flashmoor().args(["saved", "diff"]).arg(&file).arg(&file));
    assert!(!same.is_empty());
}
