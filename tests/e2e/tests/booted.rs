//! A guest that is restored instead of booted is one that has booted.

use std::fs;

use fm_e2e::Bench;
use fm_lab::{Arch, Guest, Machine};

const CODE: &str = "bookworm/OVMF_CODE.fd";

fn flash(guest: &Guest, unit: u32) -> Vec<u8> {
    let found = fm_host::find(&guest.pid().to_string()).unwrap();
    found.read_flash(unit).unwrap()
}

#[test]
fn a_restored_guest_has_its_flash_keeps_what_it_writes_over_a_reset_and_spoils_no_other() {
    let mut bench = Bench::new();
    let [first, second] = ["first.fd", "second.fd"].map(|name| bench.copy("bookworm/OVMF_VARS.fd", name));
    let machine = |vars| Machine::new(Arch::X86_64, &fm_fixtures::path(CODE), vars);
    let mut guest = bench.start_booted(&machine(&first));
    assert!(flash(&guest, 0) == fm_fixtures::bytes(CODE));
    assert!(flash(&guest, 1) != fm_fixtures::bytes("bookworm/OVMF_VARS.fd"));
    assert!(flash(&guest, 1) == fs::read(&first).unwrap());
    guest.shell("set flashmoor remembers").unwrap();
    assert!(flash(&guest, 1) == fs::read(&first).unwrap());
    guest.reset().unwrap();
    guest.boot_to_shell().unwrap();
    assert!(guest.shell("set flashmoor").unwrap().contains("remembers"));

    let mut other = bench.start_booted(&machine(&second));
    assert!(!other.shell("set flashmoor").unwrap().contains("remembers"));
}
