//! `virsh migrate` of one guest, with the hook and without it in turn: prints both medians, in ms.
//!
//! `libvirt-migrate ROUNDS`. The two hosts are those of the tests. The daemon is restarted every time, because it
//! looks for hooks when it starts; the guest runs on meanwhile, and only `virsh` is measured.
#![allow(clippy::print_stdout)]

use std::fs;
use std::time::{Duration, Instant};

use fm_e2e::bed::{Bed, Host, packaged};

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(9, |rounds| rounds.parse().unwrap());
    let bed = Bed::new();
    for host in [&bed.a, &bed.b] {
        host.install_flashmoor(true);
    }
    bed.a.define(&packaged("bench", "_4M").replace(">128<", ">1024<"));
    bed.a.ask(&["start", "bench"]);
    let _ = bed.a.booted_serial("bench");
    bed.a.adopt("bench");
    // There and back once: from then on both hosts have the build, which is how things are mostly.
    let build = bed.a.running_code("bench");
    there_and_back(&bed);
    bed.b.wait_for_harvest(&build);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..2 * rounds {
        let has_hook = round % 2 == 0;
        for host in [&bed.a, &bed.b] {
            set_hook(host, has_hook);
        }
        let took = there_and_back(&bed);
        if has_hook { &mut with } else { &mut without }.extend(took);
    }
    println!("{:.1} {:.1}", median(with), median(without));
}

fn set_hook(host: &Host, is_there: bool) {
    let folder = host.root().join("etc/libvirt/hooks");
    let (on, off) = (folder.join("qemu.d/flashmoor"), folder.join("off"));
    let (from, to) = if is_there { (&off, &on) } else { (&on, &off) };
    if from.exists() {
        fs::rename(from, to).unwrap();
    }
    host.stop_libvirtd("-TERM");
    host.start_libvirtd();
}

fn there_and_back(bed: &Bed) -> [Duration; 2] {
    [(&bed.a, &bed.b), (&bed.b, &bed.a)].map(|(from, to)| {
        let began = Instant::now();
        from.must_migrate("bench", to, &["--persistent", "--undefinesource"]);
        began.elapsed()
    })
}

fn median(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1000.0
}
