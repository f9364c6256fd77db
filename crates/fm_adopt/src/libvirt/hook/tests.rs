//! The hook's answers, one moment after the other, on a store of its own.

use std::path::PathBuf;

use fm_formats::Sha256;
use fm_libvirt::FileFormat;
use fm_store::{Import, Store};

use super::*;

mod decisions;
mod supplied;

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
            "<domain><name>web</name><uuid>u1</uuid>{}<resource/><os><loader type='pflash'>{}</loader></os></domain>",
            if adopted { metadata.as_str() } else { "" },
            loader.display()
        )
    }

    /// A domain with variables at `vars`, made from `template`, and what its metadata says of them.
    fn with_vars(&self, loader: &Path, template: &Path, says: &str) -> String {
        let nvram = format!(
            "</loader><nvram template='{}'>{}</nvram>",
            template.display(),
            self.path("vars.fd").display()
        );
        self.xml(loader, true)
            .replace("</loader>", &nvram)
            .replace("code-bytes='4096'", &format!("code-bytes='4096' {says}"))
    }

    fn stored(&self, vars_template: Option<&[u8]>) -> PathBuf {
        let store = Store::open(self.store()).unwrap();
        let import = Import {
            code: CODE,
            vars_template,
            ..Import::default()
        };
        store.import(&import).unwrap().path
    }

    fn ask(&self, operation: &str, xml: &str) -> Answer {
        self.ask_with(operation, xml, Policy::Refuse)
    }

    fn ask_with(&self, operation: &str, xml: &str, policy: Policy) -> Answer {
        let definitions = self.path("definitions");
        answer(&self.store(), &call(operation, xml, policy, &definitions))
    }

    fn decide(&self, operation: &str, xml: &str) -> Decision {
        let definitions = self.path("definitions");
        decision(&self.store(), &call(operation, xml, Policy::Refuse, &definitions))
    }
}

fn call<'a>(operation: &str, xml: &'a str, policy: Policy, definitions: &'a Path) -> Call<'a> {
    Call {
        operation: operation.into(),
        sub_operation: if operation == "release" { "end" } else { "begin" }.into(),
        xml,
        policy,
        deadline: Duration::from_millis(400),
        definitions,
        dry_run: false,
    }
}

fn loader(answer: &Answer) -> PathBuf {
    let Answer::Replace(xml) = answer else {
        panic!("{answer:?}");
    };
    Domain::parse(xml).unwrap().flash().unwrap().clone()
}

fn template(answer: &Answer) -> PathBuf {
    let Answer::Replace(xml) = answer else {
        panic!("{answer:?}");
    };
    Domain::parse(xml).unwrap().nvram.unwrap().template.unwrap()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let mut mode = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
    fs::set_permissions(path, mode).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_guest_whose_build_is_at_its_path_needs_nothing() {
    let host = Host::new();
    fs::write(host.path("CODE.fd"), CODE).unwrap();
    let xml = host.xml(&host.path("CODE.fd"), true);
    assert!(matches!(host.ask("migrate", &xml), Answer::Pass));
    assert!(matches!(host.ask("restore", &xml), Answer::Pass));
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
    let path = host.stored(None);
    let xml = host.xml(Path::new("/nowhere"), true);
    assert_eq!(loader(&host.ask("migrate", &xml)), path);
    overwrite(&path, &[9; 4096]);
    assert!(matches!(host.ask("migrate", &xml), Answer::Refuse(_)));
}

#[test]
fn an_announced_guest_starts_on_its_placeholder_once_and_a_cold_boot_on_it_is_refused() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere"), true)));
    let arrived = host.xml(&landing, true);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Pass));
    assert!(matches!(
        host.ask("prepare", &arrived),
        Answer::Refuse(Reason::Placeholder { .. })
    ));
    assert!(matches!(
        host.ask_with("prepare", &arrived, Policy::Pass),
        Answer::Remark(_)
    ));
    // Once somebody has brought the build, it starts.
    host.stored(None);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Pass));
    assert_eq!(fs::read(&landing).unwrap(), CODE);
}

#[test]
fn a_guest_that_never_came_leaves_no_landing() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere"), true)));
    assert!(matches!(
        host.ask("release", &host.xml(&landing, true)),
        Answer::Pass
    ));
    assert!(!landing.exists());
    assert!(Store::open(host.store()).unwrap().landings().unwrap().is_empty());
}

#[test]
fn a_missing_build_is_put_back_from_where_it_came_or_the_start_is_refused() {
    let host = Host::new();
    let path = host.stored(None);
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
    assert!(matches!(host.ask("prepare", &xml), Answer::Pass));
    assert_eq!(fs::read(&path).unwrap(), CODE);
}

#[test]
fn what_is_not_ours_passes_and_what_would_fail_anyway_says_why() {
    let host = Host::new();
    fs::write(host.path("CODE.fd"), [1; 4096]).unwrap();
    assert!(matches!(
        host.ask("migrate", &host.xml(&host.path("CODE.fd"), false)),
        Answer::Pass
    ));
    let refused = host.ask("migrate", &host.xml(Path::new("/nowhere"), false));
    assert!(matches!(refused, Answer::Refuse(Reason::NotAdopted { domain, .. }) if domain == "web"));
    let other = host
        .xml(Path::new("/nowhere"), true)
        .replace("type='pflash'", "type='pflash' format='vdi'");
    assert!(matches!(host.ask("migrate", &other), Answer::Pass));
    let rom = host
        .xml(Path::new("/nowhere"), true)
        .replace("type='pflash'", "type='rom'");
    assert!(matches!(
        host.ask("migrate", &rom),
        Answer::Refuse(Reason::RomMissing { .. })
    ));
    let here = rom.replace("/nowhere", &host.path("CODE.fd").display().to_string());
    assert!(matches!(host.ask("migrate", &here), Answer::Pass));
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

#[test]
fn an_offline_migration_makes_no_landing_and_says_that_the_build_must_be_there() {
    let host = Host::new();
    let offline = |loader: &Path| {
        let domain = Domain::parse(&host.xml(loader, true)).unwrap();
        let facts = facts::offline(&host.store(), domain, loader);
        decide::decide(facts, Policy::Refuse)
    };
    let refused = offline(Path::new("/nowhere"));
    assert!(matches!(
        refused.outcome,
        Outcome::Refuse(Reason::OfflineWithoutBuild { .. })
    ));
    let path = host.stored(None);
    let placed = offline(Path::new("/nowhere"));
    assert!(placed.steps.is_empty(), "nothing is made for nothing");
    assert!(
        matches!(&placed.outcome, Outcome::Replace { loader: PlacedCode::At(at), template: None } if *at == path)
    );
    assert!(matches!(offline(&path).outcome, Outcome::Pass));
}

#[test]
fn a_definition_that_came_after_the_guest_was_announced_came_by_an_offline_migration() {
    let host = Host::new();
    let landing = loader(&host.ask("migrate", &host.xml(Path::new("/nowhere"), true)));
    let arrived = host.xml(&landing, true);
    let mark = marks::mark(&host.store(), "u1");
    let announced = mark.metadata().unwrap().modified().unwrap();
    let definition = host.path("definitions/web.xml");
    fs::create_dir_all(definition.parent().unwrap()).unwrap();
    let written = |text: &str, at| {
        fs::write(&definition, text).unwrap();
        let file = fs::File::options().write(true).open(&definition).unwrap();
        file.set_modified(at).unwrap();
        fs::write(&mark, "x").unwrap();
        let file = fs::File::options().write(true).open(&mark).unwrap();
        file.set_modified(announced).unwrap();
    };
    let second = Duration::from_secs(1);
    // It was there before, or names something else: the guest is arriving.
    written(&arrived, announced - second);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Pass));
    written("<domain/>", announced + second);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Pass));
    written(&arrived, announced + second);
    assert!(matches!(host.ask("prepare", &arrived), Answer::Refuse(_)));
}

#[test]
fn a_template_is_the_domains_own_or_an_empty_one_and_never_damaged() {
    let host = Host::new();
    let loader = host.stored(Some(&[1; 512]));
    host.stored(Some(&[2; 512]));
    let says = |bytes: &[u8]| format!("vars-bytes='512' vars-template='sha256:{}'", Sha256::of(bytes));
    let ask = |says: &str| template(&host.ask("migrate", &host.with_vars(&loader, Path::new("/no"), says)));
    for own in [[1; 512], [2; 512]] {
        assert_eq!(fs::read(ask(&says(&own))).unwrap(), own);
    }
    let empty = ask(&says(&[3; 512]));
    assert_eq!(fs::read(&empty).unwrap(), [0; 512]);
    // An older Flashmoor did not say whose template it was.
    assert_eq!(ask("vars-bytes='512'"), empty);
    let named = host.with_vars(&loader, &loader.with_file_name("VARS.fd"), "vars-bytes='512'");
    assert_eq!(template(&host.ask("migrate", &named)), empty);
    let own = ask(&says(&[2; 512]));
    assert!(matches!(
        host.ask("migrate", &host.with_vars(&loader, &own, &says(&[2; 512]))),
        Answer::Pass
    ));
    overwrite(&own, &[9; 512]);
    assert_eq!(ask(&says(&[2; 512])), empty);
    let named = host.with_vars(&loader, &own, &says(&[2; 512]));
    assert_eq!(template(&host.ask("migrate", &named)), empty);
}

#[test]
fn no_file_is_made_as_large_as_somebody_elses_xml_wants() {
    let host = Host::new();
    let xml = host.with_vars(
        Path::new("/nowhere"),
        Path::new("/no"),
        "vars-bytes='99999999999999'",
    );
    assert!(matches!(
        host.ask("migrate", &xml),
        Answer::Refuse(Reason::VarsTooLarge {
            vars_bytes: 99_999_999_999_999,
            ..
        })
    ));
    assert!(!host.store().exists());
}

/// `bytes` in a qcow2 image.
fn qcow2(host: &Host, name: &str, bytes: &[u8]) -> PathBuf {
    let (raw, path) = (host.path("raw"), host.path(name));
    fs::write(&raw, bytes).unwrap();
    let made = std::process::Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &path])
        .status();
    assert!(made.unwrap().success());
    path
}

#[test]
fn a_guest_with_qcow2_flash_arrives_on_the_stored_build_and_keeps_the_format_of_its_variables() {
    let host = Host::new();
    let packaged = host.path("CODE.qcow2");
    let packed = |xml: String| {
        xml.replace("type='pflash'", "type='pflash' format='qcow2'")
            .replace("<nvram ", "<nvram format='qcow2' ")
    };
    let xml = packed(host.with_vars(&packaged, Path::new("/no"), "vars-bytes='512'"));
    let landed = host.ask("migrate", &xml);
    assert!(
        loader(&landed).starts_with(host.path("store/landings")),
        "{landed:?}"
    );
    let stored = host.stored(None);
    let answer = host.ask("migrate", &xml);
    assert_eq!(loader(&answer), stored);
    let Answer::Replace(said) = &answer else {
        panic!("{answer:?}")
    };
    let domain = Domain::parse(said).unwrap();
    assert_eq!(domain.loader.unwrap().format, FileFormat::Raw);
    let nvram = domain.nvram.unwrap();
    assert_eq!(
        (nvram.format, nvram.template_format),
        (FileFormat::Qcow2, FileFormat::Qcow2)
    );
    let made = nvram.template.unwrap();
    let unpacked = crate::libvirt::flash_file::read(&made, FileFormat::Qcow2).unwrap();
    assert_eq!(unpacked, [0; 512], "an empty store of that length");
    // Its variables are here, and of its length; then they are not.
    qcow2(&host, "vars.fd", &[3; 512]);
    qcow2(&host, "CODE.qcow2", CODE);
    assert!(matches!(host.ask("migrate", &xml), Answer::Pass));
    qcow2(&host, "vars.fd", &[3; 1024]);
    assert!(matches!(
        host.ask("migrate", &xml),
        Answer::Refuse(Reason::VarsSize {
            found_bytes: 1024,
            ..
        })
    ));
}

#[test]
fn variables_in_a_qcow2_file_that_is_called_raw_are_libvirts_own_affair() {
    let host = Host::new();
    let loader = host.stored(None);
    fs::rename(qcow2(&host, "packed", &[3; 1024]), host.path("vars.fd")).unwrap();
    let xml = host.with_vars(&loader, Path::new("/no"), "vars-bytes='512'");
    assert!(matches!(host.ask("migrate", &xml), Answer::Pass));
    fs::write(host.path("vars.fd"), b"another guest's").unwrap();
    assert!(matches!(host.ask("migrate", &xml), Answer::Refuse(_)));
}

#[test]
fn without_its_variables_a_domain_starts_from_its_own_template_only() {
    let host = Host::new();
    let loader = host.stored(Some(&[1; 512]));
    let own = Sha256::of(&[2; 512]);
    let path = loader.with_file_name(format!("VARS-sha256-{own}.fd"));
    let says = format!("vars-bytes='512' vars-template='sha256:{own}'");
    let xml = host.with_vars(&loader, &path, &says);
    let refused = host.ask("prepare", &xml);
    assert!(
        matches!(
            &refused,
            Answer::Refuse(Reason::TemplateGone {
                is_leftover: false,
                ..
            })
        ),
        "{refused:?}"
    );
    fs::write(host.path("vars.fd"), [5; 512]).unwrap();
    assert!(
        matches!(host.ask("prepare", &xml), Answer::Pass),
        "its variables are here"
    );
    fs::remove_file(host.path("vars.fd")).unwrap();
    // Where it was before is as good, and so is an empty store if that is what it was.
    fs::write(host.path("old.fd"), [2; 512]).unwrap();
    let before = format!(
        "{says}><f:before template='{}'/></f:firmware>",
        host.path("old.fd").display()
    );
    let healing = xml.replace(&format!("{says}/>"), &before);
    assert!(matches!(host.ask("prepare", &healing), Answer::Pass));
    assert_eq!(fs::read(&path).unwrap(), [2; 512]);
    let empty = Sha256::of(&[0; 512]);
    let path = loader.with_file_name(format!("VARS-sha256-{empty}.fd"));
    let says = format!("vars-bytes='512' vars-template='sha256:{empty}'");
    assert!(matches!(
        host.ask("prepare", &host.with_vars(&loader, &path, &says)),
        Answer::Pass
    ));
    assert_eq!(fs::read(&path).unwrap(), [0; 512]);
}

#[test]
fn a_store_that_others_write_to_is_waited_for_until_the_deadline_is_near() {
    let host = Host::new();
    host.stored(None);
    let other = host
        .xml(Path::new("/nowhere"), true)
        .replace(&Sha256::of(CODE).to_string(), &Sha256::of(b"another").to_string());
    let lock = fs::File::open(host.store().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let Answer::Refuse(why) = host.ask("migrate", &other) else {
        panic!("there is no firmware of that size");
    };
    let why = fm_remedy::one_line(&why);
    assert!(why.contains("waited 200 ms"), "{why}");
    drop(lock);
    assert!(matches!(host.ask("migrate", &other), Answer::Replace(_)));
}

/// What lies in a folder and below, with what it holds and when it was written.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>, Option<std::time::SystemTime>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let modified = path.symlink_metadata().and_then(|file| file.modified()).ok();
        all.extend(snapshot(&path));
        all.push((path.clone(), fs::read(&path).unwrap_or_default(), modified));
    }
    all.sort();
    all
}

#[test]
fn a_dry_run_of_any_call_says_what_would_be_done_and_touches_nothing() {
    let host = Host::new();
    let stored = host.stored(Some(&[1; 512]));
    let says = format!(
        "vars-bytes='512' vars-template='sha256:{}'",
        Sha256::of(&[3; 512])
    );
    let other = host
        .with_vars(Path::new("/nowhere"), Path::new("/no"), &says)
        .replace(&Sha256::of(CODE).to_string(), &Sha256::of(b"another").to_string());
    let before = snapshot(host.folder.path());
    for operation in [
        "prepare",
        "start",
        "started",
        "stopped",
        "release",
        "migrate",
        "restore",
        "reconnect",
        "new",
    ] {
        for xml in [&other, &host.xml(&stored, true), "<domain"] {
            let _ = host.decide(operation, xml);
        }
    }
    let decision = host.decide("migrate", &other);
    assert!(
        matches!(decision.steps[0], Step::MakeLanding { size_bytes: 4096, .. }),
        "{decision:?}"
    );
    assert!(
        matches!(
            decision.outcome,
            Outcome::Replace {
                loader: PlacedCode::Landing,
                template: Some(PlacedTemplate::Made)
            }
        ),
        "{decision:?}"
    );
    assert!(snapshot(host.folder.path()) == before, "something was written");
}

#[test]
fn a_stored_build_whose_files_are_gone_is_named_with_what_verifies_the_store() {
    let host = Host::new();
    let path = host.stored(None);
    fs::remove_file(&path).unwrap();
    let verifies = |answer: Answer| match answer {
        Answer::Refuse(why) => {
            use fm_remedy::Failure as _;
            let actions = why.remedy().unwrap().actions;
            actions.contains(&fm_remedy::Action::VerifyStore)
        }
        other => panic!("{other:?}"),
    };
    assert!(verifies(
        host.ask("migrate", &host.xml(Path::new("/nowhere"), true))
    ));
    assert!(verifies(host.ask("prepare", &host.xml(&path, true))));
}

#[test]
fn variables_that_an_arrival_left_empty_are_no_variables_and_go_with_it() {
    let host = Host::new();
    let own = Sha256::of(&[2; 512]);
    let loader = host.stored(Some(&[2; 512]));
    let path = loader.with_file_name(format!("VARS-sha256-{own}.fd"));
    let vars = host.path("vars.fd");
    let says = format!("vars-bytes='512' vars-template='sha256:{own}'");
    let xml = host.with_vars(&loader, &path, &says);
    let lost = path.with_extension("lost");
    fs::rename(&path, &lost).unwrap();
    // It is announced, libvirt makes its variables, and it never comes.
    let arrive = || {
        let empty = template(&host.ask("migrate", &xml));
        let arriving = host.with_vars(&loader, &empty, &says);
        assert!(matches!(host.ask("prepare", &arriving), Answer::Pass));
        fs::copy(&empty, &vars).unwrap();
        arriving
    };
    let arriving = arrive();
    assert!(matches!(host.ask("release", &arriving), Answer::Pass));
    assert!(!vars.exists(), "they went with it");
    // Nobody told us that it never came.
    arrive();
    assert!(matches!(
        host.ask("prepare", &xml),
        Answer::Refuse(Reason::TemplateGone {
            is_leftover: true,
            ..
        })
    ));
    fs::rename(&lost, &path).unwrap();
    assert!(matches!(host.ask("prepare", &xml), Answer::Pass));
    assert!(!vars.exists(), "libvirt makes them from its own template");
    // Of an empty store that somebody else put there, nobody can tell.
    fs::write(&vars, [0; 512]).unwrap();
    assert!(matches!(
        host.ask("prepare", &xml),
        Answer::Refuse(Reason::EmptyVars { .. })
    ));
    assert!(matches!(host.ask("release", &xml), Answer::Pass));
    assert!(vars.exists(), "it is not ours to remove");
    fs::remove_file(&vars).unwrap();
    // What arrived stays.
    fs::rename(&path, &lost).unwrap();
    let arrived = arrive();
    fs::write(&vars, [5; 512]).unwrap();
    assert!(matches!(host.ask("release", &arrived), Answer::Pass));
    assert_eq!(fs::read(&vars).unwrap(), [5; 512]);
    // The empty template is for arrivals alone.
    fs::remove_file(&vars).unwrap();
    assert!(matches!(
        host.ask("prepare", &arrived),
        Answer::Refuse(Reason::TemplateGone { .. })
    ));
}
