//! Firmware follows guests that libvirt moves, with nothing copied by hand.

use fm_e2e::bed::{Bed, packaged};
use fm_e2e::{digest, document, stderr};

#[test]
fn a_2m_guest_moves_to_a_host_without_its_build_boots_there_and_comes_back_after_the_upgrade() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("two", ""));
    bed.a.ask(&["start", "two"]);
    let mut serial = bed.a.booted_serial("two");
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
    bed.b.boot_to_shell("two", &mut serial);
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
    let mut serial = bed.b.booted_serial("two");
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

#[test]
fn a_4m_guest_keeps_its_own_build_on_a_host_that_has_another_one() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("four", "_4M"));
    let before = bed.a.ask(&["dumpxml", "--inactive", "four"]);
    bed.a.ask(&["start", "--paused", "four"]);
    bed.a.adopt("four");

    let build = digest("bookworm/OVMF_CODE_4M.fd");
    assert_ne!(build, digest("trixie/OVMF_CODE_4M.fd"));
    bed.a
        .must_migrate("four", &bed.b, &["--persistent", "--undefinesource"]);
    assert_eq!(bed.b.running_code("four"), build);
    bed.b.wait_for_harvest(&build);
    let seen = bed
        .b
        .flashmoor()
        .args(["ps", "--fail-on-drift"])
        .output()
        .unwrap();
    assert!(seen.status.success(), "a cold boot would give it another build");

    bed.b.ask(&["destroy", "four"]);
    bed.b.ask(&["start", "--paused", "four"]);
    assert_eq!(bed.b.running_code("four"), build, "the cold boot got B's build");

    let mut unadopt = bed.b.flashmoor();
    unadopt.args(["--json", "libvirt", "unadopt", "four", "--connect", &bed.b.uri()]);
    let _ = document(&unadopt.output().unwrap());
    assert_eq!(bed.b.ask(&["dumpxml", "--inactive", "four"]), before);
}

#[test]
fn a_guest_saved_in_each_of_libvirts_forms_goes_on_where_it_was_after_the_upgrade() {
    let bed = Bed::new();
    let build = digest("bookworm/OVMF_CODE.fd");
    let image = |name: &str| bed.a.store().with_file_name(name).display().to_string();
    let names = ["raw", "gzip"];
    for name in names {
        bed.a.save_images_as(name);
        bed.a.define(&packaged(name, ""));
        bed.a.ask(&["start", name]);
        let mut serial = bed.a.booted_serial(name);
        serial.shell("set flashmoor remembers").unwrap();
        bed.a.ask(&["save", name, &image(name)]);
        let nvram = format!("/var/lib/libvirt/qemu/nvram/{name}_VARS.fd");
        std::fs::remove_file(bed.a.path(&nvram)).unwrap();
    }
    bed.a.install_package("trixie");

    for name in names {
        let refused = bed.a.virsh(&["restore", &image(name)]);
        assert!(!refused.status.success(), "{name}: its firmware is gone");
        let mut adopt = bed.a.flashmoor();
        adopt.args(["--json", "saved", "adopt", &image(name)]);
        assert_eq!(document(&adopt.output().unwrap())["changed"], true);
        bed.a.ask(&["restore", &image(name)]);
        assert_eq!(bed.a.running_code(name), build);
        let mut serial = bed.a.serial(name);
        assert!(
            serial.shell("set flashmoor").unwrap().contains("remembers"),
            "{name}"
        );
        bed.a.ask(&["reset", name]);
        bed.a.boot_to_shell(name, &mut serial);
        let after = serial.shell("set flashmoor").unwrap();
        assert!(after.contains("remembers"), "{name}: warm reset");
        bed.a.ask(&["destroy", name]);
    }
}

#[test]
fn guests_saved_before_an_upgrade_restore_after_it_and_on_another_host() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    let build = digest("bookworm/OVMF_CODE.fd");
    let image = |name: &str| bed.a.store().with_file_name(name).display().to_string();
    for name in ["kept", "moved", "loose"] {
        bed.a.define(&packaged(name, ""));
        bed.a.ask(&["start", "--paused", name]);
        if name != "loose" {
            bed.a.adopt(name);
        }
        bed.a.ask(&["save", name, &image(name)]);
    }
    bed.a.install_package("trixie");

    bed.a.ask(&["restore", "--paused", &image("kept")]);
    assert_eq!(bed.a.running_code("kept"), build);
    // B never saw the guest or its build: both come out of the image.
    bed.b.ask(&["restore", "--paused", &image("moved")]);
    assert_eq!(bed.b.running_code("moved"), build);
    bed.b.wait_for_harvest(&build);

    let refused = bed.a.virsh(&["restore", &image("loose")]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("flashmoor saved adopt"),
        "{}",
        stderr(&refused)
    );
    let mut adopt = bed.a.flashmoor();
    let _ = document(
        &adopt
            .args(["--json", "saved", "adopt", &image("loose")])
            .output()
            .unwrap(),
    );
    bed.a.ask(&["restore", "--paused", &image("loose")]);
    assert_eq!(bed.a.running_code("loose"), build);
}

/// `<source file=…/>` is how libvirt from 8.5 on names NVRAM that may lie elsewhere than in a file.
#[test]
fn saved_guests_whose_variables_are_a_source_restore_without_their_files_here_and_elsewhere() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    bed.b.install_flashmoor(true);
    let build = digest("bookworm/OVMF_CODE.fd");
    let image = |name: &str| bed.a.store().with_file_name(name).display().to_string();
    let nvram = |name: &str| format!("/var/lib/libvirt/qemu/nvram/{name}_VARS.fd");
    for name in ["loose", "adopted"] {
        let plain = format!(">{}</nvram>", nvram(name));
        let sourced = format!(" type='file'><source file='{}'/></nvram>", nvram(name));
        let xml = packaged(name, "");
        assert!(xml.contains(&plain), "{xml}");
        bed.a.define(&xml.replace(&plain, &sourced));
        bed.a.ask(&["start", "--paused", name]);
        if name == "adopted" {
            bed.a.adopt(name);
        }
        bed.a.ask(&["save", name, &image(name)]);
        std::fs::remove_file(bed.a.path(&nvram(name))).unwrap();
    }
    bed.a.install_package("trixie");

    let refused = bed.a.virsh(&["restore", &image("loose")]);
    assert!(!refused.status.success(), "its firmware is gone");
    let mut adopt = bed.a.flashmoor();
    adopt.args(["--json", "saved", "adopt", &image("loose")]);
    let adopted = document(&adopt.output().unwrap());
    assert_eq!(adopted["changed"], true, "{adopted}");
    bed.a.ask(&["restore", "--paused", &image("loose")]);
    assert_eq!(bed.a.running_code("loose"), build);

    bed.b.ask(&["restore", "--paused", &image("adopted")]);
    assert_eq!(bed.b.running_code("adopted"), build);
    bed.b.wait_for_harvest(&build);
}
