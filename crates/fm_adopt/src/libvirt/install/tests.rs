//! What is installed, and that it goes again without a trace of others' things.

use super::*;

fn request(root: &Path) -> Install<'_> {
    Install {
        root,
        program: Path::new("/usr/bin/flashmoor"),
        store: Path::new("/var/lib/flashmoor"),
        policy: Policy::Refuse,
        deadline_ms: 2000,
        libvirt: Some((9, 0)),
        dry_run: false,
    }
}

#[test]
fn what_is_installed_is_gone_after_uninstall_and_the_lines_of_others_stay() {
    let root = tempfile::tempdir().unwrap();
    let local = root.path().join("etc/apparmor.d/local/usr.sbin.virtqemud");
    let contexts = root.path().join("etc/selinux/flashmoor.cil");
    for folder in [local.parent(), contexts.parent()] {
        fs::create_dir_all(folder.unwrap()).unwrap();
    }
    fs::write(root.path().join("etc/apparmor.d/usr.sbin.virtqemud"), "profile\n").unwrap();
    fs::write(root.path().join("etc/selinux/config"), "SELINUX=enforcing\n").unwrap();
    fs::write(&local, "  /mine r,\n").unwrap();
    for _ in 0..2 {
        let done = install(&request(root.path())).unwrap();
        assert_eq!(done.files.len(), 4, "{:?}", done.files);
        let profiles = vec!["/etc/apparmor.d/usr.sbin.virtqemud".into()];
        assert!(
            done.next.contains(&NextStep::ReloadProfiles(profiles)),
            "{:?}",
            done.next
        );
    }
    assert!(
        fs::read_to_string(&contexts)
            .unwrap()
            .contains("(filecon \"/var/lib/flashmoor(/.*)?\" any (system_u object_r virt_content_t"),
    );
    let text = fs::read_to_string(&local).unwrap();
    assert!(
        text.starts_with("  /mine r,\n") && text.contains("/usr/bin/flashmoor PUx,"),
        "{text}"
    );
    assert_eq!(text.matches("begin of flashmoor").count(), 1, "{text}");
    assert_eq!(uninstall(root.path(), false).unwrap().files.len(), 4);
    assert!(!contexts.exists());
    assert_eq!(fs::read_to_string(&local).unwrap(), "  /mine r,\n");
    assert!(uninstall(root.path(), false).unwrap().files.is_empty());
}

#[test]
fn an_old_libvirt_gets_the_plain_hook_and_one_of_somebody_else_is_never_touched() {
    let root = tempfile::tempdir().unwrap();
    let old = Install {
        libvirt: Some((6, 4)),
        ..request(root.path())
    };
    install(&old).unwrap();
    let plain = root.path().join(PLAIN_HOOK);
    assert_eq!(fs::metadata(&plain).unwrap().permissions().mode() & 0o777, 0o755);
    fs::write(&plain, "#!/bin/sh\nexit 0\n").unwrap();
    let done = install(&old).unwrap();
    let is_call = |step: &NextStep| matches!(step, NextStep::AddHookLine { line, .. } | NextStep::RemoveHookLine { line, .. } if *line == CALL);
    assert!(is_call(&done.next[0]), "{:?}", done.next);
    assert!(
        done.files.iter().any(|file| file.ends_with(UNIT)),
        "{:?}",
        done.files
    );
    let theirs = format!("#!/bin/sh\n{CALL}\nexit 0\n");
    fs::write(&plain, &theirs).unwrap();
    assert!(!is_call(&install(&old).unwrap().next[0]), "it is there already");
    assert!(is_call(&uninstall(root.path(), false).unwrap().next[0]));
    assert_eq!(fs::read_to_string(&plain).unwrap(), theirs);
    assert!(!root.path().join(BESIDE_HOOK).exists());
}

#[test]
fn without_selinux_no_contexts_are_written_although_its_folder_is_there() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/selinux")).unwrap();
    fs::write(root.path().join("etc/selinux/semanage.conf"), "").unwrap();
    let done = install(&request(root.path())).unwrap();
    assert!(
        !done.files.iter().any(|file| file.ends_with(confine::SELINUX)),
        "{:?}",
        done.files
    );
    assert!(
        !done
            .next
            .iter()
            .any(|step| matches!(step, NextStep::LoadContexts { .. }))
    );
}

/// A program that ends as told, and what libvirt gets to see of it.
fn status_of(script_of: impl Fn(&str) -> String, body: &str, operation: &str) -> Option<i32> {
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("program");
    fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let text = script_of(&program.display().to_string());
    let status = std::process::Command::new("sh")
        .args(["-c", &text, "hook", "guest", operation, "begin", "-"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    status.unwrap().code()
}

#[test]
fn whatever_becomes_of_the_program_only_its_refusal_stops_a_guest() {
    let ended = ["exit 70", "exit 127", "kill -SEGV $$", "exit 1", "exit 2"];
    for operation in ["migrate", "prepare", "reconnect", "started", "release"] {
        for body in ended {
            let script = |program: &str| script(program, "/nowhere");
            assert_eq!(status_of(script, body, operation), Some(0), "{operation} {body}");
        }
        let stops = ["migrate", "prepare"].contains(&operation);
        let refused = status_of(|program| script(program, "/nowhere"), "exit 10", operation);
        assert_eq!(refused, Some(i32::from(stops)), "{operation}");
    }
}

#[test]
fn a_note_wakes_the_agent_without_the_program_and_a_guest_that_left_needs_it_where_one_could_arrive() {
    let root = tempfile::tempdir().unwrap();
    let store = fm_store::Store::open(root.path().join("store")).unwrap();
    let notes = crate::libvirt::wakeup(&store).unwrap();
    let ran = root.path().join("ran");
    let call = |operation: &str| {
        let script = |program: &str| script(program, &store.path().display().to_string());
        let body = format!("echo $2 >>{}", ran.display());
        assert_eq!(status_of(script, &body, operation), Some(0), "{operation}");
    };
    let long = std::time::Duration::from_secs(60);
    for operation in ["started", "stopped", "release", "reconnect", "new"] {
        call(operation);
        assert!(notes.wait(long), "{operation}");
        assert!(!ran.exists(), "{operation}");
    }
    for operation in ["start", "attach"] {
        call(operation);
        assert!(!notes.wait(std::time::Duration::ZERO), "{operation}");
    }
    for folder in [hook::ARRIVING, hook::BLANK_VARS, "landings"] {
        let made = store.path().join(folder).join("guest");
        fs::create_dir_all(&made).unwrap();
        call("started");
        assert!(!ran.exists());
        call("release");
        assert!(ran.exists(), "{folder}");
        fs::remove_file(&ran).unwrap();
        fs::remove_dir(&made).unwrap();
    }
    assert!(notes.wait(long), "notes of what was started before");
    fs::remove_file(store.path().join(wakeup::NOTES)).unwrap();
    call("started");
    assert!(
        !store.path().join(wakeup::NOTES).exists(),
        "it is the agent's to make"
    );
}

#[test]
fn the_line_in_somebody_elses_hook_passes_a_refusal_on_and_nothing_when_ours_is_gone() {
    let line = |program: &str| {
        format!(
            "{}\nexit 0\n",
            CALL.replace("/etc/libvirt/hooks/flashmoor", program)
        )
    };
    assert_eq!(status_of(line, "exit 1", "migrate"), Some(1));
    assert_eq!(status_of(line, "exit 0", "migrate"), Some(0));
    assert_eq!(
        status_of(|_| line("/nowhere/flashmoor"), "exit 0", "migrate"),
        Some(0)
    );
}

#[test]
fn a_hook_that_is_installed_again_is_as_old_as_before() {
    let root = tempfile::tempdir().unwrap();
    install(&request(root.path())).unwrap();
    let hook = root.path().join(FOLDER_HOOK);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(9999);
    fs::File::options()
        .write(true)
        .open(&hook)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let modified = || hook.metadata().unwrap().modified().unwrap();
    let before = modified();
    for policy in [Policy::Refuse, Policy::Pass] {
        let again = Install {
            policy,
            ..request(root.path())
        };
        install(&again).unwrap();
        assert_eq!(modified(), before, "{policy:?}");
    }
    assert!(fs::read_to_string(&hook).unwrap().contains("--policy pass"));
}

#[test]
fn a_path_that_the_shell_would_read_otherwise_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for path in ["/a b", "/a;b", "/$HOME", "/a'b"] {
        let odd = Install {
            store: Path::new(path),
            ..request(root.path())
        };
        assert!(matches!(install(&odd), Err(crate::Error::Usage(_))), "{path}");
    }
}

#[test]
fn the_unit_is_that_of_the_packages_with_its_own_program_and_store_and_none_where_a_package_has_one() {
    let text = unit("/opt/bin/flashmoor", "/srv/firmware");
    assert!(
        text.contains("\nExecStart=/opt/bin/flashmoor --store /srv/firmware agent\n"),
        "{text}"
    );
    assert!(text.contains("\nReadWritePaths=-/srv/firmware\n"), "{text}");
    assert!(
        !text.contains(PACKAGED_PROGRAM) && !text.contains(PACKAGED_STORE),
        "{text}"
    );
    let root = tempfile::tempdir().unwrap();
    let packaged = root.path().join(PACKAGED_UNITS[0]);
    fs::create_dir_all(packaged.parent().unwrap()).unwrap();
    fs::write(&packaged, "").unwrap();
    install(&request(root.path())).unwrap();
    assert!(!root.path().join(UNIT).exists());
    let other = Install {
        program: Path::new("/opt/bin/flashmoor"),
        ..request(root.path())
    };
    install(&other).unwrap();
    assert!(root.path().join(UNIT).exists());
}
