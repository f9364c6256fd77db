//! A guest as Incus starts it: CODE and VARS are descriptors that QEMU inherits, named in the file of `-readconfig`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use fm_e2e::{document, flashmoor};

#[test]
fn flash_that_a_guest_inherited_is_found_through_its_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let code = fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd");
    fs::write(path("code.fd"), &code).unwrap();
    fs::write(path("vars.fd"), fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd")).unwrap();
    let config = "\
[machine]\ntype = \"q35\"\naccel = \"tcg\"\n
[drive]\nfile = \"/dev/fd/7\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"0\"\nreadonly = \"on\"\n
[drive]\nfile = \"/dev/fd/8\"\nif = \"pflash\"\nformat = \"raw\"\nunit = \"1\"\n";
    fs::write(path("qemu.conf"), config).unwrap();
    let mut guest = Command::new("sh")
        .arg("-c")
        .arg(
            "exec 7<code.fd 8<>vars.fd; exec qemu-system-x86_64 -S -name incus -nodefaults -display none -m 64 \
             -readconfig qemu.conf -qmp stdio",
        )
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut said = BufReader::new(guest.stdout.take().unwrap());
    said.read_line(&mut greeting).unwrap();
    let ps = document(&flashmoor().args(["ps", "--json"]).output().unwrap());
    let pid = guest.id();
    guest.kill().unwrap();
    guest.wait().unwrap();
    assert!(greeting.contains("QMP"), "{greeting}");
    let guests = ps["guests"].as_array().unwrap();
    let own = guests.iter().find(|one| one["pid"] == pid).unwrap();
    assert_eq!(own["code"]["path"], path("code.fd").to_str().unwrap(), "{own}");
    assert_eq!(own["vars"]["path"], path("vars.fd").to_str().unwrap(), "{own}");
    assert_eq!(
        own["code"]["running_sha256"],
        fm_formats::Sha256::of(&code).to_string()
    );
    assert_eq!(own["code"]["drift"], false, "{own}");
}
