//! Command lines in every form that people and management stacks write them.

use super::*;

fn read(line: &[&str]) -> CommandLine {
    let arguments: Vec<String> = line.iter().map(|argument| (*argument).to_owned()).collect();
    CommandLine::parse(&arguments, &mut |path| Err(format!("no file {path} here")))
}

/// Unit, path, format, read-only, node.
type Unit = (u32, Option<String>, Option<String>, bool, String);

fn flash(line: &[&str]) -> Vec<Unit> {
    read(line)
        .flash
        .into_iter()
        .map(|flash| (flash.unit, flash.path, flash.format, flash.read_only, flash.node))
        .collect()
}

fn unit(unit: u32, path: &str, format: Option<&str>, read_only: bool, node: &str) -> Unit {
    (
        unit,
        Some(path.into()),
        format.map(Into::into),
        read_only,
        node.into(),
    )
}

#[test]
fn libvirts_block_nodes_are_followed_from_the_machine() {
    let line = [
        "/usr/bin/qemu-system-x86_64",
        "-name",
        "guest=web,,1,debug-threads=on",
        "-S",
        "-blockdev",
        r#"{"driver":"file","filename":"/usr/share/OVMF/OVMF_CODE_4M.fd","node-name":"libvirt-pflash0-storage","auto-read-only":true,"discard":"unmap"}"#,
        "-blockdev",
        r#"{"node-name":"libvirt-pflash0-format","read-only":true,"driver":"raw","file":"libvirt-pflash0-storage"}"#,
        "-blockdev",
        r#"{"driver":"file","filename":"/var/lib/libvirt/qemu/nvram/web_VARS.qcow2","node-name":"libvirt-pflash1-storage","read-only":false}"#,
        "-blockdev",
        r#"{"node-name":"libvirt-pflash1-format","read-only":false,"driver":"qcow2","file":"libvirt-pflash1-storage"}"#,
        "-machine",
        "pc-q35-7.2,usb=off,smm=on,pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-format",
        "-accel",
        "kvm",
        "-global",
        "driver=cfi.pflash01,property=secure,value=on",
        "-uuid",
        "e3b2f3a0-7b5e-4f8a-9d35-0d1e3a4b5c6d",
        "-chardev",
        "socket,id=charmonitor,fd=23,server=on,wait=off",
        "-mon",
        "chardev=charmonitor,id=monitor,mode=control",
    ];
    let guest = read(&line);
    assert_eq!(guest.name.as_deref(), Some("web,1"));
    assert_eq!(guest.machine.as_deref(), Some("pc-q35-7.2"));
    assert_eq!(guest.accels, ["kvm"]);
    assert_eq!(
        guest.uuid.as_deref(),
        Some("e3b2f3a0-7b5e-4f8a-9d35-0d1e3a4b5c6d")
    );
    assert!(guest.stopped && guest.secure_flash);
    assert_eq!(guest.qmp, [QmpArgument::Descriptor(23)]);
    assert_eq!(
        flash(&line),
        [
            unit(
                0,
                "/usr/share/OVMF/OVMF_CODE_4M.fd",
                Some("raw"),
                true,
                "libvirt-pflash0-format"
            ),
            unit(
                1,
                "/var/lib/libvirt/qemu/nvram/web_VARS.qcow2",
                Some("qcow2"),
                false,
                "libvirt-pflash1-format"
            ),
        ]
    );
}

#[test]
fn proxmox_drives_and_its_smbios_uuid_are_read() {
    let line = [
        "/usr/bin/kvm",
        "-id",
        "100",
        "-name",
        "win,debug-threads=on",
        "-no-shutdown",
        "-chardev",
        "socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off",
        "-mon",
        "chardev=qmp,mode=control",
        "-smbios",
        "type=1,uuid=12345678-1234-1234-1234-123456789abc",
        "-drive",
        "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/pve-edk2-firmware//OVMF_CODE_4M.fd",
        "-drive",
        "if=pflash,unit=1,id=drive-efidisk0,format=raw,file=/dev/pve/vm-100-disk-0,size=540672",
        "-machine",
        "type=q35+pve0",
    ];
    let guest = read(&line);
    assert_eq!(guest.name.as_deref(), Some("win"));
    assert_eq!(
        guest.uuid.as_deref(),
        Some("12345678-1234-1234-1234-123456789abc")
    );
    assert_eq!(
        guest.qmp,
        [QmpArgument::Path("/var/run/qemu-server/100.qmp".into())]
    );
    assert_eq!(
        flash(&line),
        [
            unit(
                0,
                "/usr/share/pve-edk2-firmware//OVMF_CODE_4M.fd",
                Some("raw"),
                true,
                "pflash0"
            ),
            unit(1, "/dev/pve/vm-100-disk-0", Some("raw"), false, "drive-efidisk0"),
        ]
    );
}

#[test]
fn varstores_on_a_cluster_have_a_location_and_no_path() {
    let line = [
        "kvm",
        "-drive",
        "if=pflash,unit=1,format=raw,id=e,file=rbd:pool/vm-100-disk-0:conf=/etc/c",
    ];
    let guest = read(&line);
    assert_eq!(guest.flash[0].path, None);
    assert_eq!(guest.flash[0].location, "rbd:pool/vm-100-disk-0:conf=/etc/c");
    let node = r#"{"driver":"raw","node-name":"v","file":{"driver":"rbd","pool":"p","image":"i"}}"#;
    let guest = read(&["qemu", "-blockdev", node, "-machine", "q35,pflash1=v"]);
    assert_eq!(guest.flash[0].location, "rbd:p/i");
}

#[test]
fn short_pflash_takes_the_next_free_unit_and_the_text_as_it_is() {
    assert_eq!(
        flash(&["qemu", "-pflash", "/a,b=c.fd", "--pflash", "/vars.fd"]),
        [
            unit(0, "/a,b=c.fd", None, false, "pflash0"),
            unit(1, "/vars.fd", None, false, "pflash1"),
        ]
    );
}

#[test]
fn drives_without_a_unit_fill_the_gaps() {
    assert_eq!(
        flash(&[
            "qemu",
            "-drive",
            "if=pflash,file=/x,,y.fd,readonly",
            "-drive",
            "file=/v,if=pflash,format=raw"
        ]),
        [
            unit(0, "/x,y.fd", None, true, "pflash0"),
            unit(1, "/v", Some("raw"), false, "pflash1"),
        ]
    );
}

#[test]
fn a_drive_may_be_named_by_the_machine_and_nest_its_file() {
    assert_eq!(
        flash(&[
            "qemu",
            "-drive",
            "if=none,id=c,driver=raw,file.driver=file,file.filename=/c.fd,read-only=on",
            "-blockdev",
            "driver=qcow2,node-name=v,file.driver=file,file.filename=/v,,1.qcow2",
            "-M",
            "q35",
            "-machine",
            "pflash0=c,pflash1=v",
        ]),
        [
            unit(0, "/c.fd", Some("raw"), true, "c"),
            unit(1, "/v,1.qcow2", Some("qcow2"), false, "v"),
        ]
    );
}

#[test]
fn filters_between_device_and_format_are_passed_through() {
    let line = [
        "qemu",
        "-blockdev",
        r#"{"driver":"file","node-name":"s","filename":"/v.fd"}"#,
        "-blockdev",
        r#"{"driver":"raw","node-name":"f","file":"s"}"#,
        "-blockdev",
        r#"{"driver":"throttle","node-name":"t","throttle-group":"g","file":"f"}"#,
        "-machine",
        "virt,pflash0=t",
    ];
    assert_eq!(flash(&line), [unit(0, "/v.fd", Some("raw"), false, "t")]);
}

#[test]
fn a_block_graph_that_bites_its_tail_ends() {
    let line = [
        "qemu",
        "-blockdev",
        r#"{"driver":"raw","node-name":"a","file":"b"}"#,
        "-blockdev",
        r#"{"driver":"raw","node-name":"b","file":"a"}"#,
        "-machine",
        "q35,pflash0=a",
    ];
    assert_eq!(read(&line).flash[0].path, None);
}

#[test]
fn configuration_files_say_what_options_say() {
    let config = r#"
[machine]
  type = "q35"
  accel = "tcg"
[drive]
  if = "pflash"
  unit = "0"
  file = "/c.fd"
  format = "raw"
  readonly = "on"
[drive "v"]
  if = "pflash"
  unit = "1"
  file = "/v.fd"
[name]
  guest = "by file"
[chardev "q"]
  backend = "socket"
  path = "/run/q.sock"
[mon "m"]
  chardev = "q"
  mode = "control"
[global]
  driver = "cfi.pflash01"
  property = "secure"
  value = "on"
"#;
    let arguments = ["qemu", "-readconfig", "guest.cfg"].map(str::to_owned);
    let guest = CommandLine::parse(&arguments, &mut |_| Ok(config.to_owned()));
    assert_eq!(guest.machine.as_deref(), Some("q35"));
    assert_eq!(guest.name.as_deref(), Some("by file"));
    assert_eq!(guest.accels, ["tcg"]);
    assert!(guest.secure_flash);
    assert_eq!(guest.qmp, [QmpArgument::Path("/run/q.sock".into())]);
    assert_eq!(guest.flash[0].path.as_deref(), Some("/c.fd"));
    assert_eq!((guest.flash[1].node.as_str(), guest.flash[1].unit), ("v", 1));
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_said() {
    let guest = read(&["qemu", "-readconfig", "gone.cfg"]);
    assert_eq!(guest.remarks, ["-readconfig gone.cfg: no file gone.cfg here"]);
    assert!(guest.config_unread);
    assert!(!read(&["qemu"]).config_unread);
}

#[test]
fn a_file_that_is_named_without_its_driver_is_a_file() {
    let line = [
        "qemu",
        "-drive",
        "if=pflash,format=raw,readonly=on,file.filename=/c.fd",
        "-drive",
        "if=pflash,file.filename=nbd://host/vars",
    ];
    let guest = read(&line);
    assert_eq!(guest.flash[0].path.as_deref(), Some("/c.fd"));
    assert_eq!(guest.flash[1].path, None);
    assert_eq!(guest.flash[1].location, "nbd://host/vars");
    // QEMU probes the format where none is given
    let probed = [
        "qemu",
        "-drive",
        "if=pflash,file.driver=file,file.filename=/v.qcow2",
    ];
    assert_eq!(flash(&probed), [unit(0, "/v.qcow2", None, false, "pflash0")]);
}

#[test]
fn accelerators_are_known_in_the_order_in_which_they_are_tried() {
    let accels = |line: &[&str]| read(line).accels;
    assert_eq!(
        accels(&["qemu", "-accel", "xen", "-accel", "tcg,thread=multi"]),
        ["xen", "tcg"]
    );
    assert_eq!(accels(&["qemu", "-machine", "q35,accel=kvm:tcg"]), ["kvm", "tcg"]);
    assert_eq!(accels(&["qemu", "-enable-kvm"]), ["kvm"]);
    assert_eq!(accels(&["qemu"]), Vec::<String>::new());
}

#[test]
fn a_root_that_is_left_after_the_start_is_known() {
    assert!(read(&["qemu", "-chroot", "/jail"]).chroot);
    assert!(read(&["qemu", "-run-with", "async-teardown=on,chroot=/jail"]).chroot);
    assert!(!read(&["qemu", "-run-with", "user=nobody", "-name", "chroot"]).chroot);
}

#[test]
fn options_in_another_options_value_are_not_options() {
    let guest = read(&[
        "qemu",
        "-append",
        "-pflash",
        "-name",
        "-S",
        "-qmp",
        "unix:/q,,1,server=on,wait=off",
    ]);
    assert_eq!(guest.flash, []);
    assert_eq!(guest.name.as_deref(), Some("-S"));
    assert!(!guest.stopped);
    assert_eq!(guest.qmp, [QmpArgument::Path("/q,1".into())]);
}

#[test]
fn a_third_unit_is_reported_as_it_stands() {
    let guest = read(&["qemu", "-pflash", "a", "-pflash", "b", "-pflash", "c"]);
    assert_eq!(
        guest.flash.iter().map(|flash| flash.unit).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn nonsense_is_read_without_a_panic() {
    for line in [
        vec![],
        vec!["qemu", "-drive"],
        vec![
            "qemu",
            "-blockdev",
            "{",
            "-blockdev",
            "[1]",
            "-machine",
            "pflash0=,pflash99999999999=x",
        ],
        vec![
            "qemu",
            "-drive",
            "if=pflash,unit=-1,file=json:{",
            "-",
            "--",
            "-name",
            ",=,",
        ],
        vec![
            "qemu", "-global", ".=", "-smbios", "type=1", "-add-fd", "fd=x", "-mon", "", "-qmp", "",
        ],
    ] {
        read(&line);
    }
}

#[test]
fn suspend_to_ram_is_off_only_where_the_machines_own_power_management_is_told_so() {
    let off = |words: &str| {
        let arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        CommandLine::parse(&arguments, &mut |_| Err(String::new())).s3_off
    };
    for (machine, its, other) in [
        ("-M q35", "ICH9-LPC", "PIIX4_PM"),
        ("-machine type=pc-q35-rhel9.6.0,accel=kvm", "ICH9-LPC", "PIIX4_PM"),
        ("-M pc", "PIIX4_PM", "ICH9-LPC"),
        ("-M pc-i440fx-9.2", "PIIX4_PM", "ICH9-LPC"),
        ("-m 1G", "PIIX4_PM", "ICH9-LPC"),
    ] {
        assert!(
            off(&format!("qemu {machine} -global {its}.disable_s3=1")),
            "{machine}"
        );
        assert!(
            off(&format!("qemu -global {its}.disable_s3=1 {machine}")),
            "{machine}"
        );
        assert!(
            !off(&format!("qemu {machine} -global {other}.disable_s3=1")),
            "{machine}"
        );
        // The last word counts.
        let again = format!("qemu {machine} -global {its}.disable_s3=1 -global {its}.disable_s3=0");
        assert!(!off(&again), "{machine}");
    }
}
