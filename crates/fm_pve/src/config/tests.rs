//! Configurations as Proxmox VE writes them, and as it never would.

use proptest::prelude::*;

use super::*;

const CONFIG: &str = "\
#a note: with a colon
agent: 1
args: -device foo
bios: ovmf
efidisk0: local-lvm:vm-100-disk-0,efitype=4m,ms-cert=2023k,pre-enrolled-keys=1,size=4M
hookscript: nfs:snippets/own.pl
machine: pc-q35-9.2+pve1
parent: before
vmstate: local-lvm:vm-100-state-x

[PENDING]
delete: args,agent
machine: pc-q35-10.0

[before]
#its note
efidisk0: local-lvm:vm-100-disk-0,size=128K
vmstate: local-lvm:vm-100-state-before

[special:cloudinit]
name: other
";

#[test]
fn a_configuration_is_read_with_what_is_pending_and_its_snapshots() {
    let config = VmConfig::parse(CONFIG);
    assert!(config.is_uefi());
    assert_eq!(config.get("machine"), Some("pc-q35-9.2+pve1"));
    assert_eq!(config.at_next_start("machine"), Some("pc-q35-10.0"));
    assert_eq!(config.at_next_start("args"), None);
    assert_eq!(config.at_next_start("hookscript"), Some("nfs:snippets/own.pl"));
    assert_eq!(config.get("name"), None);
    let states: Vec<_> = config.snapshots("vmstate").collect();
    assert_eq!(states, [("before", Some("local-lvm:vm-100-state-before"))]);
    let disk = config.efi_disk().unwrap();
    assert_eq!(disk.volume, "local-lvm:vm-100-disk-0");
    assert!(disk.is_4m && disk.has_keys);
    assert_eq!(disk.ms_cert.as_deref(), Some("2023k"));
}

#[test]
fn an_efi_disk_is_named_with_or_without_its_key() {
    let disk = |text: &str| EfiDisk::parse(text);
    assert_eq!(
        disk("file=ceph:vm-1-disk-0,size=1M").unwrap().volume,
        "ceph:vm-1-disk-0"
    );
    assert!(!disk("ceph:vm-1-disk-0").unwrap().is_4m);
    assert_eq!(disk("none"), None);
    assert_eq!(disk(""), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let config = VmConfig::parse(&text);
        let _ = (config.efi_disk(), config.at_next_start("args"));
    }
}
