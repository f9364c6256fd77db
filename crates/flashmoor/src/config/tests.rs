//! Files of settings: which wins, what is refused with its line, and whom root does not believe.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A folder below which root trusts what root wrote: the system's own for temporary files is sticky.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn written_to(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

fn usage(result: Result<Settings, Error>) -> String {
    match result {
        Err(Error::Usage(Misuse { message, .. })) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_users_file_wins_over_the_systems_key_by_key() {
    let folder = folder();
    let system = written_to(
        folder.path(),
        "system.toml",
        "store = \"/srv/a\"\n\n[agent]\nkeep-days = 90\ninterval = 1_0\n",
    );
    let user = written_to(folder.path(), "user.toml", "agent.keep-days = 7\n");
    let settings = Settings::of(&[(Layer::System, system.clone()), (Layer::User, user.clone())]).unwrap();
    let of = |key| {
        let setting = settings.get(key).unwrap();
        (setting.value.as_str(), setting.layer, setting.line)
    };
    assert_eq!(of("store"), ("/srv/a", Layer::System, 1));
    assert_eq!(of("agent.interval"), ("10", Layer::System, 5));
    assert_eq!(of("agent.keep-days"), ("7", Layer::User, 1));
    assert!(settings.get("libvirt.uri").is_none());
}

#[test]
fn what_is_unknown_or_of_another_kind_is_refused_with_its_line() {
    let folder = folder();
    for (text, line) in [
        ("store = \"/a\"\nstores = \"/b\"\n", 2),
        ("\n[agent]\nkeep-dayz = 1\n", 3),
        ("[agent]\n\nkeep-days = \"soon\"\n", 3),
        ("store = \"relative\"\n", 1),
        ("color = \"red\"\n", 1),
        ("color = [\"auto\"]\n", 1),
        ("agent.interval = 0\n", 1),
        ("store = \"/a\"\nstore = \"/b\"\n", 2),
        ("color = \n", 1),
        ("a = 1\n\n= 2\n", 3),
        ("[agent.deep]\nx = 1\n", 1),
    ] {
        let path = written_to(folder.path(), "one.toml", text);
        let said = usage(Settings::of(&[(Layer::System, path.clone())]));
        assert!(
            said.starts_with(&format!("{}:{line}: ", path.display())),
            "{text:?}: {said}"
        );
    }
}

#[test]
fn root_reads_no_file_that_another_may_write() {
    if !rustix::process::geteuid().is_root() {
        // Whoever is not root decides over himself alone, and reads what he can.
        return;
    }
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = written_to(folder.path(), "config.toml", "store = \"/srv/a\"\n");
    let as_user = || Settings::of(&[(Layer::User, path.clone())]).unwrap();
    assert_eq!(as_user().files[0].state, State::Read);
    let is_left_alone =
        || matches!(as_user().files[0].state, State::Untrusted(_)) && as_user().get("store").is_none();
    let mode = |of: &Path, mode| fs::set_permissions(of, fs::Permissions::from_mode(mode)).unwrap();
    let owner = |of: &Path, uid| {
        let uid = rustix::fs::Uid::from_raw(uid);
        rustix::fs::chown(of, Some(uid), None).unwrap();
    };
    for bits in [0o664, 0o646] {
        mode(&path, bits);
        assert!(is_left_alone(), "{bits:o}");
    }
    mode(&path, 0o644);
    owner(&path, 65534);
    assert!(is_left_alone());
    owner(&path, 0);
    mode(folder.path(), 0o777);
    assert!(is_left_alone(), "its folder is everybody's");
    mode(folder.path(), 0o755);
    owner(folder.path(), 65534);
    assert!(is_left_alone(), "its folder is somebody else's");
    // The same of this host's file is an error: it was meant for everybody.
    usage(Settings::of(&[(Layer::System, path.clone())]));
    owner(folder.path(), 0);
    // A link is followed to where the file really lies, and that is what has to be root's.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let target = written_to(&theirs, "config.toml", "store = \"/srv/b\"\n");
    owner(&theirs, 65534);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(is_left_alone());
}

#[test]
fn a_folder_or_a_pipe_in_the_files_place_does_not_hold_anybody_up() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    for path in [folder.path().to_owned(), pipe] {
        let settings = Settings::of(&[(Layer::User, path)]).unwrap();
        assert!(matches!(settings.files[0].state, State::Untrusted(_)));
    }
}

#[test]
fn one_file_can_be_named_in_place_of_both_or_none() {
    let env = |name: &str| (name == "HOME").then(|| OsString::from("/home/me"));
    let of = |named: Option<&str>| places(named.map(OsString::from), env);
    assert_eq!(
        of(None),
        [
            (Layer::System, PathBuf::from(SYSTEM_FILE)),
            (Layer::User, "/home/me/.config/flashmoor/config.toml".into()),
        ]
    );
    assert_eq!(of(Some("/x.toml")), [(Layer::Named, "/x.toml".into())]);
    assert_eq!(of(Some("")), []);
}
