//! Any bytes as a file that commands are given: JSON of variables, of descriptors and of offers, saved images, flash. Each is
//! read or refused with a reason, and nothing is written.

#![no_main]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use fm_images::inspect::{Request, inspect};
use fm_images::{catalogue, descriptors};
use fm_transfer::offer;
use libfuzzer_sys::fuzz_target;
use {fm_check as check, fm_saved as saved, fm_variables as vars};

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
        let path = folder.join(format!("flashmoor-fuzz-{}.json", std::process::id()));
        (File::create(&path).expect("a file"), path)
    })
}

fuzz_target!(|data: &[u8]| {
    // `qemu-img` unpacks it, which is not ours to fuzz.
    if data.starts_with(b"QFI\xfb") {
        return;
    }
    let (mut file, path) = (&file().0, &file().1);
    file.set_len(0).expect("it is ours");
    file.write_all_at(data, 0).expect("it is small");
    file.flush().expect("it is small");
    let request = Request {
        path: path.clone(),
        ..Request::default()
    };
    if let Ok(document) = inspect(&request) {
        assert_eq!(document.size_bytes, data.len() as u64);
        let is_told = document.kind.name() != "not-firmware" || document.reason.is_some();
        assert!(is_told, "what is no firmware has a reason");
    }
    if let Ok(list) = vars::list(path, true) {
        assert!(list.variables.len() <= data.len());
    }
    let _ = vars::show(path, None);
    let _ = (check::code_file(path, None), check::vars_file(path));
    let _ = (offer::read(path), catalogue::list(path));
    let _ = descriptors::lint(std::slice::from_ref(path));
    let _ = saved::vars(&fm_saved::stream::Request {
        path: path.clone(),
        ..Default::default()
    });
    assert_eq!(
        std::fs::read(path).expect("it is there"),
        data,
        "reading changes nothing"
    );
});
