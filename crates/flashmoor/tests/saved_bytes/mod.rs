//! Streams and save images of a guest with real firmware, written field by field.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

pub(crate) const CODE: &str = "bookworm/OVMF_CODE.fd";
pub(crate) const VARS: &str = "bookworm/OVMF_VARS.ms.fd";

pub(crate) fn flashmoor() -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    command.arg("--store").arg("/no/such/store").env("NO_COLOR", "1");
    command
}

/// The program with a store in `folder`.
pub(crate) fn with_store(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("flashmoor").unwrap();
    command
        .arg("--store")
        .arg(folder.join("store"))
        .env("NO_COLOR", "1");
    command
}

pub(crate) fn text(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

pub(crate) fn json(command: &mut Command) -> Value {
    serde_json::from_str(&text(command.arg("--json"))).unwrap()
}

/// What a refused command says, after a look at its exit status.
pub(crate) fn refused(command: &mut Command, status: i32) -> String {
    String::from_utf8(command.assert().code(status).get_output().stderr.clone()).unwrap()
}

/// All that a command in `folder` that must fail says, without what differs from run to run.
pub(crate) fn refusal(folder: &Path, command: &mut Command, status: i32) -> String {
    refused(command, status).replace(folder.to_str().unwrap(), "[DIR]")
}

pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(crate) fn digest(fixture: &str) -> String {
    fm_fixtures::all()
        .find(|known| known.name == fixture)
        .unwrap()
        .sha256
        .clone()
}

/// A stream of these blocks (QEMU `migration/{savevm,ram}.c`); zero pages are sent as data if `all_data`.
pub(crate) fn stream_of(blocks: &[(&str, Vec<u8>)], all_data: bool) -> Vec<u8> {
    let name = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let mut out = b"QEVM\0\0\0\x03\x07\0\0\0\x0apc-q35-7.2".to_vec();
    out.extend(b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04");
    let total: u64 = blocks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    out.extend((total | 4).to_be_bytes());
    for (block, bytes) in blocks {
        out.extend(name(block));
        out.extend((bytes.len() as u64).to_be_bytes());
    }
    let end = [&0x10u64.to_be_bytes()[..], b"\x7e\0\0\0\x02"].concat();
    out.extend(&end);
    out.extend(b"\x03\0\0\0\x02");
    for (block, bytes) in blocks {
        for (at, page) in bytes.chunks(4096).enumerate() {
            let again = if at == 0 { 0 } else { 0x20 };
            let is_zero = !all_data && page.iter().all(|byte| *byte == 0);
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

/// The stream of a guest with a little memory, all zero, and real firmware.
pub(crate) fn stream() -> Vec<u8> {
    stream_of(
        &[
            ("pc.ram", vec![0; 64 << 10]),
            ("system.flash0", fm_fixtures::bytes(CODE)),
            ("system.flash1", fm_fixtures::bytes(VARS)),
        ],
        false,
    )
}

/// The same with a device section and the description of it.
pub(crate) fn described() -> Vec<u8> {
    with_a_device(stream())
}

pub(crate) fn with_a_device(mut out: Vec<u8>) -> Vec<u8> {
    out.pop();
    out.extend(b"\x04\0\0\0\x03\x05timer\0\0\0\0\0\0\0\x02");
    out.extend([1; 24]);
    out.extend(b"\x7e\0\0\0\x03\0\x06");
    let json = r#"{"page_size":4096,"devices":[{"name":"timer","instance_id":0,"fields":[{"size":24}]}]}"#;
    out.extend((json.len() as u32).to_be_bytes());
    out.extend(json.as_bytes());
    out
}

/// The domain of a save image.
pub(crate) fn domain(name: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><uuid>1a2b3c4d-0000-4000-8000-000000000001</uuid>\
         <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\
         <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>\
         <nvram template='/no/such/OVMF_VARS.ms.fd'>/var/lib/libvirt/qemu/nvram/shop.fd</nvram></os></domain>"
    )
}

/// A libvirt save image (libvirt `src/qemu/qemu_saveimage.h`) with `room` bytes for its XML to grow.
pub(crate) fn save_image_of(name: &str, stream: &[u8], format: u32, room: usize) -> Vec<u8> {
    let mut data = domain(name).into_bytes();
    data.push(0);
    data.resize(data.len() + room, 0);
    let mut image = b"LibvirtQemudSave".to_vec();
    for word in [2, data.len() as u32, 1, format, 0] {
        image.extend(word.to_le_bytes());
    }
    image.resize(92, 0);
    image.extend(data);
    image.extend(stream);
    image
}

pub(crate) fn save_image(stream: &[u8], format: u32) -> Vec<u8> {
    save_image_of("shop", stream, format, 0)
}
