//! A guest that writes variables and resets all the time is updated back and forth, in memory and on the way of its
//! migrations in turn: nothing is torn or lost.
//!
//! `make test` makes a few updates, `make soak` a thousand (`UPDATES`).

use fm_e2e::{Bench, digest, document, held};
use fm_lab::{Arch, Guest, Machine};

const BUILDS: [&str; 2] = ["bookworm/OVMF_CODE_4M.fd", "trixie/OVMF_CODE_4M.fd"];
/// How often it is updated in place before it resets: an odd number, so that it ends on the other build.
const IN_A_ROW: usize = 7;
const GUID: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";

fn set(guest: &mut Guest, name: &str, value: usize) {
    let value = (value as u32).swap_bytes();
    guest
        .shell(&format!("setvar {name} -guid {GUID} -bs -rt -nv ={value:08x}"))
        .unwrap();
}

fn is(guest: &mut Guest, name: &str, value: usize) -> bool {
    let [a, b, c, d] = (value as u32).to_le_bytes();
    let shown = guest.shell(&format!("setvar {name} -guid {GUID}")).unwrap();
    shown.contains(&format!("{a:02X} {b:02X} {c:02X} {d:02X}"))
}

#[test]
fn a_guest_that_writes_and_resets_all_the_time_keeps_everything_over_every_update() {
    let wanted: usize = std::env::var("UPDATES").map_or(8, |updates| updates.parse().unwrap());
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars.fd");
    let mut guest = bench.start_booted(&Machine::new(Arch::X86_64, &fm_fixtures::path(BUILDS[0]), &vars));
    let mut updates = 0;
    for round in 0.. {
        if updates >= wanted {
            break;
        }
        // QEMU translates what it runs from flash, so that the guest resets in another process than it was updated in.
        let in_place = if round % 2 == 0 { IN_A_ROW } else { 0 };
        set(&mut guest, "Before", round);
        let runs = BUILDS[updates % 2];
        for _ in 0..in_place {
            updates += 1;
            let mut command = bench.flashmoor();
            command
                .args(["--json", "update", &guest.pid().to_string(), "--monitor"])
                .arg(guest.qmp_socket())
                .args(["--never-suspends", "--has-booted", "--moves-before-reset", "--to"])
                .arg(fm_fixtures::path(BUILDS[updates % 2]));
            // What it runs is given back to it.
            let told = if BUILDS[updates % 2] == runs {
                "reverted"
            } else {
                "pending_reset"
            };
            assert_eq!(
                document(&command.output().unwrap())["state"],
                told,
                "update {updates}"
            );
            assert_eq!(held(&guest), digest(BUILDS[updates % 2]), "update {updates}");
            set(&mut guest, "Between", updates);
        }
        let code = bench.zeros("blank-code.fd", 3_653_632);
        let vars = bench.zeros(&format!("vars-{}.fd", round % 3), 540_672);
        let mut next = bench.start(&Machine::new(Arch::X86_64, &code, &vars).incoming());
        let mut command = bench.flashmoor();
        command
            .args(["--json", "migrate"])
            .arg(guest.qmp_socket())
            .arg(next.qmp_socket());
        if in_place == 0 {
            updates += 1;
            command
                .args(["--never-suspends", "--has-booted", "--update"])
                .arg(fm_fixtures::path(BUILDS[updates % 2]));
        }
        let _ = document(&command.output().unwrap());
        guest.quit().unwrap();
        let to = BUILDS[updates % 2];
        assert_eq!(held(&next), digest(to), "round {round}");
        set(&mut next, "After", round);
        next.reset().unwrap();
        next.boot_to_shell().unwrap();
        assert_eq!(held(&next), digest(to), "round {round}, after its reset");
        let between = updates - usize::from(in_place == 0);
        for (name, value) in [("Before", round), ("Between", between), ("After", round)] {
            assert!(is(&mut next, name, value), "round {round}: {name}");
        }
        guest = next;
    }
}
