//! Any text as the documents that others hand us: firmware descriptors and offers. Each is read or refused, what is read
//! is judged, and nothing that is told of it steers a terminal.

#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use fm_host::descriptor::Descriptor;
use fm_images::descriptors;
use fm_remedy::{Foreign, one_line, steers};
use fm_transfer::offer;
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
        let path = folder.join(format!("flashmoor-fuzz-document-{}.json", std::process::id()));
        (File::create(&path).expect("a file"), path)
    })
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let shown = Foreign(text).line();
        assert!(!shown.chars().any(steers));
        assert!(!Foreign(text).markup().contains(['<', '>', '"', '\'']));
        let label = Foreign(text).label();
        assert!(!label.chars().any(steers) && !label.replace("\\\\", "").replace("\\\"", "").contains('"'));
        if let Ok(descriptor) = Descriptor::parse(text) {
            assert!(descriptor.files().len() <= 2);
        }
    }
    let (file, path) = (&file().0, &file().1);
    file.set_len(0).expect("it is ours");
    file.write_all_at(data, 0).expect("it is small");
    if let Err(error) = offer::read(path) {
        assert!(!one_line(&error).chars().any(steers));
    }
    let _ = descriptors::lint(std::slice::from_ref(path));
});
