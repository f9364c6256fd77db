//! Any bytes as a qcow2 image: its snapshots are found by seeking, and their memory is read as a stream, without a byte
//! that is not in the file.

#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use fm_stream::qcow2::Image;
use libfuzzer_sys::fuzz_target;

/// One file for all runs, in memory where the system has a place for that.
fn file() -> &'static (File, PathBuf) {
    static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = PathBuf::from("/dev/shm");
        let folder = if folder.is_dir() {
            folder
        } else {
            std::env::temp_dir()
        };
        let path = folder.join(format!("flashmoor-fuzz-qcow2-{}", std::process::id()));
        (File::create(&path).expect("a file"), path)
    })
}

fuzz_target!(|data: &[u8]| {
    let mut image = b"QFI\xfb".to_vec();
    image.extend_from_slice(data);
    if let Ok(parsed) = Image::parse(&image) {
        let at = usize::try_from(parsed.snapshots_offset).unwrap_or(usize::MAX);
        let snapshots = parsed
            .snapshots(image.get(at..).unwrap_or_default())
            .unwrap_or_default();
        assert!(snapshots.len() <= image.len(), "more snapshots than bytes");
        for snapshot in snapshots {
            for position in [0, 1, parsed.size_bytes, snapshot.vm_state_bytes, u64::MAX] {
                let _ = parsed.l1_entry_offset(&snapshot, position);
                let _ = parsed.l2_entry_offset(snapshot.l1_offset, position);
                let _ = parsed.place(snapshot.l1_offset, position);
            }
        }
    }
    let (file, path) = (&file().0, &file().1);
    file.set_len(0).expect("it is ours");
    file.write_all_at(&image, 0).expect("it is small");
    let request = fm_saved::stream::Request {
        path: path.clone(),
        ..Default::default()
    };
    let _ = fm_saved::vars(&request);
});
