//! A guest that writes variables all the time, read a thousand times: every reading is a state it wrote.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fm_e2e::booted::booted;
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_lab::{Arch, Machine};
use fm_varstore::VarStore;

const MINE: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";
const READINGS: u32 = 1000;
const STATES: u32 = 12;

/// The number that `setvar` was told in hexadecimal, four times over.
fn number(bytes: &[u8]) -> Option<u32> {
    let store = VarStore::parse(bytes).unwrap();
    let name = Name::from_units("Mine".encode_utf16());
    let data = store.variable(Guid::literal(MINE), &name)?.data;
    let (words, rest) = data.as_chunks::<2>();
    assert!(rest.is_empty() && words == [words[0]; 4], "torn: {data:02x?}");
    Some(u32::from(u16::from_be_bytes(words[0])))
}

/// Ends the writer however the reader ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_one_of_a_thousand_readings_is_a_state_that_the_guest_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("VARS.fd");
    std::fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &vars).unwrap();
    let machine = Machine::new(
        Arch::X86_64,
        &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
        &vars,
    );
    let mut guest = booted(&machine, &dir.path().join("run"));
    let found = fm_host::find(&guest.pid().to_string()).unwrap();
    let memory = found.memory().unwrap();
    let region = found.flash_region(&memory, 1).unwrap();

    let (asked, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = asked.load(Ordering::SeqCst) + 1;
                asked.store(next, Ordering::SeqCst);
                let digits = format!("{next:04x}").repeat(4);
                guest
                    .shell(&format!("setvar Mine -guid {MINE} -bs -rt -nv ={digits}"))
                    .unwrap();
            }
        });
        let _stop = StopOnDrop(&stop);
        let deadline = Instant::now() + Duration::from_secs(300);
        let mut readings = 0;
        let mut last = 0;
        while readings < READINGS || seen.len() < STATES as usize {
            assert!(
                Instant::now() < deadline,
                "{readings} readings, {} states",
                seen.len()
            );
            let bytes = found.read_region(&memory, 1, region, u64::MAX).unwrap();
            let most = asked.load(Ordering::SeqCst);
            readings += 1;
            if let Some(number) = number(&bytes) {
                assert!(number >= last && number <= most, "{last} then {number} of {most}");
                if number != last {
                    seen.push(number);
                }
                last = number;
            } else {
                assert_eq!(last, 0, "the variable vanished");
            }
        }
    });
    assert_eq!(guest.status().unwrap(), "running");
}
