//! The recordings of the repository's atlas: they are whole, and no power cut in them costs a variable that we cannot find.

use std::fs;
use std::path::Path;

use fm_formats::Sha256;
use fm_varstore::VarStore;

use super::super::{Atlas, Group, Image, Seen, changes, read_all, stores};
use super::*;

fn power_cuts() -> Atlas {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../atlas");
    let mut all = read_all(&folder).expect("the atlas").into_iter();
    let atlas = all.find(|atlas| atlas.group == Group::PowerCut);
    atlas.expect("power cuts are recorded")
}

/// The file that a guest was recorded on, as it was before.
fn before(image: &Image) -> Vec<u8> {
    let mut file = fs::read(fm_fixtures::path(&image.name)).expect("a fixture");
    changes::apply(image.change.expect("a nearly full store"), &mut file);
    file
}

fn recorded_file(recording: &FlashRecording) -> Vec<u8> {
    before(recording.source.vars.as_ref().expect("VARS"))
}

#[test]
fn every_recording_gives_the_file_that_qemu_left() {
    for recording in power_cuts().recordings {
        let mut file = recorded_file(&recording);
        assert_eq!(Sha256::of(&file).to_string(), recording.before_sha256);
        let writes = FlashWrites::from_document(&recording.runs).expect("sound");
        writes.replay(&mut file, writes.count()).expect("inside");
        assert_eq!(Sha256::of(&file).to_string(), recording.after_sha256);
    }
}

#[test]
fn every_observation_is_of_the_moment_that_it_names() {
    let atlas = power_cuts();
    for observation in &atlas.observations {
        let side = &observation.source;
        let mut file = before(side.vars.as_ref().expect("VARS"));
        let recording = recorded(&atlas.recordings, side).expect("a recording");
        let count = leave(recording, side.power_cut.expect("a power cut"), &mut file).expect("a moment");
        let Seen::PowerCut {
            after_writes,
            held,
            recoverable,
            ..
        } = observation.seen
        else {
            panic!("{}: {:?}", observation.id, observation.seen);
        };
        let left = match side.power_cut {
            Some(PowerCut::BlockErased) => 0,
            _ => held,
        };
        assert_eq!((count, left), (after_writes, recoverable), "{}", observation.id);
    }
}

/// At the edges and in the middle of each run of writes, but where a build erases a block without a copy of it, all of the store's own variables are found, each with the value that
/// it had before, or the new one that replaces it.
#[test]
fn no_power_cut_costs_a_variable_of_which_there_is_a_copy() {
    for recording in power_cuts().recordings {
        let mut file = recorded_file(&recording);
        let writes = FlashWrites::from_document(&recording.runs).expect("sound");
        let code = recording.source.code.as_ref().map(|code| code.name.clone());
        let mut moments: Vec<u64> = writes
            .runs()
            .flat_map(|(before, run)| {
                let count = run.count();
                [before, before + 1, before + count / 2, before + count - 1]
            })
            .collect();
        moments.push(writes.count());
        moments.sort_unstable();
        moments.dedup();
        let layout = VarStore::parse(&file)
            .expect("a store")
            .layout()
            .expect("a known one");
        let rewrites: Vec<_> = rewrites(&writes, layout).collect();
        moments.retain(|moment| {
            rewrites
                .iter()
                .all(|rewrite| *moment <= rewrite.start || *moment >= rewrite.end)
        });
        let mut done = 0;
        for moment in moments {
            writes.replay_between(&mut file, done, moment).expect("inside");
            done = moment;
            let store = VarStore::parse(&file).expect("a store");
            for index in 0..stores::COUNT {
                let name = stores::name(index).parse().expect("a name");
                let found = store.variable(stores::GUID, &name);
                let data = found.map(|entry| entry.data);
                let byte = u8::try_from(index).expect("few");
                let is_old = data == Some(&[byte; 256]);
                let is_new = index + 1 == stores::COUNT && data.is_some_and(|data| data.starts_with(b"FM"));
                assert!(
                    is_old || is_new,
                    "{code:?}: {name} after {moment} writes: {data:?}"
                );
            }
        }
    }
}
