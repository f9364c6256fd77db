//! Flash in qcow2, as Fedora has it: adopted, moved and given back where libvirt knows of it.

use fm_e2e::bed::{Bed, Host, domain};
use fm_e2e::{document, stderr};
use fm_formats::Sha256;

/// libvirt's release here, as major and minor.
fn libvirt_version(host: &Host) -> (u32, u32) {
    let said = host.ask(&["version"]);
    let (_, version) = said.split_once("Using library: libvirt ").unwrap();
    let mut numbers = version.split(['.', '\n']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn convert(host: &Host, fixture: &str, place: &str) {
    let done = std::process::Command::new("qemu-img")
        .args(["convert", "-O", "qcow2"])
        .arg(fm_fixtures::path(fixture))
        .arg(host.path(place))
        .status();
    assert!(done.unwrap().success());
}

const CODE: &str = "/var/lib/libvirt/CODE.qcow2";
const TEMPLATE: &str = "/var/lib/libvirt/TEMPLATE.qcow2";

/// From 9.2 on `format` is known, from 10.10 on formats of CODE, VARS and template may differ
/// (libvirt `docs/formatdomain.rst`).
#[test]
fn flash_in_qcow2_moves_with_its_firmware_where_libvirt_knows_it_and_is_refused_where_it_drops_the_word() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    convert(&bed.a, "bookworm/OVMF_CODE_4M.fd", CODE);
    convert(&bed.a, "bookworm/OVMF_VARS_4M.fd", TEMPLATE);
    if libvirt_version(&bed.a) < (9, 2) {
        refused_as_raw(&bed.a);
        return;
    }
    let nvram = format!(
        "<nvram template='{TEMPLATE}' templateFormat='qcow2' format='qcow2'>/var/lib/libvirt/qemu/nvram/fedora.qcow2</nvram>"
    );
    let os = format!("    <loader readonly='yes' type='pflash' format='qcow2'>{CODE}</loader>{nvram}");
    bed.a.define(&domain("fedora", &os, ""));
    let before = bed.a.ask(&["dumpxml", "--inactive", "fedora"]);
    assert!(before.contains("format='qcow2'"), "{before}");
    let digest = Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd")).to_string();
    let libvirt = |verb: &str| {
        let mut command = bed.a.flashmoor();
        command.args(["--json", "libvirt", verb, "fedora", "--connect", &bed.a.uri()]);
        document(&command.output().unwrap())
    };
    let adopted = |running: bool| {
        let done = libvirt("adopt");
        let domain = &done["domains"][0];
        assert_eq!(domain["build"], digest, "{done}");
        assert_eq!(domain["vars_bytes"], 0x8_4000, "{done}");
        assert_eq!(domain["running"], running, "{done}");
        let xml = bed.a.ask(&["dumpxml", "--inactive", "fedora"]);
        let defined = fm_libvirt::Domain::parse(&xml).unwrap();
        assert_eq!(
            defined.loader.unwrap().format,
            fm_libvirt::FileFormat::Raw,
            "{xml}"
        );
        let nvram = defined.nvram.unwrap();
        assert_eq!(
            (nvram.format, nvram.template_format),
            (fm_libvirt::FileFormat::Qcow2, fm_libvirt::FileFormat::Qcow2),
            "{xml}"
        );
    };
    // Of a domain that is off, its files tell; it starts on what it was adopted with, its variables made anew.
    adopted(false);
    bed.a.ask(&["start", "--paused", "fedora"]);
    assert_eq!(bed.a.running_code("fedora"), digest);
    bed.a.ask(&["destroy", "fedora"]);
    libvirt("unadopt");
    assert_eq!(bed.a.ask(&["dumpxml", "--inactive", "fedora"]), before);

    // Of one that runs on qcow2, its memory.
    bed.a.ask(&["start", "--paused", "fedora"]);
    let offer = bed.a.json(&["offer", "fedora"]);
    assert_eq!(offer["code"]["sha256"], digest, "{offer}");
    assert_eq!(offer["code"]["format"], "qcow2", "{offer}");
    assert_eq!(offer["vars"]["format"], "qcow2", "{offer}");
    let captured = bed.a.json(&["capture", "fedora"]);
    assert_eq!(captured["guests"][0]["code"]["drift"], false, "{captured}");
    adopted(true);
    bed.a
        .must_migrate("fedora", &bed.b, &["--persistent", "--undefinesource"]);
    assert_eq!(bed.b.running_code("fedora"), digest);
    let offer = bed.b.json(&["offer", "fedora"]);
    assert_eq!(offer["code"]["format"], "raw", "{offer}");
    assert_eq!(offer["vars"]["format"], "qcow2", "{offer}");
    bed.b.wait_for_harvest(&digest);
    // QEMU writes the variables that arrived when the guest first runs.
    bed.b.ask(&["resume", "fedora"]);
    bed.b.ask(&["destroy", "fedora"]);
    bed.b.ask(&["start", "--paused", "fedora"]);
    assert_eq!(bed.b.running_code("fedora"), digest, "cold boot");
}

/// No guest starts from them, so that only files can say what they are.
fn refused_as_raw(host: &Host) {
    convert(host, "bookworm/OVMF_VARS_4M.fd", "/var/lib/libvirt/VARS.qcow2");
    let packaged_code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    let qcow2_vars = "<nvram>/var/lib/libvirt/VARS.qcow2</nvram>";
    for (name, code, what) in [("code", CODE, "CODE"), ("vars", packaged_code, "VARS")] {
        let os =
            format!("    <loader readonly='yes' type='pflash' format='qcow2'>{code}</loader>{qcow2_vars}");
        host.define(&domain(name, &os, ""));
        let mut adopt = host.flashmoor();
        adopt.args(["libvirt", "adopt", name, "--connect", &host.uri()]);
        let refused = adopt.output().unwrap();
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("{what} in a file that is neither raw nor")),
            "{said}"
        );
    }
    assert!(host.builds().is_empty());
}
