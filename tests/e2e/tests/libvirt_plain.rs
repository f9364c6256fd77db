//! What libvirt does without Flashmoor: the problem itself, on two real hosts.

use fm_e2e::bed::{Bed, packaged};
use fm_e2e::stderr;

#[test]
fn without_flashmoor_a_2m_guest_cannot_move_to_a_host_that_lacks_its_firmware() {
    let bed = Bed::new();
    bed.a.define(&packaged("plain", ""));
    bed.a.ask(&["start", "plain"]);
    let refused = bed.a.migrate("plain", &bed.b, &[]);
    assert!(!refused.status.success());
    assert_eq!(
        stderr(&refused).trim(),
        "error: Failed to open file '/usr/share/OVMF/OVMF_VARS.fd': No such file or directory"
    );
    assert_eq!(bed.a.ask(&["domstate", "plain"]).trim(), "running");
    assert_eq!(bed.b.ask(&["list", "--all", "--name"]).trim(), "");
}
