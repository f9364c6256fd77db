//! A guest that writes variables all the time moves fifty times, each time to a host that lacks its firmware, while
//! the agents are killed.
//!
//! It stands still while it moves. QEMU does not send a page of flash again that the guest wrote after the page
//! was sent (`hw/block/pflash_cfi01.c` marks none dirty), so that with `--live` a variable that is written in
//! that moment is lost, whoever drives the migration; docs/libvirt.md says so, and what is promised with `--live` is held
//! beside it: what was written before.

use std::fs;
use std::time::{Duration, SystemTime};

use fm_e2e::bed::{Bed, Host, packaged, script_disk};
use fm_e2e::{document, stderr};
use fm_fixtures::Patience;
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_varstore::VarStore;

const MINE: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";
const MOVES: usize = 50;
/// Written once, before the first move.
const KEPT: u8 = 8;
/// From the beginning of a move until its landing is harvested takes less.
const LONGEST_MS: u64 = 1500;

/// Moments without a pattern; `FLASHMOOR_SEED` brings back those of a test that failed.
struct Moments(u64);

impl Moments {
    #[expect(clippy::print_stdout, reason = "shown when the test fails")]
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let given = std::env::var("FLASHMOOR_SEED").ok();
        let seed = given.map_or_else(|| now.as_nanos() as u64, |seed| seed.parse().unwrap());
        println!("FLASHMOOR_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> Duration {
        // xorshift64 (Marsaglia)
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % LONGEST_MS)
    }
}

/// What the guest's firmware runs: eight variables once, then one that counts, four times over so that a
/// torn one shows.
fn script() -> String {
    let mut script = String::from("@echo -off\r\n");
    for number in 0..KEPT {
        script += &format!("setvar Kept{number} -guid {MINE} -bs -rt -nv =0{number}\r\n");
    }
    script += "for %i run (1000 9999)\r\n";
    script += &format!("  setvar Count -guid {MINE} -bs -rt -nv =%i%i%i%i\r\n");
    script + "endfor\r\n"
}

/// The count in a guest's variables as they are at one instant; nothing before its first write.
fn count(bytes: &[u8]) -> Option<u32> {
    let store = VarStore::parse(bytes).unwrap();
    let data = |name: &str| {
        let name = Name::from_units(name.encode_utf16());
        Some(store.variable(Guid::literal(MINE), &name)?.data)
    };
    let count = data("Count")?;
    for number in 0..KEPT {
        assert_eq!(data(&format!("Kept{number}")), Some([number].as_slice()), "lost");
    }
    let digits: String = count.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, _) = digits.split_at(4);
    assert_eq!(digits, first.repeat(4), "torn");
    first.parse().ok()
}

fn variables(domain: &str) -> Vec<u8> {
    fm_host::find(domain).unwrap().read_flash(1).unwrap()
}

#[test]
fn fifty_moves_with_agents_killed_lose_and_tear_no_variable() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    bed.b.install_flashmoor(true);
    let disk = bed.a.store().with_file_name("script.img");
    fs::write(&disk, script_disk(&script())).unwrap();
    let drive = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
         <target dev='vda' bus='virtio'/><readonly/></disk></devices>",
        disk.display()
    );
    bed.a.define(&packaged("storm", "").replace("</devices>", &drive));
    bed.a.ask(&["start", "storm"]);
    bed.a.adopt("storm");
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while count(&variables("storm")).is_none() {
        patience.rest(|| bed.a.serial("storm").transcript());
    }

    let build = bed.a.running_code("storm");
    let (mut here, mut there): (&Host, &Host) = (&bed.a, &bed.b);
    let first = count(&variables("storm")).unwrap();
    let mut last = first;
    let mut moments = Moments::new();
    for number in 0..MOVES {
        // The firmware has to land and to be harvested every time.
        there.forget_firmware();
        std::thread::scope(|scope| {
            if number % 2 == 0 {
                let moment = moments.next();
                scope.spawn(move || {
                    std::thread::sleep(moment);
                    there.kill_agent();
                    there.start_agent();
                });
            }
            let uri = there.uri();
            let mut words = vec!["migrate", "--p2p", "--persistent", "--undefinesource"];
            words.extend(["--suspend", "storm", &uri, "tcp://127.0.0.1"]);
            let moved = here.virsh(&words);
            assert!(moved.status.success(), "move {number}: {}", stderr(&moved));
        });
        let left = fs::read(here.path("/var/lib/libvirt/qemu/nvram/storm_VARS.fd")).unwrap();
        let arrived = variables("storm");
        assert!(left == arrived, "move {number}: what arrived is not what left");
        let now = count(&arrived).unwrap();
        assert!(now >= last, "move {number}: the count fell from {last} to {now}");
        last = now;
        there.ask(&["resume", "storm"]);
        there.wait_for_harvest(&build);
        (here, there) = (there, here);
    }
    assert!(last > first, "the guest wrote nothing: {first} and {last}");

    for host in [here, there] {
        let verified = host
            .flashmoor()
            .args(["--json", "store", "verify"])
            .output()
            .unwrap();
        assert_eq!(document(&verified)["whole"], true);
    }
    // What was in memory is what the file holds, and what a cold boot reads.
    here.ask(&["suspend", "storm"]);
    let in_memory = variables("storm");
    here.ask(&["destroy", "storm"]);
    let file = here.path("/var/lib/libvirt/qemu/nvram/storm_VARS.fd");
    assert!(fs::read(file).unwrap() == in_memory);
}

#[test]
fn what_a_guest_wrote_before_it_moves_live_is_there_afterwards() {
    let bed = Bed::new();
    bed.a.install_flashmoor(true);
    bed.b.install_flashmoor(true);
    bed.a.define(&packaged("live", ""));
    bed.a.ask(&["start", "live"]);
    let mut serial = bed.a.booted_serial("live");
    bed.a.adopt("live");
    let build = bed.a.running_code("live");
    let (mut here, mut there): (&Host, &Host) = (&bed.a, &bed.b);
    for number in 10..20 {
        there.forget_firmware();
        for name in ["Count".to_owned(), format!("Kept{number}")] {
            serial
                .shell(&format!(
                    "setvar {name} -guid {MINE} -bs -rt -nv ={number}{number}"
                ))
                .unwrap();
        }
        let before = variables("live");
        here.must_migrate("live", there, &["--persistent", "--undefinesource"]);
        assert!(
            variables("live") == before,
            "move {number}: what arrived is not what was written"
        );
        there.wait_for_harvest(&build);
        // The guest itself finds them too.
        serial = there.serial("live");
        let said = serial
            .shell(&format!("setvar Kept{number} -guid {MINE}"))
            .unwrap();
        assert!(
            said.contains(&format!("{number} {number}")),
            "move {number}: {said}"
        );
        (here, there) = (there, here);
    }
    let store = variables("live");
    let store = VarStore::parse(&store).unwrap();
    for number in 10..20_u8 {
        let name = Name::from_units(format!("Kept{number}").encode_utf16());
        let digits = number / 10 * 16 + number % 10;
        let kept = store.variable(Guid::literal(MINE), &name);
        assert_eq!(
            kept.map(|kept| kept.data),
            Some([digits, digits].as_slice()),
            "{number}"
        );
    }
}
