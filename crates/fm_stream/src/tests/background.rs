//! Background snapshots: devices are written last, and RAM has no last section.

use super::*;

#[test]
fn a_background_snapshot_ends_its_ram_without_a_last_section() {
    let stream = Build::new()
        .ram(&[("system.flash0", 0x2000)])
        .end_of_section()
        .part(2)
        .page("system.flash0", 0, 2)
        .zero(0x1000)
        .end_of_section()
        .described()
        .0;
    let read = read(&[&stream], false);
    read.result.unwrap();
    assert!(read.facts.background && read.facts.ram_complete);
    assert_eq!(read.facts.devices.len(), 2);
    assert_eq!(read.flash.unwrap()[..PAGE], [2; PAGE]);
}
