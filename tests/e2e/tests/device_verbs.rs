//! Every verb of `vars` on a real block device: what it does, what it keeps, and what it never touches.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use fm_e2e::device::{Device, VOLUME_BYTES, run};
use fm_e2e::{document, stderr};
use serde_json::Value;

const STORE_4M: usize = 540_672;
const STORE_2M: usize = 131_072;

fn device() -> Device {
    Device::new(&fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd"))
}

fn path(device: &Device) -> &str {
    device.path().to_str().unwrap()
}

fn json(device: &Device, words: &[&str]) -> Value {
    document(&device.flashmoor(&[words, &["--json"]].concat()))
}

fn names(device: &Device) -> Vec<String> {
    let list = json(device, &["vars", "list", path(device)]);
    let all = list["variables"].as_array().unwrap();
    all.iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

fn set(device: &Device, name: &str) -> Output {
    let words = ["vars", "set", path(device), name, "--hex", "0102"];
    device.flashmoor(&[&words[..], &["--guid", "605dab50-e046-4300-abb6-3dd810dd8b23"]].concat())
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

#[test]
fn variables_are_set_deleted_and_restored_and_what_lies_behind_stays() {
    let device = device();
    let before = device.content(STORE_4M);
    done(&set(&device, "Ours"));
    assert!(names(&device).contains(&"Ours".to_owned()));
    assert!(device.rest_is_untouched(STORE_4M));
    let backups = json(&device, &["vars", "backups", path(&device)]);
    let kept = backups["backups"][0]["path"].as_str().unwrap();
    assert_eq!(fs::read(kept).unwrap(), before);
    assert_eq!(
        Path::new(kept).metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    done(&device.flashmoor(&["vars", "delete", path(&device), "Ours"]));
    assert!(!names(&device).contains(&"Ours".to_owned()));
    done(&device.flashmoor(&["vars", "restore", path(&device), "--backup", kept]));
    assert_eq!(device.content(STORE_4M), before);
    assert!(device.rest_is_untouched(STORE_4M));
    // Said already, it is left alone.
    done(&set(&device, "Ours"));
    assert_eq!(
        json(&device, &["vars", "set", path(&device), "Ours", "--hex", "0102"])["up_to_date"],
        true
    );
    let pruned = json(&device, &["vars", "backups", "--keep", "1"]);
    assert_eq!(pruned["backups"].as_array().unwrap().len(), 2);
    assert!(!pruned["removed"].as_array().unwrap().is_empty());
}

#[test]
fn keys_are_enrolled_and_taken_out_and_a_store_is_imported_and_compacted() {
    let device = device();
    done(&device.flashmoor(&[
        "vars",
        "secure-boot",
        "enroll",
        path(&device),
        "--microsoft",
        "both",
    ]));
    done(&device.flashmoor(&["vars", "secure-boot", "unenroll", path(&device)]));
    assert!(!names(&device).contains(&"PK".to_owned()));
    let template = fm_fixtures::path("bookworm/OVMF_VARS_4M.ms.fd");
    done(&device.flashmoor(&[
        "vars",
        "import",
        path(&device),
        "--from",
        template.to_str().unwrap(),
    ]));
    assert!(names(&device).contains(&"PK".to_owned()));
    done(&device.flashmoor(&["vars", "compact", path(&device)]));
    assert!(device.rest_is_untouched(STORE_4M));
}

#[test]
fn a_torn_store_is_repaired_where_it_lies() {
    let device = device();
    let mut torn = device.content(STORE_4M);
    torn[0x32] ^= 0xff; // the volume's checksum
    device.write(&torn);
    done(&device.flashmoor(&["vars", "repair", path(&device)]));
    let list = json(&device, &["vars", "list", path(&device)]);
    assert_eq!(list["damage"].as_array().unwrap().len(), 0);
    assert!(device.rest_is_untouched(STORE_4M));
}

#[test]
fn a_store_is_converted_onto_a_blank_device_and_over_another_only_when_that_is_said() {
    let blank = Device::new(&vec![0; VOLUME_BYTES]);
    let input = fm_fixtures::path("bookworm/OVMF_VARS.ms.fd");
    let input = input.to_str().unwrap();
    let words = [
        "vars",
        "convert",
        input,
        "--layout",
        "4M",
        "--output",
        path(&blank),
    ];
    done(&blank.flashmoor(&words));
    assert!(names(&blank).contains(&"PK".to_owned()));
    assert!(
        blank.content(VOLUME_BYTES)[STORE_4M..]
            .iter()
            .all(|byte| *byte == 0)
    );
    assert!(!blank.flashmoor(&words).status.success());
    // Of the store that is replaced all is kept, however short the new one is.
    let before = blank.content(STORE_4M);
    let words = [
        "vars",
        "convert",
        input,
        "--layout",
        "2M",
        "--output",
        path(&blank),
        "--replace",
    ];
    let change = json(&blank, &words);
    assert_eq!(fs::read(change["backup"].as_str().unwrap()).unwrap(), before);
    assert_eq!(blank.content(STORE_4M)[STORE_2M..], before[STORE_2M..]);
    done(&blank.flashmoor(&["vars", "restore", path(&blank)]));
    assert_eq!(blank.content(STORE_4M), before);
}

#[test]
fn a_device_that_is_too_small_or_holds_a_file_system_or_belongs_to_a_guest_is_refused() {
    let device = device();
    let image = fm_fixtures::path("trixie/AAVMF_VARS.fd");
    let words = [
        "vars",
        "convert",
        image.to_str().unwrap(),
        "--like",
        image.to_str().unwrap(),
    ];
    let refused = device.flashmoor(&[&words[..], &["--output", path(&device), "--replace"]].concat());
    assert!(!refused.status.success());
    let before = device.content(VOLUME_BYTES);
    // As QEMU has it: open for reading and writing, and nothing more.
    let guest = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device.path())
        .unwrap();
    let mut holder = Command::new("sleep").arg("600").stdin(guest).spawn().unwrap();
    let refused = set(&device, "Ours");
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("sleep"), "{}", stderr(&refused));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(device.content(VOLUME_BYTES), before);
    // Mounted is held by the kernel.
    let system = device.file("system");
    fs::create_dir(&system).unwrap();
    run(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(device.path()));
    run(Command::new("mount").arg(device.path()).arg(&system));
    let output = path(&device);
    let template = fm_fixtures::path("bookworm/OVMF_VARS_4M.fd");
    let template = template.to_str().unwrap();
    let words = [
        "vars",
        "convert",
        template,
        "--layout",
        "4M",
        "--output",
        output,
        "--replace",
    ];
    let refused = device.flashmoor(&words);
    run(Command::new("umount").arg(&system));
    assert!(!refused.status.success());
    run(Command::new("fsck.ext4").arg("-n").arg("-f").arg(device.path()));
}

#[test]
fn a_real_qemu_that_has_the_device_as_proxmox_gives_it_keeps_it() {
    let device = device();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let blockdev = format!(
        r#"{{"driver":"throttle","throttle-group":"t0","node-name":"drive-efidisk0","file":{{"driver":"raw","size":{STORE_4M},"file":{{"driver":"host_device","filename":"{}"}}}}}}"#,
        path(&device)
    );
    let mut guest = Command::new("qemu-system-x86_64")
        .args(["-S", "-display", "none", "-nodefaults", "-m", "64"])
        .args(["-object", r#"{"qom-type":"throttle-group","id":"t0"}"#])
        .args(["-blockdev", &format!(r#"{{"driver":"raw","node-name":"pflash0","read-only":true,"file":{{"driver":"file","filename":"{}"}}}}"#, code.display())])
        .args(["-blockdev", &blockdev])
        .args(["-machine", "pflash0=pflash0,pflash1=drive-efidisk0,type=q35,accel=tcg"])
        .args(["-qmp", "stdio"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It greets before the machine stands, and answers when it does.
    let mut asked = guest.stdin.take().unwrap();
    asked.write_all(br#"{"execute":"qmp_capabilities"}"#).unwrap();
    let mut said = BufReader::new(guest.stdout.take().unwrap());
    for expected in ["QMP", "return"] {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains(expected), "{line}");
    }
    let refused = set(&device, "Ours");
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("qemu"), "{}", stderr(&refused));
    guest.kill().unwrap();
    guest.wait().unwrap();
    done(&set(&device, "Ours"));
    assert!(device.rest_is_untouched(STORE_4M));
}

#[test]
fn a_file_that_something_is_mounted_on_is_written_where_it_lies() {
    let device = device();
    let (file, named) = (device.file("vars.fd"), device.file("bound.fd"));
    fs::write(&file, device.content(STORE_4M)).unwrap();
    fs::write(&named, "").unwrap();
    run(Command::new("mount").arg("--bind").arg(&file).arg(&named));
    let words = ["vars", "set", named.to_str().unwrap(), "Ours", "--hex", "01"];
    let set = device.flashmoor(&[&words[..], &["--guid", "605dab50-e046-4300-abb6-3dd810dd8b23"]].concat());
    let listed = device.flashmoor(&["vars", "list", file.to_str().unwrap()]);
    let json = device.file("vars.json");
    fs::write(&json, "").unwrap();
    run(Command::new("umount").arg(&named));
    done(&set);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("Ours"));
    assert_eq!(fs::metadata(&file).unwrap().len(), STORE_4M as u64);
}

#[test]
fn a_partition_is_written_and_its_neighbours_are_not() {
    let device = device();
    let store = device.content(STORE_4M);
    run(Command::new("addpart")
        .arg(device.path())
        .args(["1", "2048", "2048"]));
    // A container's /dev may not follow the machine's.
    let name = device.path().file_name().unwrap().to_str().unwrap().to_owned();
    let numbers = fs::read_to_string(format!("/sys/block/{name}/{name}p1/dev")).unwrap();
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    let node = device.file("partition");
    run(Command::new("mknod").arg(&node).args(["b", major, minor]));
    fs::write(device.file("store.fd"), &store).unwrap();
    let (from, to) = (device.file("store.fd"), node.to_str().unwrap());
    let words = [
        "vars",
        "convert",
        from.to_str().unwrap(),
        "--layout",
        "4M",
        "--output",
        to,
        "--replace",
    ];
    let before = device.content(VOLUME_BYTES);
    let converted = device.flashmoor(&words);
    let after = device.content(VOLUME_BYTES);
    run(Command::new("delpart").arg(device.path()).arg("1"));
    done(&converted);
    let start = 2048 * 512;
    assert_eq!(after[..start], before[..start]);
    assert_eq!(after[start + STORE_4M..], before[start + STORE_4M..]);
    assert_ne!(after[start..start + STORE_4M], before[start..start + STORE_4M]);
}
