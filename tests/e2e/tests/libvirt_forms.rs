//! Guests of every form move as they would without us, or better.

use fm_e2e::bed::{Bed, domain, packaged};
use fm_e2e::{document, stderr};
use fm_formats::Sha256;

fn flash(code: &str, nvram: &str) -> String {
    format!("    <loader readonly='yes' type='pflash'>/usr/share/OVMF/{code}</loader>{nvram}")
}

#[test]
fn whatever_form_a_guest_has_it_moves_with_its_own_firmware_or_says_why_not() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    let digest = |fixture: &str| Sha256::of(&fm_fixtures::bytes(fixture)).to_string();
    let custom = "<nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/my own.vars</nvram>";
    let secure = "    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>\
        <nvram template='/usr/share/OVMF/OVMF_VARS_4M.ms.fd'>/var/lib/libvirt/qemu/nvram/secure.fd</nvram>";
    let stateless = flash("OVMF_CODE.fd", "").replace("type=", "stateless='yes' type=");
    let adopted = [
        (
            "custom",
            domain("custom", &flash("OVMF_CODE.fd", custom), ""),
            "bookworm/OVMF_CODE.fd",
        ),
        (
            "secure",
            domain("secure", secure, "<smm state='on'/>"),
            "bookworm/OVMF_CODE_4M.secboot.fd",
        ),
        (
            "stateless",
            domain("stateless", &stateless, ""),
            "bookworm/OVMF_CODE.fd",
        ),
        (
            "chosen",
            domain(
                "chosen",
                "<firmware><feature enabled='no' name='secure-boot'/></firmware>",
                "",
            )
            .replace("<os>", "<os firmware='efi'>"),
            "bookworm/OVMF_CODE_4M.fd",
        ),
    ];
    for (name, xml, fixture) in adopted {
        bed.a.define(&xml);
        let before = bed.a.ask(&["dumpxml", "--inactive", name]);
        bed.a.ask(&["start", "--paused", name]);
        assert_eq!(bed.a.running_code(name), digest(fixture), "{name}");
        let said = |verb: &str, more: &[&str]| {
            let mut command = bed.a.flashmoor();
            command.args(["--json", "libvirt", verb, name, "--connect", &bed.a.uri()]);
            document(&command.args(more).output().unwrap())
        };
        let definitions = || {
            let defined = bed.a.ask(&["dumpxml", "--inactive", name]);
            (defined, bed.a.ask(&["dumpxml", name]), bed.a.builds())
        };
        // A dry run says what is done then, and does nothing.
        let libvirt = |verb: &str| {
            let before = definitions();
            let mut dry = said(verb, &["--dry-run"]);
            assert_eq!(definitions(), before, "{name}: {verb}");
            let is_told = dry.as_object_mut().unwrap().remove("dry_run");
            assert_eq!(is_told, Some(true.into()), "{name}: {verb}");
            assert_eq!(dry, said(verb, &[]), "{name}: {verb}");
        };
        libvirt("adopt");
        libvirt("unadopt");
        assert_eq!(bed.a.ask(&["dumpxml", "--inactive", name]), before, "{name}");
        libvirt("adopt");
        bed.a
            .must_migrate(name, &bed.b, &["--persistent", "--undefinesource"]);
        assert_eq!(bed.b.running_code(name), digest(fixture), "{name}");
        bed.b.wait_for_harvest(&digest(fixture));
        // QEMU writes the variables that arrived when the guest first runs.
        bed.b.ask(&["resume", name]);
        bed.b.ask(&["destroy", name]);
        bed.b.ask(&["start", "--paused", name]);
        assert_eq!(bed.b.running_code(name), digest(fixture), "{name}: cold boot");
        bed.b.ask(&["destroy", name]);
    }

    // Not adopted: what works without us goes on working.
    bed.a.define(&packaged("same-size", "_4M"));
    bed.a.define(&domain(
        "rom",
        "    <loader type='rom'>/usr/share/seabios/bios-256k.bin</loader>",
        "",
    ));
    for name in ["same-size", "rom"] {
        bed.a.ask(&["start", "--paused", name]);
        bed.a.must_migrate(name, &bed.b, &[]);
    }
    assert_eq!(
        bed.b.running_code("same-size"),
        digest("bookworm/OVMF_CODE_4M.fd")
    );

    // And what fails without us fails with a line that says what to do.
    bed.a.define(&packaged("unknown", ""));
    bed.a.ask(&["start", "--paused", "unknown"]);
    let refused = bed.a.migrate("unknown", &bed.b, &[]);
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(
        said.contains("is not on this host") && said.contains("flashmoor libvirt adopt unknown"),
        "{said}"
    );
    assert_eq!(bed.a.ask(&["domstate", "unknown"]).trim(), "paused");
}

#[test]
fn an_offline_migration_is_refused_until_the_firmware_is_there_and_leaves_nothing_of_ours() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("offline", ""));
    bed.a.adopt("offline");
    let uri = bed.b.uri();
    let go = || {
        bed.a
            .virsh(&["migrate", "--offline", "--persistent", "--p2p", "offline", &uri])
    };
    let refused = go();
    let said = stderr(&refused);
    assert!(
        !refused.status.success() && said.contains("flashmoor store import"),
        "{said}"
    );
    assert_eq!(
        bed.b.json(&["store", "landings"])["landings"],
        serde_json::json!([])
    );
    assert_eq!(bed.b.ask(&["list", "--all", "--name"]).trim(), "");

    let code = fm_fixtures::path("bookworm/OVMF_CODE.fd");
    let _ = bed.b.json(&["store", "import", code.to_str().unwrap()]);
    let moved = go();
    assert!(moved.status.success(), "{}", stderr(&moved));
    let xml = bed.b.ask(&["dumpxml", "--inactive", "offline"]);
    assert!(!xml.contains("/landings/") && !xml.contains("blank-"), "{xml}");
    bed.b.ask(&["start", "--paused", "offline"]);
    let build = Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE.fd"));
    assert_eq!(bed.b.running_code("offline"), build.to_string());
}

#[test]
fn where_nothing_is_refused_an_offline_migration_brings_a_guest_that_does_not_boot_from_zeros() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(false);
    let hook = bed.b.root().join("etc/libvirt/hooks/qemu.d/flashmoor");
    let text = std::fs::read_to_string(&hook).unwrap();
    std::fs::write(&hook, text.replace("--policy refuse", "--policy pass")).unwrap();
    bed.a.define(&packaged("offline", ""));
    bed.a.adopt("offline");
    bed.a.ask(&[
        "migrate",
        "--offline",
        "--persistent",
        "--p2p",
        "offline",
        &bed.b.uri(),
    ]);
    assert_eq!(bed.b.waiting(), 0);
    let refused = bed.b.virsh(&["start", "offline"]);
    assert!(!refused.status.success(), "it boots from nothing");
    std::fs::write(&hook, text).unwrap();
    let said = stderr(&bed.b.virsh(&["start", "offline"]));
    assert!(said.contains("flashmoor store import"), "{said}");
}
