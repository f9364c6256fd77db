//! Firmware follows guests that libvirt moves, with nothing copied by hand.

use fm_e2e::bed::{Bed, packaged};
use fm_formats::Sha256;

fn digest(fixture: &str) -> String {
    Sha256::of(&fm_fixtures::bytes(fixture)).to_string()
}

#[test]
fn a_2m_guest_moves_to_a_host_without_its_build_boots_there_and_comes_back_after_the_upgrade() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("two", ""));
    bed.a.ask(&["start", "two"]);
    let mut serial = bed.a.serial("two");
    serial.boot_to_shell().unwrap();
    serial.shell("set flashmoor remembers").unwrap();
    bed.a.adopt("two");

    let build = digest("bookworm/OVMF_CODE.fd");
    bed.a
        .must_migrate("two", &bed.b, &["--persistent", "--undefinesource"]);
    assert_eq!(bed.b.running_code("two"), build, "the guest runs A's bytes at B");
    bed.b.wait_for_harvest(&build);

    let mut serial = bed.b.serial("two");
    assert!(serial.shell("set flashmoor").unwrap().contains("remembers"));
    bed.b.ask(&["reset", "two"]);
    serial.boot_to_shell().unwrap();
    assert!(
        serial.shell("set flashmoor").unwrap().contains("remembers"),
        "warm reset"
    );
    serial.send("reset -s\r").unwrap();
    bed.b.wait_for_state("two", "shut off");
    bed.b.ask(&["start", "two"]);
    assert_eq!(
        bed.b.running_code("two"),
        build,
        "the cold boot is on the same build"
    );
    let mut serial = bed.b.serial("two");
    serial.boot_to_shell().unwrap();
    assert!(
        serial.shell("set flashmoor").unwrap().contains("remembers"),
        "cold boot"
    );

    bed.a.install_package("trixie");
    bed.b
        .must_migrate("two", &bed.a, &["--persistent", "--undefinesource"]);
    assert_eq!(bed.a.running_code("two"), build);
    let mut serial = bed.a.serial("two");
    serial.send("reset -s\r").unwrap();
    bed.a.wait_for_state("two", "shut off");
    bed.a.ask(&["start", "two"]);
    assert_eq!(
        bed.a.running_code("two"),
        build,
        "A's own package has no 2M build any more"
    );
}
