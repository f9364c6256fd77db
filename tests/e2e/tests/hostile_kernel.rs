//! The kernel ends a command at any of its changes, or refuses one: whatever the moment, what was there is there, or what
//! was to be there, and the same command brings it about.
//!
//! `make test` takes some of the moments of each command; `make soak` takes all.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use fm_e2e::moments::{Verb, digest, every_moment, must, store_is_whole, with};
use fm_e2e::{Bench, document};
use fm_formats::Sha256;
use fm_lab::{Arch, Machine};
use fm_variables as vars;
use fm_varstore::VarStore;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

fn has_build(folder: &Path) -> bool {
    let list = document(&with(folder, &["--json", "store", "list"]).output().unwrap());
    let id = digest(CODE);
    list["builds"]
        .as_array()
        .unwrap()
        .iter()
        .any(|build| build["id"] == id.as_str())
}

fn nothing(_: &Path) {}

fn import(folder: &Path) {
    must(
        folder,
        &[
            OsStr::new("store"),
            OsStr::new("import"),
            fm_fixtures::path(CODE).as_os_str(),
        ],
    );
}

#[test]
fn a_variable_is_set_or_is_not_and_the_store_is_whole() {
    every_moment(&Verb {
        name: "vars set",
        makes_new: false,
        clears_away: false,
        prepare: &|folder| {
            fs::copy(fm_fixtures::path(VARS), folder.join("vars.fd")).unwrap();
        },
        command: &|folder| {
            let path = folder.join("vars.fd");
            with(
                folder,
                &["vars", "set", path.to_str().unwrap(), "Lang", "--text", "de"],
            )
        },
        holds: &|folder, context| {
            let list = vars::list(&folder.join("vars.fd"), false);
            assert!(list.is_ok_and(|list| list.damage.is_empty()), "{context}");
        },
        is_done: &|folder| {
            let list = vars::list(&folder.join("vars.fd"), false).unwrap();
            list.variables
                .iter()
                .any(|variable| variable.name == "Lang" && variable.data == "646500")
        },
    });
}

#[test]
fn a_store_is_repaired_or_as_it_was_and_its_damage_is_kept_beside_it() {
    let damaged = || {
        let mut bytes = fm_fixtures::bytes("bookworm/OVMF_VARS_4M.ms.fd");
        // a length in the first variable's header that leads nowhere
        bytes[0x64 + 40..0x64 + 44].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        bytes
    };
    every_moment(&Verb {
        name: "vars repair",
        makes_new: false,
        clears_away: false,
        prepare: &|folder| fs::write(folder.join("vars.fd"), damaged()).unwrap(),
        command: &|folder| {
            with(
                folder,
                &["vars", "repair", folder.join("vars.fd").to_str().unwrap()],
            )
        },
        holds: &|folder, context| {
            let bytes = fs::read(folder.join("vars.fd")).unwrap();
            let sound = vars::list(&folder.join("vars.fd"), false).is_ok_and(|list| list.damage.is_empty());
            assert!(
                sound || bytes == damaged(),
                "{context}: neither whole nor as it was"
            );
        },
        is_done: &|folder| {
            let list = vars::list(&folder.join("vars.fd"), false).unwrap();
            list.damage.iter().all(|damage| damage.heals_itself)
        },
    });
}

#[test]
fn what_is_converted_is_there_whole_or_not_at_all() {
    let prepare = |folder: &Path| {
        fs::copy(fm_fixtures::path(VARS), folder.join("vars.fd")).unwrap();
    };
    let command = |folder: &Path| {
        let (from, to) = (folder.join("vars.fd"), folder.join("out.fd"));
        let words = [
            "vars",
            "convert",
            from.to_str().unwrap(),
            "--layout",
            "2M",
            "--output",
            to.to_str().unwrap(),
        ];
        with(folder, &words)
    };
    let undisturbed = tempfile::tempdir().unwrap();
    prepare(undisturbed.path());
    assert!(command(undisturbed.path()).output().unwrap().status.success());
    let whole = fs::read(undisturbed.path().join("out.fd")).unwrap();
    assert!(VarStore::parse(&whole).unwrap().damage_found().is_empty());
    every_moment(&Verb {
        name: "vars convert",
        makes_new: true,
        clears_away: false,
        prepare: &prepare,
        command: &command,
        holds: &|folder, context| {
            assert_eq!(
                fs::read(folder.join("vars.fd")).unwrap(),
                fm_fixtures::bytes(VARS),
                "{context}"
            );
            let out = folder.join("out.fd");
            assert!(
                !out.exists() || fs::read(out).unwrap() == whole,
                "{context}: torn"
            );
        },
        is_done: &|folder| fs::read(folder.join("out.fd")).is_ok_and(|out| out == whole),
    });
}

#[test]
fn a_build_is_stored_or_is_not() {
    every_moment(&Verb {
        name: "store import",
        makes_new: false,
        clears_away: false,
        prepare: &nothing,
        command: &|folder| {
            let (code, vars) = (fm_fixtures::path(CODE), fm_fixtures::path(VARS));
            let words = [
                "store",
                "import",
                code.to_str().unwrap(),
                "--vars-template",
                vars.to_str().unwrap(),
            ];
            with(folder, &words)
        },
        holds: &store_is_whole,
        is_done: &has_build,
    });
}

#[test]
fn an_exported_build_is_what_it_is_called_or_is_not_there() {
    every_moment(&Verb {
        name: "store export",
        makes_new: false,
        clears_away: false,
        prepare: &import,
        command: &|folder| {
            with(
                folder,
                &[
                    "store",
                    "export",
                    &digest(CODE),
                    folder.join("out").to_str().unwrap(),
                ],
            )
        },
        holds: &|folder, context| {
            store_is_whole(folder, context);
            if let Ok(bytes) = fs::read(folder.join("out/CODE.fd")) {
                assert_eq!(Sha256::of(&bytes).to_string(), digest(CODE), "{context}");
            }
        },
        is_done: &|folder| folder.join("out/CODE.fd").exists(),
    });
    every_moment(&Verb {
        name: "store export oci",
        makes_new: false,
        clears_away: false,
        prepare: &import,
        command: &|folder| {
            with(
                folder,
                &[
                    "store",
                    "export",
                    &digest(CODE),
                    &format!("oci:{}/out", folder.display()),
                ],
            )
        },
        holds: &store_is_whole,
        is_done: &|folder| {
            let from = format!("oci:{}/out", folder.display());
            let other = tempfile::tempdir().unwrap();
            with(other.path(), &["store", "import", &from])
                .output()
                .unwrap()
                .status
                .success()
        },
    });
}

#[test]
fn a_collection_takes_what_nobody_needs_and_leaves_the_rest_whole() {
    every_moment(&Verb {
        name: "store gc",
        makes_new: false,
        clears_away: false,
        prepare: &|folder| {
            import(folder);
            let other = fm_fixtures::path("trixie/OVMF_CODE_4M.fd");
            must(
                folder,
                &[OsStr::new("store"), OsStr::new("import"), other.as_os_str()],
            );
            must(folder, &["store", "pin", &digest(CODE), "--reason", "needed"]);
        },
        command: &|folder| with(folder, &["store", "gc"]),
        holds: &|folder, context| {
            store_is_whole(folder, context);
            assert!(has_build(folder), "{context}: what is pinned is gone");
            // Who writes next puts back what a collection had set aside.
            must(folder, &["store", "pin", &digest(CODE), "--reason", context]);
            let path = folder.join(format!("store/builds/sha256-{}/CODE.fd", digest(CODE)));
            assert_eq!(fs::read(path).unwrap(), fm_fixtures::bytes(CODE), "{context}");
        },
        is_done: &|folder| {
            let list = document(&with(folder, &["--json", "store", "list"]).output().unwrap());
            list["builds"].as_array().unwrap().len() == 1
        },
    });
}

#[test]
fn a_pin_is_there_or_is_not() {
    every_moment(&Verb {
        name: "store pin",
        makes_new: false,
        clears_away: false,
        prepare: &import,
        command: &|folder| with(folder, &["store", "pin", &digest(CODE), "--reason", "mine"]),
        holds: &store_is_whole,
        is_done: &|folder| {
            let list = document(&with(folder, &["--json", "store", "list"]).output().unwrap());
            list["builds"][0]["pins"] == serde_json::json!(["mine"])
        },
    });
}

#[test]
fn a_guests_firmware_is_captured_and_its_arrival_prepared_whole_or_not_at_all() {
    let mut bench = Bench::new();
    let machine = Machine {
        stopped: true,
        memory_mib: 64,
        ..Machine::new(
            Arch::X86_64,
            &fm_fixtures::path(CODE),
            &bench.copy(VARS, "VARS.fd"),
        )
    };
    let guest = bench.start(&machine.named(&format!("hostile-{}", std::process::id())));
    let pid = guest.pid().to_string();
    every_moment(&Verb {
        name: "capture",
        makes_new: false,
        clears_away: false,
        prepare: &nothing,
        command: &|folder| with(folder, &["capture", &pid]),
        holds: &store_is_whole,
        is_done: &has_build,
    });
    let offer = bench
        .flashmoor()
        .args(["--json", "offer", &pid])
        .output()
        .unwrap();
    let offered = bench.path("offer.json");
    fs::write(&offered, &offer.stdout).unwrap();
    every_moment(&Verb {
        name: "prepare",
        makes_new: false,
        clears_away: false,
        prepare: &nothing,
        command: &|folder| {
            let vars = folder.join("vars.fd");
            let words = [
                "prepare",
                offered.to_str().unwrap(),
                "--vars",
                vars.to_str().unwrap(),
                "--replace",
            ];
            with(folder, &words)
        },
        holds: &store_is_whole,
        is_done: &|folder| {
            let landings = document(&with(folder, &["--json", "store", "landings"]).output().unwrap());
            landings["landings"].as_array().unwrap().len() == 1 && folder.join("vars.fd").exists()
        },
    });
}
