//! The hook's answers, one moment after the other, on a store of its own.

use std::path::PathBuf;

use fm_formats::Sha256;
use fm_store::Import;

use super::*;

const CODE: &[u8] = &[7; 4096];

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn xml(&self, loader: &Path, adopted: bool) -> String {
        let metadata = format!(
            "<metadata><f:firmware xmlns:f='{}' build='sha256:{}' code-bytes='4096'/></metadata>",
            fm_libvirt::METADATA_URI,
            Sha256::of(CODE)
        );
        format!(
            "<domain><name>web</name><uuid>u1</uuid>{}<os><loader type='pflash'>{}</loader></os></domain>",
            if adopted { metadata.as_str() } else { "" },
            loader.display()
        )
    }

    fn ask(&self, operation: &str, xml: &str) -> Answer {
        self.ask_with(operation, xml, Policy::Refuse)
    }

    fn ask_with(&self, operation: &str, xml: &str, policy: Policy) -> Answer {
        let suboperation = if operation == "release" { "end" } else { "begin" };
        let call = Call {
            operation,
            suboperation,
            xml,
            policy,
        };
        answer(&self.store(), &call)
    }
}

fn loader(answer: &Answer) -> PathBuf {
    let Answer::Replace(xml) = answer else {
        panic!("{answer:?}");
    };
    Domain::parse(xml).unwrap().flash().unwrap().clone()
}

#[test]
fn a_guest_whose_build_is_at_its_path_needs_nothing() {
    let host = Host::new();
    fs::write(host.path("CODE.fd"), CODE).unwrap();
    let xml = host.xml(&host.path("CODE.fd"), true);
    assert_eq!(host.ask("migrate", &xml), Answer::Pass);
    assert_eq!(host.ask("restore", &xml), Answer::Pass);
    assert!(!host.store().exists(), "nothing is made for nothing");
}

#[test]
fn a_file_of_the_right_size_with_other_bytes_is_not_its_build() {
    let host = Host::new();
    fs::write(host.path("CODE.fd"), [8; 4096]).unwrap();
    let landing = loader(&host.ask("migrate", &host.xml(&host.path("CODE.fd"), true)));
    assert_eq!(fs::read(landing).unwrap(), [0; 4096]);
}

#[test]
fn a_stored_build_is_given_by_its_path_and_never_if_its_bytes_are_others() {
    let host = Host::new();
    let store = Store::open(host.store()).unwrap();
    let import = Import {
        code: CODE,
        ..Import::default()
    };
    let path = store.import(&import).unwrap().path;
    let xml = host.xml(Path::new("/nowhere"), true);
    assert_eq!(loader(&host.ask("migrate", &xml)), path);
    let mut mode = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
    fs::set_permissions(&path, mode).unwrap();
    fs::write(&path, [9; 4096]).unwrap();
    assert!(matches!(host.ask("migrate", &xml), Answer::Refuse(_)));
}

#[test]
fn an_announced_guest_starts_on_its_placeholder_once_and_a_cold_boot_on_it_is_refused() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere"), true)));
    let arrived = host.xml(&landing, true);
    assert_eq!(host.ask("prepare", &arrived), Answer::Pass);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Refuse(why) if why.contains("store import")));
    assert!(matches!(
        host.ask_with("prepare", &arrived, Policy::Pass),
        Answer::Remark(_)
    ));
    // Once somebody has brought the build, it starts.
    let store = Store::open(host.store()).unwrap();
    let import = Import {
        code: CODE,
        ..Import::default()
    };
    store.import(&import).unwrap();
    assert_eq!(host.ask("prepare", &arrived), Answer::Pass);
    assert_eq!(fs::read(&landing).unwrap(), CODE);
}

#[test]
fn a_guest_that_never_came_leaves_no_landing() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere"), true)));
    assert_eq!(host.ask("release", &host.xml(&landing, true)), Answer::Pass);
    assert!(!landing.exists());
    assert!(Store::open(host.store()).unwrap().landings().unwrap().is_empty());
}

#[test]
fn a_missing_build_is_put_back_from_where_it_came_or_the_start_is_refused() {
    let host = Host::new();
    let store = Store::open(host.store()).unwrap();
    let import = Import {
        code: CODE,
        ..Import::default()
    };
    let path = store.import(&import).unwrap().path;
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        host.ask("prepare", &host.xml(&path, true)),
        Answer::Refuse(_)
    ));
    fs::write(host.path("old.fd"), CODE).unwrap();
    let before = format!(
        "code-bytes='4096'><f:before path='{}'/></f:firmware>",
        host.path("old.fd").display()
    );
    let xml = host.xml(&path, true).replace("code-bytes='4096'/>", &before);
    assert_eq!(host.ask("prepare", &xml), Answer::Pass);
    assert_eq!(fs::read(&path).unwrap(), CODE);
}

#[test]
fn what_is_not_ours_passes_and_what_would_fail_anyway_says_why() {
    let host = Host::new();
    fs::write(host.path("CODE.fd"), [1; 4096]).unwrap();
    assert_eq!(
        host.ask("migrate", &host.xml(&host.path("CODE.fd"), false)),
        Answer::Pass
    );
    let refused = host.ask("migrate", &host.xml(Path::new("/nowhere"), false));
    assert!(matches!(refused, Answer::Refuse(why) if why.contains("flashmoor libvirt adopt web")));
    let qcow2 = host
        .xml(Path::new("/nowhere"), true)
        .replace("type='pflash'", "type='pflash' format='qcow2'");
    assert_eq!(host.ask("migrate", &qcow2), Answer::Pass);
    let rom = host
        .xml(Path::new("/nowhere"), true)
        .replace("type='pflash'", "type='rom'");
    assert_eq!(host.ask("migrate", &rom), Answer::Pass);
    for garbage in ["", "<domain", "<network/>", "<domain><os><loader/></os></domain>"] {
        for operation in [
            "migrate",
            "restore",
            "prepare",
            "started",
            "stopped",
            "release",
            "reconnect",
            "new",
        ] {
            assert!(
                matches!(host.ask(operation, garbage), Answer::Pass | Answer::Remark(_)),
                "{operation} {garbage}"
            );
        }
    }
}
