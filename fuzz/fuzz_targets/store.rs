//! Any bytes as the JSON that a store and an OCI layout are made of: index, manifest, a landing's record. The input is cut
//! at zeros into those three. Whatever they say, everything that reads a store ends, and what is collected is collected.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fm_formats::Sha256;
use fm_store::{Collect, Import, NewLanding, Store};
use libfuzzer_sys::fuzz_target;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A store that was made once, and the folder for copies of it.
fn scene() -> &'static (PathBuf, PathBuf) {
    static SCENE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    SCENE.get_or_init(|| {
        let folder = PathBuf::from("/dev/shm");
        let folder = if folder.is_dir() {
            folder
        } else {
            std::env::temp_dir()
        };
        let folder = folder.join(format!("flashmoor-fuzz-store-{}", std::process::id()));
        let store = Store::open(folder.join("store")).expect("a new one");
        let done = store.import(&Import {
            code: b"code",
            vars_template: Some(b"template"),
            pin: Some("mine"),
            ..Import::default()
        });
        done.expect("it is small");
        let landing = NewLanding {
            guest_name: Some("guest"),
            guest_uuid: None,
            code: Sha256::of(b"other"),
            size_bytes: 4096,
        };
        store.create_landing(&landing).expect("it is small");
        (folder.join("store"), folder.join("other"))
    })
}

fn put(root: &Path, index: &[u8], manifest: &[u8], landing: &[u8]) {
    let blob = root.join("blobs/sha256").join(Sha256::of(manifest).to_string());
    fs::write(blob, manifest).expect("it is small");
    fs::write(root.join("index.json"), index).expect("it is small");
    if root.join("landings/guest").is_dir() {
        fs::write(root.join("landings/guest/landing.json"), landing).expect("it is small");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let (manifest, landing) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let digest = Sha256::of(manifest);
    // An index of the input's own, or one that leads to its manifest.
    let index = parts.next().map_or_else(
        || {
            format!(
                r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"sha256:{digest}","size":{},
                    "annotations":{{"org.opencontainers.image.ref.name":"t"}}}}]}}"#,
                manifest.len()
            )
            .into_bytes()
        },
        <[u8]>::to_vec,
    );
    let (root, other) = scene();
    let before = fs::read(root.join("index.json")).expect("ours");
    let record = fs::read(root.join("landings/guest/landing.json")).expect("ours");
    put(root, &index, manifest, landing);
    let store = Store::open(root).expect("its mark is there");
    let _ = (
        store.builds(),
        store.readable_builds(),
        store.all_landings(),
        store.verify(),
    );
    let _ = (store.find("code"), store.find("0000"), store.landing("guest"));
    let collect = store.collect(&Collect {
        uses: &|| Ok(Vec::new()),
        dry_run: true,
        placeholder_age: Duration::from_secs(3600),
        settled_age: None,
        only: None,
    });
    assert!(collect.is_err() || root.join("landings/guest").is_dir());
    let here = Store::open(other).expect("a folder of its own");
    if let Ok(done) = here.import_layout(root, None) {
        assert_eq!(Sha256::of(&fs::read(&done.path).expect("it is stored")), done.id);
        assert!(here.verify().expect("ours").is_whole());
    }
    put(root, &before, manifest, &record);
    let _ = fs::remove_file(root.join("blobs/sha256").join(digest.to_string()));
    let _ = fs::remove_dir_all(other);
});
