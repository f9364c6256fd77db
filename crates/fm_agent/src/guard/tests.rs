//! What the first half of the guard leaves for the second, and for everybody else.

use super::*;
use fm_api::v1::capture::CapturedCode;

fn memory() -> Memory {
    Memory {
        version: 0,
        guests: vec![Remembered {
            start_ticks: Some(4711),
            captured: CapturedGuest {
                pid: 7,
                name: Some("web".into()),
                uuid: None,
                code: CapturedCode {
                    path: Some("/usr/share/OVMF/OVMF_CODE_4M.fd".into()),
                    size_bytes: 1,
                    running_sha256: "aa".into(),
                    file_sha256: None,
                    drift: None,
                },
                stored: "/store/CODE.fd".into(),
                new: true,
            },
        }],
    }
}

#[test]
fn what_is_remembered_before_there_is_a_store_does_not_keep_one_from_being_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    remember(&store, &mut memory()).unwrap();
    // A guard that was killed while it wrote leaves this as well.
    fs::write(folder.path().join(".guard.json.flashmoor-new-0"), "{").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.builds().unwrap().len(), 0);
    store
        .import(&fm_store::Import {
            code: b"code",
            ..fm_store::Import::default()
        })
        .unwrap();
    assert_eq!(recall(&store).unwrap().unwrap().guests.len(), 1);
}

#[test]
fn where_nobody_was_captured_nothing_is_written_and_no_folder_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    remember(&store, &mut Memory::default()).unwrap();
    assert!(!store.path().exists());
    assert!(recall(&store).unwrap().is_none());
    let store = Store::open(folder.path()).unwrap();
    remember(&store, &mut memory()).unwrap();
    remember(&store, &mut Memory::default()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_memory_without_a_version_is_read_and_a_later_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    remember(&store, &mut memory()).unwrap();
    let path = folder.path().join(MEMORY);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(json["version"], MEMORY_VERSION);
    json["version"] = (MEMORY_VERSION + 1).into();
    fs::write(&path, json.to_string()).unwrap();
    assert!(recall(&store).is_err());
    json.as_object_mut().unwrap().remove("version");
    json["guests"][0].as_object_mut().unwrap().remove("start_ticks");
    fs::write(&path, json.to_string()).unwrap();
    let old = recall(&store).unwrap().unwrap();
    assert_eq!(old.guests[0].start_ticks, None);
    assert_eq!(old.guests[0].captured.pid, 7);
}
