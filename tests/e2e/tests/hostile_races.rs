//! A disk that takes its time: whoever starts a guest while `vars` waits for it is either refused by QEMU, or keeps what the
//! guest writes.

use std::fs;
use std::path::Path;

use fm_e2e::hostile::{Delayed, changes, some};
use fm_e2e::moments::with;
use fm_e2e::{Bench, stderr};
use fm_lab::{Arch, Guest, Machine};
use fm_variables as vars;
use serde_json::json;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
/// Moments in a short run.
const MOMENTS: usize = 12;
/// Where nothing of the variables is: the last page of the spare area.
const MARKED: usize = 0x83000;
const MARK: u8 = 0x5a;

fn is_marked(path: &Path) -> bool {
    fs::read(path).unwrap()[MARKED..MARKED + 512] == [MARK; 512]
}

fn has_language(path: &Path) -> bool {
    let list = vars::list(path, false).unwrap();
    list.variables
        .iter()
        .any(|variable| variable.name == "Lang" && variable.data == "646500")
}

/// As a guest does that writes to its flash: through QEMU's own view of the file.
fn mark(guest: &mut Guest) {
    let line = format!("qemu-io pflash1 \"write -P {MARK:#x} {MARKED:#x} 512\"");
    let arguments = json!({ "command-line": line });
    let said = guest
        .monitor()
        .execute("human-monitor-command", Some(arguments))
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(!said.to_string().to_lowercase().contains("error"), "{said}");
}

#[test]
fn a_guest_that_starts_while_variables_are_written_is_refused_or_keeps_what_it_writes() {
    let bench = Bench::new();
    let fresh = |number: usize| {
        let folder = bench.path(&format!("moment-{number}"));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("vars.fd");
        fs::copy(fm_fixtures::path(VARS), &path).unwrap();
        let set = with(
            &folder,
            &["vars", "set", path.to_str().unwrap(), "Lang", "--text", "de"],
        );
        (folder, path, set)
    };
    let (_, path, set) = fresh(0);
    let (output, steps) = changes(&set);
    assert!(
        output.status.success() && has_language(&path),
        "{}",
        stderr(&output)
    );
    let syncs = steps.iter().filter(|(call, _)| call.contains("sync")).count();
    assert!(syncs > 1, "{steps:?}");
    let (mut refused, mut started) = (0, 0);
    for (number, step) in (1..).zip(some(&steps, MOMENTS)) {
        let (folder, path, set) = fresh(number);
        let waiting = Delayed::start(&set, &step, &folder.join("strace.log"));
        let machine = Machine {
            stopped: true,
            memory_mib: 64,
            ..Machine::new(Arch::X86_64, &fm_fixtures::path(CODE), &path)
        };
        let guest = match Guest::start(&machine, &folder.join("g")) {
            Ok(mut guest) => {
                mark(&mut guest);
                started += 1;
                Some(guest)
            }
            Err(error) => {
                assert!(error.to_string().contains("lock"), "{step:?}: {error}");
                refused += 1;
                None
            }
        };
        let output = waiting.finish();
        let code = output.status.code();
        let said = stderr(&output);
        assert!(matches!(code, Some(0 | 1)), "{step:?}: {code:?}: {said}");
        if let Some(guest) = guest {
            assert!(is_marked(&path), "{step:?}: what the guest wrote is gone: {said}");
            // It goes on to write to the file of that name, not to one that has none.
            let inode = |path: &str| {
                let status = fs::metadata(path).unwrap();
                std::os::unix::fs::MetadataExt::ino(&status)
            };
            let opened = fs::read_dir(format!("/proc/{}/fd", guest.pid()))
                .unwrap()
                .flatten();
            let mut opened = opened.filter_map(|entry| fs::metadata(entry.path()).ok());
            let own = inode(path.to_str().unwrap());
            assert!(
                opened.any(|status| std::os::unix::fs::MetadataExt::ino(&status) == own),
                "{step:?}: {said}"
            );
            guest.kill();
        } else {
            assert_eq!(code, Some(0), "{step:?}: {said}");
        }
        assert_eq!(has_language(&path), code == Some(0), "{step:?}: {said}");
    }
    assert!(refused > 0 && started > 0, "{refused} refused, {started} started");
}
