//! A domain without its variables gets new ones from its own template, and never from another domain's.

use std::fs;

use fm_e2e::bed::{Bed, Host, domain, packaged};
use fm_e2e::stderr;

const KEYS: &str = "bookworm/OVMF_VARS_4M.ms.fd";
const NONE: &str = "bookworm/OVMF_VARS_4M.fd";

/// A domain of the secure build, whose variables are made from that fixture.
fn secure(name: &str, template: &str) -> String {
    let (_, template) = template.split_once('/').unwrap();
    let os = format!(
        "    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>\
         <nvram template='/usr/share/OVMF/{template}'>/var/lib/libvirt/qemu/nvram/{name}_VARS.fd</nvram>"
    );
    domain(name, &os, "<smm state='on'/>")
}

fn variables(host: &Host, name: &str) -> std::path::PathBuf {
    host.path(&format!("/var/lib/libvirt/qemu/nvram/{name}_VARS.fd"))
}

#[test]
fn two_domains_of_one_build_keep_their_own_templates_in_whichever_order_they_are_adopted() {
    let bed = Bed::new();
    for (host, order) in [(&bed.a, ["keys", "none"]), (&bed.b, ["none", "keys"])] {
        host.install_flashmoor(false);
        host.install_package("bookworm");
        let template = |name: &str| if name == "keys" { KEYS } else { NONE };
        for name in order {
            host.define(&secure(name, template(name)));
            host.adopt(name);
        }
        for name in order {
            host.ask(&["start", "--paused", name]);
            host.ask(&["destroy", name]);
            let made = fs::read(variables(host, name)).unwrap();
            assert!(made == fm_fixtures::bytes(template(name)), "{name} of {order:?}");
        }
        // Adopted again, also after somebody else's package took the file away, it is still that one.
        fs::remove_file(host.path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")).unwrap();
        for name in order {
            host.adopt(name);
            fs::remove_file(variables(host, name)).unwrap();
            host.ask(&["start", "--paused", name]);
            let made = fs::read(variables(host, name)).unwrap();
            assert!(
                made == fm_fixtures::bytes(template(name)),
                "{name} of {order:?}, again"
            );
        }
    }
}

#[test]
fn a_guest_that_moved_and_lost_its_variables_does_not_start_with_secure_boot_off() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    bed.a.define(&secure("keys", KEYS));
    bed.a.define(&packaged("plain", "_4M"));
    for name in ["keys", "plain"] {
        bed.a.ask(&["start", "--paused", name]);
        bed.a.adopt(name);
        let build = bed.a.running_code(name);
        bed.a
            .must_migrate(name, &bed.b, &["--persistent", "--undefinesource"]);
        bed.b.wait_for_harvest(&build);
        // QEMU writes the variables that arrived when the guest first runs.
        bed.b.ask(&["resume", name]);
        bed.b.ask(&["destroy", name]);
        fs::remove_file(variables(&bed.b, name)).unwrap();
    }
    // Its template is an empty store, which every host can make.
    bed.b.ask(&["start", "--paused", "plain"]);
    assert!(fs::read(variables(&bed.b, "plain")).unwrap() == fm_fixtures::bytes(NONE));

    let refused = bed.b.virsh(&["start", "keys"]);
    let said = stderr(&refused);
    assert!(
        !refused.status.success() && said.contains("--vars-template"),
        "{said}"
    );
    let (code, keys) = (
        fm_fixtures::path("bookworm/OVMF_CODE_4M.secboot.fd"),
        fm_fixtures::path(KEYS),
    );
    let (code, keys) = (code.to_str().unwrap(), keys.to_str().unwrap());
    let _ = bed.b.json(&["store", "import", code, "--vars-template", keys]);
    bed.b.ask(&["start", "--paused", "keys"]);
    assert!(fs::read(variables(&bed.b, "keys")).unwrap() == fm_fixtures::bytes(KEYS));
}
