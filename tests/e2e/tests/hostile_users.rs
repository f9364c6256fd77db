//! An unprivileged user of the host against root: processes that say what is not so, and folders whose owner swaps files
//! for links while root writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

use fm_e2e::hostile::{Running, Scene, as_nobody, as_user};
use fm_e2e::{document, stderr};
use fm_fixtures::{Patience, files};
use fm_formats::Sha256;

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(output)
}

#[test]
fn a_file_that_a_guests_user_may_not_read_is_in_no_digest_and_no_remark() {
    let scene = Scene::new();
    let drive = |path: &Path| format!("if=pflash,unit=0,format=raw,readonly=on,file={}", path.display());
    let vars = scene.theirs("VARS.fd");
    fs::write(&vars, "theirs").unwrap();
    let link = scene.theirs("CODE.fd");
    symlink(scene.secret(), &link).unwrap();
    let _named = scene.impostor(&["-name", "named", "-drive", &drive(&scene.secret())]);
    let _linked = scene.impostor(&["-name", "linked", "-drive", &drive(&link)]);
    let config = scene.secret();
    let _configured = scene.impostor(&["-name", "configured", "-readconfig", config.to_str().unwrap()]);
    // The place of a file may be held by whoever may not read it (`O_PATH`).
    let hold = "import os,sys; fd=os.open(sys.argv[1],os.O_PATH); os.set_inheritable(fd,True); os.execv(sys.argv[2],sys.argv[2:])";
    let drop_in = scene.theirs("qemu-system-x86_64");
    let mut command = as_nobody("python3");
    command.args(["-c", hold]).arg(scene.secret()).arg(&drop_in);
    command.args([
        "-c",
        "echo up; read word",
        "-name",
        "held",
        "-drive",
        &drive(&scene.secret()),
    ]);
    let held = Running::start(command);

    let metrics = scene.path("flashmoor.prom");
    let listed = scene.run(&["--json", "ps"]);
    let exported = scene
        .flashmoor()
        .args(["ps", "--long", "--prometheus"])
        .arg(&metrics)
        .output()
        .unwrap();
    let guests = document(&listed)["guests"].as_array().unwrap().clone();
    let own: Vec<_> = guests.iter().filter(|guest| guest["pid"] == held.pid()).collect();
    assert_eq!(own.len(), 1, "{guests:#?}");
    let texts = [
        said(&listed),
        said(&exported),
        fs::read_to_string(&metrics).unwrap(),
    ];
    for text in &texts {
        assert!(!text.contains(&Scene::secret_digest()), "{text}");
        assert!(!text.contains("root alone"), "{text}");
    }
    let stored = scene.run(&["capture", &held.pid().to_string()]);
    assert!(!stored.status.success());
    scene.is_kept("ps and capture");
}

#[test]
fn guests_of_one_user_fill_their_share_of_the_store_and_no_more() {
    let scene = Scene::new();
    // Not nobody, who has guests of other tests.
    let user = 20_000 + std::process::id() % 40_000;
    chown(scene.theirs(""), Some(user), Some(user)).unwrap();
    let base = fm_fixtures::bytes("bookworm/OVMF_CODE.fd");
    let guests: Vec<Running> = (0..6_u8)
        .map(|number| {
            let mut code = base.clone();
            // None is a build that guests of other tests run.
            *code.last_mut().unwrap() ^= number + 1;
            let path = scene.theirs(&format!("CODE-{number}.fd"));
            fs::write(&path, code).unwrap();
            let monitor = scene.theirs(&format!("qmp-{number}"));
            let mut command = as_user(user, "qemu-system-x86_64");
            command
                .args([
                    "-S",
                    "-machine",
                    "q35",
                    "-accel",
                    "tcg",
                    "-m",
                    "16",
                    "-nodefaults",
                    "-display",
                    "none",
                ])
                .args([
                    "-monitor",
                    "stdio",
                    "-qmp",
                    &format!("unix:{},server=on,wait=off", monitor.display()),
                ])
                .arg("-drive")
                .arg(format!(
                    "if=pflash,unit=0,format=raw,readonly=on,file={}",
                    path.display()
                ));
            Running::start(command)
        })
        .collect();
    let agent = scene
        .flashmoor()
        .args([
            "agent",
            "--once",
            "--connect",
            "qemu+unix:///system?socket=/nonexistent",
        ])
        .output()
        .unwrap();
    // What was not done is told by the status as well.
    assert_eq!(agent.status.code(), Some(1), "{}", stderr(&agent));
    let list = document(&scene.run(&["--json", "store", "list"]));
    let ours: Vec<String> = (0..6_u8)
        .map(|number| Sha256::of(&fs::read(scene.theirs(&format!("CODE-{number}.fd"))).unwrap()).to_string())
        .collect();
    let builds = list["builds"].as_array().unwrap();
    let stored = builds
        .iter()
        .filter(|build| ours.iter().any(|id| build["id"] == id.as_str()));
    assert_eq!(stored.count(), 4, "{}", said(&agent));
    assert!(said(&agent).contains(&user.to_string()), "{}", said(&agent));
    // Whoever means one of them still stores it by hand.
    let last = guests.last().unwrap().pid().to_string();
    for guest in &guests {
        assert!(
            scene.run(&["capture", &guest.pid().to_string()]).status.success(),
            "{last}"
        );
    }
}

/// Swaps `name` in nobody's folder between a file of his own and a link to root's, as fast as it can.
fn swapping(scene: &Scene, name: &str, own: &Path) -> Running {
    const SCRIPT: &str = r#"cd "$1" && while :; do cp "$4" .own; mv -fT .own "$2"; ln -sfn "$3" .link; mv -fT .link "$2"; done"#;
    let mut command = as_nobody("sh");
    command
        .args(["-c", SCRIPT, "sh"])
        .arg(scene.path("theirs"))
        .arg(name)
        .arg(scene.secret())
        .arg(own);
    Running::spawn(command)
}

#[test]
fn whoever_swaps_files_for_links_while_root_writes_gets_nothing_and_changes_nothing() {
    let scene = Scene::new();
    let vars = scene.path("template.fd");
    fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &vars).unwrap();
    fs::set_permissions(&vars, fs::Permissions::from_mode(0o644)).unwrap();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    assert!(
        scene
            .run(&["store".as_ref(), "import".as_ref(), code.as_os_str()])
            .status
            .success()
    );
    let build = Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd")).to_string();
    let target = scene.theirs("VARS.fd");
    let target = target.to_str().unwrap();
    let (vars, theirs) = (vars.to_str().unwrap(), scene.theirs(""));
    let verbs: [&[&str]; 7] = [
        &[
            "vars",
            "set",
            target,
            "Test",
            "--guid",
            "8be4df61-93ca-11d2-aa0d-00e098032b8c",
            "--text",
            "x",
        ],
        &["vars", "repair", target],
        &["vars", "restore", target],
        &["vars", "convert", vars, "--layout", "armvirt", "--output", target],
        &["ps", "--prometheus", target],
        &["store", "export", &build, theirs.to_str().unwrap()],
        &["inspect", "--svg", target, vars],
    ];
    let _swapping = swapping(&scene, "VARS.fd", Path::new(vars));
    for verb in verbs {
        for _ in 0..6 {
            let done = scene.run(verb);
            assert!(
                matches!(done.status.code(), Some(0..=11)),
                "{verb:?}: {}",
                said(&done)
            );
        }
        scene.is_kept(&format!("{verb:?}"));
    }
}

#[test]
fn links_planted_under_names_that_root_will_write_lead_nowhere() {
    let scene = Scene::new();
    let target = scene.theirs("VARS.fd");
    fs::copy(fm_fixtures::path("bookworm/OVMF_VARS_4M.fd"), &target).unwrap();
    scene.give(&target);
    for name in [
        "VARS.fd.flashmoor-backup-99991231T235959Z",
        ".VARS.fd.flashmoor-new",
        "CODE.fd",
        "descriptor.json",
        "flashmoor.prom",
        "index.json",
        "oci-layout",
    ] {
        symlink(scene.secret(), scene.theirs(name)).unwrap();
    }
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    assert!(
        scene
            .run(&["store".as_ref(), "import".as_ref(), code.as_os_str()])
            .status
            .success()
    );
    let build = Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd")).to_string();
    let (target, theirs) = (target.to_str().unwrap(), scene.theirs(""));
    let layout = format!("oci:{}", theirs.display());
    let (theirs, metrics) = (theirs.to_str().unwrap(), scene.theirs("flashmoor.prom"));
    for verb in [
        &["vars", "restore", target][..],
        &["vars", "repair", target],
        &["store", "export", &build, theirs],
        &["store", "export", &build, &layout],
        &["ps", "--prometheus", metrics.to_str().unwrap()],
    ] {
        let done = scene.run(verb);
        assert!(
            !matches!(done.status.code(), Some(70) | None),
            "{verb:?}: {}",
            said(&done)
        );
        scene.is_kept(&format!("{verb:?}"));
    }
}

#[test]
fn a_link_to_a_folder_of_roots_leads_no_verb_there() {
    let scene = Scene::new();
    let code = fm_fixtures::path("bookworm/OVMF_CODE_4M.fd");
    let code = code.to_str().unwrap();
    let template = fm_fixtures::path("bookworm/OVMF_VARS_4M.fd");
    let template = template.to_str().unwrap();
    assert!(scene.run(&["store", "import", code]).status.success());
    let build = Sha256::of(&fm_fixtures::bytes("bookworm/OVMF_CODE_4M.fd")).to_string();

    let roots = scene.path("roots");
    fs::create_dir_all(roots.join("sub")).unwrap();
    fs::copy(template, roots.join("VARS.fd")).unwrap();
    for (name, value) in [("Timeout", "0500"), ("Timeout", "0600")] {
        let vars = roots.join("VARS.fd");
        let vars = vars.to_str().unwrap();
        let set = scene.run(&["vars", "set", vars, name, "--guid", "global", "--hex", value]);
        assert!(set.status.success(), "{}", said(&set));
    }
    symlink(&roots, scene.theirs("led")).unwrap();
    symlink(roots.join("VARS.fd"), scene.theirs("VARS.fd")).unwrap();
    for link in ["led", "VARS.fd"] {
        lchown(scene.theirs(link), Some(65_534), Some(65_534)).unwrap();
    }
    let led = |name: &str| scene.theirs("led").join(name).to_str().unwrap().to_owned();
    let (vars, new) = (led("VARS.fd"), led("sub/new"));
    let (linked, folder, layout) = (scene.theirs("VARS.fd"), led("sub"), format!("oci:{}", led("sub")));
    let linked = linked.to_str().unwrap();
    let set = ["Timeout", "--guid", "global", "--hex", "0700"];
    let before = files(&roots);
    for verb in [
        &[&["vars", "set", &vars][..], &set].concat()[..],
        &[&["vars", "set", linked][..], &set].concat(),
        &["vars", "delete", &vars, "Timeout", "--guid", "global"],
        &["vars", "repair", &vars],
        &["vars", "compact", &vars],
        &["vars", "restore", &vars],
        &["vars", "backups", &vars, "--keep", "0"],
        &["vars", "convert", template, "--layout", "2M", "--output", &new],
        &[
            "vars",
            "convert",
            template,
            "--layout",
            "2M",
            "--output",
            &vars,
            "--replace",
        ],
        &["secure-boot", "enroll", &vars, "--microsoft", "2023"],
        &["extract", code, "--volume", "DXEFV", "--output", &vars, "--force"],
        &["extract", code, "--volume", "DXEFV", "--output", &new],
        &["inspect", code, "--svg", &vars],
        &["ps", "--prometheus", &vars],
        &["store", "export", &build, &folder],
        &["store", "export", &build, &layout],
        &["saved", "adopt", &vars],
    ] {
        let done = scene.run(verb);
        assert!(!done.status.success(), "{verb:?}: {}", said(&done));
        assert_ne!(done.status.code(), Some(70), "{verb:?}: {}", said(&done));
        assert_eq!(files(&roots), before, "{verb:?}");
    }
}

#[test]
fn the_socket_of_the_agent_answers_root_and_no_other_user() {
    let scene = Scene::new();
    let code = scene.path("CODE.fd");
    fs::write(&code, fm_fixtures::bytes("bookworm/OVMF_CODE.fd")).unwrap();
    assert!(
        scene
            .run(&["store", "import", code.to_str().unwrap()])
            .status
            .success()
    );
    let mut agent = scene.flashmoor();
    agent.args(["agent", "--connect", "test:///default"]);
    let agent = Running::spawn(agent);
    let socket = scene.path("store/libvirt/agent.sock");
    let mut patience = Patience::new(fm_lab::PATIENCE);
    while !socket.exists() {
        patience.rest(|| "the agent does not listen".into());
    }
    const ASK: &str = "import socket,sys\n\
        s=socket.socket(socket.AF_UNIX)\n\
        try: s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode()+b'\\n'); print('said', s.recv(64))\n\
        except OSError as error: print('refused', error.__class__.__name__)\n";
    let want = format!("want {} - 1000", Sha256::of(&fs::read(&code).unwrap()));
    let ask = |mut command: Command| {
        let asked = command
            .args(["-c", ASK])
            .arg(&socket)
            .arg(&want)
            .output()
            .unwrap();
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    };
    assert_eq!(ask(Command::new("python3")), "said b'have\\n'");
    assert_eq!(ask(as_nobody("python3")), "refused PermissionError");
    // Whoever widens its mode opens it to nobody all the same.
    for path in [scene.path("store"), scene.path("store/libvirt"), socket.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let answer = ask(as_nobody("python3"));
    assert!(
        [
            "said b''",
            "refused BrokenPipeError",
            "refused ConnectionResetError"
        ]
        .contains(&answer.as_str()),
        "{answer}"
    );
    drop(agent);
}
