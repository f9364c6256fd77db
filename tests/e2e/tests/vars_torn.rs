//! Stores as a host's crash leaves them, and stores with hardly any room: what we read of them, the firmware
//! reads as well.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fm_api::v1::vars::{ActiveCopy, VarsList};
use fm_e2e::conversion::{Build, convert, in_guests_words};
use fm_e2e::speaker::{OWN, Said, Speaker};
use fm_variables as vars;
use fm_variables::{ConvertTarget, Selection, SetRequest, StoreTarget};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// How often a writing guest is looked at.
const MOMENTS: u64 = 60;
/// How many numbers it writes at most until one of the moments falls into a reclaim, of which there is one in about a
/// hundred. Counted in its own writes: how fast it writes is the machine's affair.
const MAX_NUMBERS: u32 = 2000;

fn set(path: &Path, name: &str, data: Vec<u8>) {
    vars::set(SetRequest {
        write: StoreTarget::file(path.to_owned()),
        which: Selection {
            name: name.into(),
            guid: Some(OWN),
        },
        attributes: Some(7),
        data,
    })
    .unwrap();
}

/// The number that `Number` is full of: a change of it is there or is not, and never in part.
fn number(list: &VarsList) -> u32 {
    let Some(found) = list.variables.iter().find(|variable| variable.name == "Number") else {
        return 0;
    };
    let word = &found.data[..8];
    assert_eq!(found.data, word.repeat(256), "torn");
    u32::from_str_radix(word, 16).unwrap().swap_bytes()
}

/// Lets a guest write without end, stops it at many moments, and looks at the file that a crash of the host
/// would have left at each; some of them are then converted and booted.
fn every_moment_is_sound(code: &str, template: &str) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let build = Build::new(code);
    let speaker = Speaker::new(&build.arch, dir);
    let store = dir.join("vars.fd");
    std::fs::write(&store, fm_fixtures::bytes(template)).unwrap();
    set(&store, "Write", vec![1]);
    let mut guest = build.start(&store, &speaker, &dir.join("run"));
    guest.serial.expect(&["\nW "]).unwrap();
    let settled = vars::list(&store, false).unwrap();
    let pid = Pid::from_raw(guest.pid().try_into().unwrap()).unwrap();

    let (mut last, mut kept, mut reclaims) = (0, BTreeMap::new(), 0);
    for moment in 0.. {
        if moment >= MOMENTS && reclaims > 0 || last > MAX_NUMBERS {
            break;
        }
        kill_process(pid, Signal::CONT).unwrap();
        // Not to be safe: the moments are to fall everywhere in a write and in a reclaim.
        std::thread::sleep(Duration::from_micros(moment * 997 % 30_000));
        // It stands still while its file is looked at, or a reclaim could pass meanwhile.
        kill_process(pid, Signal::STOP).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{code}, moment {moment}: QEMU has ended");
        let bytes = std::fs::read(&store).unwrap();
        let copy = dir.join("moment.fd");
        std::fs::write(&copy, &bytes).unwrap();
        let list = vars::list(&copy, true).unwrap();
        let losing = list.damage.iter().find(|damage| !damage.heals_itself);
        assert!(losing.is_none(), "{code}, moment {moment}: {losing:?}");
        let live = vars::list(&copy, false).unwrap();
        let now = number(&live);
        assert!(now >= last, "{code}, moment {moment}: {now} after {last}");
        last = now;
        for was in settled.variables.iter().filter(|was| was.name != "Number") {
            let is = live
                .variables
                .iter()
                .find(|is| (&is.guid, &is.name) == (&was.guid, &was.name));
            assert_eq!(
                is.map(|is| &is.data),
                Some(&was.data),
                "{code}, moment {moment}: {}",
                was.name
            );
        }
        // One of each kind of moment is enough to boot.
        let torn = list
            .variables
            .iter()
            .any(|entry| entry.state.name() == "header_only");
        let replaced = live
            .variables
            .iter()
            .any(|entry| entry.state.name() == "in_deleted_transition");
        let abandoned = list
            .damage
            .iter()
            .any(|damage| damage.kind.name() == "ftw_abandoned");
        // Of a reclaim the queue of fault-tolerant writes tells: begun, or whole in the spare.
        reclaims += u32::from(abandoned || list.truth == Some(ActiveCopy::Spare));
        kept.entry((list.truth, torn, replaced, abandoned))
            .or_insert((now, bytes));
    }
    guest.kill();
    assert!(last > 2, "the guest hardly wrote");
    assert!(
        reclaims > 0,
        "{code}: no moment fell into a reclaim while the guest wrote {last} numbers"
    );
    for (at, (kind, (was, bytes))) in kept.into_iter().enumerate() {
        let (torn, mended) = (dir.join("torn.fd"), dir.join(format!("mended-{at}.fd")));
        std::fs::write(&torn, bytes).unwrap();
        convert(&torn, ConvertTarget::ForCode(fm_fixtures::path(code)), &mended);
        // Without the wish to write, the guest only speaks.
        vars::delete(&vars::DeleteRequest {
            write: StoreTarget::file(mended.clone()),
            which: Selection {
                name: "Write".into(),
                guid: Some(OWN),
            },
        })
        .unwrap();
        let mut guest = build.start(&mended, &speaker, &dir.join(format!("run-{at}")));
        let said = Said::hear(&mut guest);
        let word = format!("{:08x}", was.swap_bytes()).repeat(256);
        let has = said.get(&OWN.to_string(), "Number");
        assert_eq!(has, (was > 0).then_some(word.as_str()), "{code}, {kind:?}");
        assert_eq!(
            said.get(&OWN.to_string(), "Starts"),
            Some("02"),
            "{code}, {kind:?}"
        );
    }
}

#[test]
fn a_crash_at_any_moment_of_a_write_or_reclaim_loses_nothing_in_a_2m_store() {
    every_moment_is_sound("bookworm/OVMF_CODE.fd", "bookworm/OVMF_VARS.fd");
}

#[test]
fn a_crash_at_any_moment_of_a_write_or_reclaim_loses_nothing_in_a_4m_store() {
    every_moment_is_sound("trixie/OVMF_CODE_4M.fd", "trixie/OVMF_VARS_4M.fd");
}

/// As many variables as the smaller layout holds arrive there, and its firmware finds them all.
#[test]
fn a_store_that_is_nearly_full_after_conversion_serves_its_firmware() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let build = Build::new("bookworm/OVMF_CODE.fd");
    let speaker = Speaker::new(&build.arch, dir);
    let (large, small) = (dir.join("large.fd"), dir.join("small.fd"));
    std::fs::write(&large, fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd")).unwrap();
    // With keys, Secure Boot is on, and the speaker has to be let in.
    vars::enroll(
        &StoreTarget::file(large.clone()),
        &vars::Enrolment {
            db: vec![speaker.hash().to_owned()],
            ..vars::Enrolment::default()
        },
    )
    .unwrap();
    let mut left = 57272 - vars::list(&large, false).unwrap().used_bytes.unwrap();
    // Firmware needs room for what it writes at each boot; it has 4 KiB.
    for at in 0.. {
        let len = left.saturating_sub(4096).min(4000);
        if len < 200 {
            break;
        }
        set(&large, &format!("Fill{at}"), vec![at as u8; len as usize - 100]);
        left = 57272 - vars::list(&large, false).unwrap().used_bytes.unwrap();
    }
    convert(
        &large,
        ConvertTarget::ForCode(fm_fixtures::path(&build.code)),
        &small,
    );
    let before = vars::list(&small, false).unwrap();
    assert!(before.free_bytes.unwrap() < 4400, "{:?}", before.free_bytes);
    let mut guest = build.start(&small, &speaker, &dir.join("run"));
    let said = Said::hear(&mut guest);
    assert_eq!(said.set_status, 0);
    for variable in before
        .variables
        .iter()
        .filter(|variable| variable.name.starts_with("Fill"))
    {
        let has = said.get(&variable.guid, &variable.name);
        assert_eq!(has, Some(variable.data.as_str()), "{}", variable.name);
    }
    let running = vars::list(Path::new(&guest.pid().to_string()), false).unwrap();
    assert_eq!(said.lasting(), in_guests_words(&running));
}
