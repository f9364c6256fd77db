//! Rollouts on real libvirt guests: to another build and back, to another layout with all variables, and stopped where the
//! firmware hangs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fm_e2e::bed::{Bed, Host, domain, packaged};
use fm_e2e::{document, stderr};
use fm_fixtures::Patience;
use fm_formats::Sha256;
use fm_lab::PATIENCE;
use fm_varstore::VarStore;
use serde_json::Value;

const URL: &str = "https://localhost:7117";
/// The server's own store, on the first host.
const SERVER: &str = "/var/lib/libvirt/fleet";
const GUID: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";

fn digest(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

/// A fleet on a bed: its server runs on the first host, and hosts that have joined run agents.
struct Fleet {
    bed: Bed,
}

impl Fleet {
    fn start() -> Self {
        let bed = Bed::new();
        bed.a.install_flashmoor(false);
        let log = fs::File::create(bed.a.path("/var/lib/libvirt/serve.log")).unwrap();
        let serve = program(&bed.a)
            .args(["--store", SERVER, "serve", "--listen", "127.0.0.1:7117"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        // It ends with the host.
        drop(serve.unwrap());
        let fleet = Self { bed };
        let joined = fleet.until("the server answers", |fleet| {
            fleet.ask(&["fleet", "status", "--json"]).ok()
        });
        assert_eq!(joined["host_count"], 0);
        fleet
    }

    fn a(&self) -> &Host {
        &self.bed.a
    }

    /// Asks as the administrator.
    fn ask(&self, words: &[&str]) -> Result<Value, String> {
        let administrator = format!("{SERVER}/server/administrator");
        let mut command = program(self.a());
        command.args(["--store", "/var/lib/libvirt/nobody"]).args(words);
        let output: Output = command
            .args(["--identity", &administrator, "--url", URL])
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(document(&output)),
            false => Err(stderr(&output)),
        }
    }

    fn must(&self, words: &[&str]) -> Value {
        self.ask(words).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut patience = Patience::new(PATIENCE);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            patience.rest(|| {
                format!(
                    "{what}\n{}\n{}",
                    self.a().agent_log(),
                    fs::read_to_string(self.a().path("/var/lib/libvirt/serve.log")).unwrap_or_default()
                )
            });
        }
    }

    fn join(&self, host: &Host, name: &str) {
        let token = self.must(&["fleet", "token", "--json"]);
        let token = token["text"].as_str().unwrap();
        let joined = host
            .flashmoor()
            .args(["agent", "join", "--token", token, "--name", name, URL])
            .output()
            .unwrap();
        assert!(joined.status.success(), "{}", stderr(&joined));
        host.start_agent();
    }

    /// A build in the store of the first host, pinned there so that its agent brings it.
    fn bring(&self, code: &[u8], template: &str) -> String {
        let path = self.a().path("/var/lib/libvirt/new.fd");
        fs::write(&path, code).unwrap();
        let template = fm_fixtures::path(template);
        let import = ["store", "import", "/var/lib/libvirt/new.fd", "--vars-template"];
        let _ = self
            .a()
            .json(&[&import[..], &[template.to_str().unwrap()]].concat());
        let build = digest(code);
        let _ = self
            .a()
            .json(&["store", "pin", &build, "--reason", "for a rollout"]);
        self.until("the fleet has the build", |fleet| {
            let builds = fleet.must(&["fleet", "builds", "--json"]);
            let mut builds = builds["builds"].as_array().unwrap().iter();
            builds
                .any(|found| found["build"] == build.as_str() && found["state"] == "live")
                .then_some(())
        });
        build
    }

    /// How a guest of a rollout stands.
    fn guest(&self, rollout: &str, name: &str) -> Value {
        let guests = self.must(&["rollout", "guests", rollout, "--json"]);
        let mut guests = guests["guests"].as_array().unwrap().iter();
        guests.find(|guest| guest["name"] == name).unwrap().clone()
    }

    fn until_guest(&self, rollout: &str, name: &str, state: &str) -> Value {
        let mut patience = Patience::new(PATIENCE);
        loop {
            let guest = self.guest(rollout, name);
            if guest["state"] == state {
                return guest;
            }
            patience.rest(|| format!("{name} is {state}: {guest:#}\n{}", self.a().agent_log()));
        }
    }

    fn until_rollout(&self, rollout: &str, state: &str) -> Value {
        self.until(&format!("the rollout is {state}"), |fleet| {
            let view = fleet.must(&["rollout", "status", rollout, "--json"]);
            (view["state"] == state).then_some(view)
        })
    }

    /// What the definition of a domain names: CODE's digest, and the file of its variables.
    fn defined(&self, domain: &str) -> (String, PathBuf) {
        let xml = self.a().ask(&["dumpxml", "--inactive", domain]);
        let text = |element: &str| {
            let (_, rest) = xml.split_once(&format!("<{element}")).unwrap();
            let (_, rest) = rest.split_once('>').unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        };
        let code = fs::read(self.a().path(&text("loader"))).unwrap();
        (digest(&code), self.a().path(&text("nvram")))
    }

    fn vars(&self, domain: &str) -> Vec<u8> {
        fs::read(self.defined(domain).1).unwrap()
    }

    /// A domain that is adopted and has booted to its shell, and what it runs.
    fn guest_on(&self, name: &str, suffix: &str) -> String {
        self.guest_of(name, &packaged(name, suffix))
    }

    fn guest_of(&self, name: &str, xml: &str) -> String {
        self.a().define(xml);
        self.a().ask(&["start", name]);
        let mut serial = self.a().booted_serial(name);
        let set = serial.shell(&format!("setvar Own -guid {GUID} -bs -rt -nv =6b"));
        assert_eq!(set.unwrap(), "");
        self.a().adopt(name);
        self.a().running_code(name)
    }

    fn all_reported(&self, count: usize) {
        self.until("the guests are known and can be given other builds", |fleet| {
            let guests = fleet.must(&["fleet", "guests", "--json"]);
            let guests = guests["guests"].as_array().unwrap().iter();
            let adopted = guests.filter(|guest| guest["facts"]["adopted"] == true);
            (adopted.count() == count).then_some(())
        });
    }
}

fn program(host: &Host) -> Command {
    host.command(fm_e2e::flashmoor().get_program())
}

/// Variables that a system wrote, by name.
fn own(vars: &[u8]) -> Vec<u8> {
    let store = VarStore::parse(vars).unwrap();
    let own = store.to_variables();
    let own = own.iter().find(|variable| variable.name.to_string() == "Own");
    own.expect("its variable").data.clone()
}

#[test]
fn guests_move_to_another_build_and_another_layout_with_their_variables_and_back() {
    let fleet = Fleet::start();
    fleet.join(fleet.a(), "a");
    let old_four = fleet.guest_on("four", "_4M");
    let old_two = fleet.guest_on("two", "");
    let new = fleet.bring(
        &fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"),
        "trixie/OVMF_VARS_4M.fd",
    );
    fleet.all_reported(2);

    let words = ["--build", &new[..12], "--select", "all", "--json"];
    let plan = fleet.must(&[&["rollout", "plan"], &words[..]].concat());
    assert_eq!(plan["moved_count"], 1, "{plan:#}");
    assert_eq!(plan["converted_count"], 1, "{plan:#}");
    let begun = fleet.must(&[&["rollout", "start", "--soak", "0"], &words[..]].concat());
    let rollout = begun["id"].as_str().unwrap();
    let overlap = fleet
        .ask(&[&["rollout", "start"], &words[..]].concat())
        .unwrap_err();
    assert!(
        overlap.contains("2 of these guests are in another rollout"),
        "{overlap}"
    );

    // The same layout: its next start takes it, whoever starts it. The other one waits until it is off.
    fleet.until_guest(rollout, "four", "armed");
    let waiting = fleet.until("the other waits for its conversion", |fleet| {
        let two = fleet.guest(rollout, "two");
        let evidence = two["evidence"].as_str().unwrap_or_default().to_owned();
        evidence.contains("once it is off").then_some(two)
    });
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(fleet.defined("two").0, old_two, "nothing is changed under it");
    for name in ["four", "two"] {
        fleet.a().ask(&["destroy", name]);
    }
    let (before_four, before_two) = (
        fleet.vars("four"),
        fs::read(fleet.a().path("/var/lib/libvirt/qemu/nvram/two_VARS.fd")).unwrap(),
    );
    fleet.until_guest(rollout, "two", "armed");
    for name in ["four", "two"] {
        assert_eq!(fleet.defined(name).0, new, "{name}");
        fleet.a().ask(&["start", name]);
    }
    for name in ["four", "two"] {
        fleet.until_guest(rollout, name, "healthy");
        assert_eq!(fleet.a().running_code(name), new);
        assert_eq!(own(&fleet.vars(name)), [0x6b], "{name} has kept its variables");
    }
    fleet.until_rollout(rollout, "done");

    // And back, to the variables of before.
    fleet.must(&["rollout", "rollback", rollout, "--old-variables", "--json"]);
    for name in ["four", "two"] {
        fleet.until_guest(rollout, name, "reverting");
        fleet.a().ask(&["destroy", name]);
        fleet.until_guest(rollout, name, "reverted");
    }
    fleet.until_rollout(rollout, "rolled_back");
    assert_eq!(fleet.defined("four").0, old_four);
    assert_eq!(fleet.defined("two").0, old_two);
    assert!(fleet.vars("four") == before_four, "byte for byte");
    assert!(fleet.vars("two") == before_two, "byte for byte");
    let events = fleet.must(&["fleet", "events", "--json"]);
    let events = events["events"].as_array().unwrap().iter();
    assert!(events.filter(|event| event["kind"] == "rollout_changed").count() >= 4);
}

/// Whether firmware has counted a boot in these variables.
fn has_booted(vars: &[u8]) -> bool {
    let variables = VarStore::parse(vars).map(|store| store.to_variables());
    variables.is_ok_and(|all| all.iter().any(|variable| variable.name.to_string() == "MTC"))
}

#[test]
fn keys_gain_the_certificates_of_2023_while_a_guest_is_off_and_lose_them_again() {
    let fleet = Fleet::start();
    fleet.join(fleet.a(), "a");
    let secure = "    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.secboot.fd</loader>\
        <nvram template='/usr/share/OVMF/OVMF_VARS_4M.ms.fd'>/var/lib/libvirt/qemu/nvram/keys_VARS.fd</nvram>";
    fleet.a().define(&domain("keys", secure, "<smm state='on'/>"));
    fleet.a().ask(&["start", "keys"]);
    fleet.a().adopt("keys");
    let old = fleet.a().running_code("keys");
    fleet.until("it has booted", |fleet| {
        has_booted(&fleet.vars("keys")).then_some(())
    });
    fleet.all_reported(1);

    let all = fleet.ask(&["rollout", "plan", "--certificates", "2023", "--select", "all"]);
    assert!(all.unwrap_err().contains("whose keys are changed has to be said"));
    let words = ["--certificates", "2023", "--select", "name=keys", "--json"];
    let plan = fleet.must(&[&["rollout", "plan"], &words[..]].concat());
    assert_eq!(plan["enrolled_count"], 1, "{plan:#}");
    assert_eq!(plan["asked_for_keys_count"], 0, "it has no TPM: {plan:#}");
    let begun = fleet.must(&[&["rollout", "start", "--soak", "0"], &words[..]].concat());
    let rollout = begun["id"].as_str().unwrap();
    fleet.until("it waits until it is off", |fleet| {
        let evidence = fleet.guest(rollout, "keys")["evidence"].to_string();
        evidence.contains("once it is off").then_some(())
    });
    fleet.a().ask(&["destroy", "keys"]);
    let file = fleet.a().path("/var/lib/libvirt/qemu/nvram/keys_VARS.fd");
    let before = fs::read(&file).unwrap();
    fleet.until_guest(rollout, "keys", "armed");
    assert!(fs::read(&file).unwrap() == before, "the old file is the way back");
    assert_eq!(fleet.defined("keys").0, old, "its build stays");
    fleet.a().ask(&["start", "keys"]);
    fleet.until_guest(rollout, "keys", "healthy");
    fleet.until_rollout(rollout, "done");
    let now = fleet.defined("keys").1;
    assert!(now.to_str().unwrap().ends_with("keys_VARS.fd.fm-keys-2023"));
    let status = |guest: &str| fleet.a().json(&["vars", "secure-boot", "status", guest]);
    let trusted = status("keys");
    assert_eq!(trusted["enabled"], true);
    for list in ["microsoft", "microsoft_kek"] {
        assert_eq!(trusted[list], "both", "{trusted:#}");
    }

    fleet.must(&["rollout", "rollback", rollout, "--old-variables", "--json"]);
    fleet.until_guest(rollout, "keys", "reverting");
    fleet.a().ask(&["destroy", "keys"]);
    fleet.until_guest(rollout, "keys", "reverted");
    fleet.until_rollout(rollout, "rolled_back");
    assert_eq!(fleet.defined("keys").1, file);
    assert!(fs::read(&file).unwrap() == before, "byte for byte");
}

#[test]
fn a_guest_whose_reset_cannot_bring_a_build_is_told_why_and_keeps_what_it_has() {
    let fleet = Fleet::start();
    fleet.join(fleet.a(), "a");
    // As libvirt defines a machine unless it is told otherwise, it may suspend to RAM.
    let old = fleet.guest_on("sleeps", "_4M");
    let stays = packaged("stays", "_4M").replace(
        "<devices>",
        "<pm><suspend-to-mem enabled='no'/></pm>\n  <devices>",
    );
    let _ = fleet.guest_of("stays", &stays);
    let new = fleet.bring(
        &fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd"),
        "trixie/OVMF_VARS_4M.fd",
    );
    fleet.all_reported(2);
    let words = ["--build", &new, "--select", "all", "--at", "reset", "--json"];
    let plan = fleet.must(&[&["rollout", "plan"], &words[..]].concat());
    assert_eq!(plan["moved_count"], 1, "{plan:#}");
    let classes = plan["classes"].as_array().unwrap();
    let left = classes
        .iter()
        .find(|class| class["action"] == "leave_out")
        .unwrap();
    assert_eq!(left["reason"], "not_at_reset", "{plan:#}");
    assert_eq!(left["refusals"][0]["reason"], "may_suspend", "{plan:#}");
    assert_eq!(left["guests"][0]["name"], "sleeps", "{plan:#}");

    let begun = fleet.must(&[&["rollout", "start"], &words[..]].concat());
    let rollout = begun["id"].as_str().unwrap();
    // These tests run without KVM: what was translated from flash would stay.
    let refused = fleet.until_guest(rollout, "stays", "refused");
    let evidence = refused["evidence"].as_str().unwrap();
    assert!(evidence.contains("(emulated)"), "{evidence}");
    for name in ["sleeps", "stays"] {
        assert_eq!(fleet.defined(name).0, old, "no cold boot instead");
        assert_eq!(fleet.a().running_code(name), old);
    }
}

/// Firmware whose processor goes round in a circle from its first jump on: everything else is as it was, so that nothing
/// but a boot shows it.
fn hanging(code: &[u8]) -> Vec<u8> {
    let mut hangs = code.to_vec();
    // The reset vector ends the image: `nop; nop; jmp` to the early code of `OvmfPkg/ResetVector`.
    let at = hangs.len() - 0x10;
    let opcode = hangs[at..].iter().position(|byte| *byte == 0xe9).unwrap() + at;
    let offset = i16::from_le_bytes([hangs[opcode + 1], hangs[opcode + 2]]);
    let target = (opcode + 3).checked_add_signed(isize::from(offset)).unwrap();
    // `jmp $`
    hangs[target..target + 2].copy_from_slice(&[0xeb, 0xfe]);
    hangs
}

#[test]
fn a_build_that_hangs_stops_at_the_guest_that_goes_first_and_goes_back_byte_for_byte() {
    let fleet = Fleet::start();
    fleet.join(fleet.a(), "a");
    let old = fleet.guest_on("one", "_4M");
    fleet.guest_on("other", "_4M");
    let new = fleet.bring(
        &hanging(&fm_fixtures::bytes("trixie/OVMF_CODE_4M.fd")),
        "trixie/OVMF_VARS_4M.fd",
    );
    fleet.all_reported(2);
    let begun = fleet.must(&[
        "rollout",
        "start",
        "--build",
        &new,
        "--select",
        "all",
        "--soak",
        "0",
        "--health-timeout",
        "5",
        "--json",
    ]);
    let rollout = begun["id"].as_str().unwrap();
    let first = fleet.until("one goes first", |fleet| {
        let mut armed = ["one", "other"]
            .into_iter()
            .filter(|name| fleet.guest(rollout, name)["state"] == "armed");
        armed.next()
    });
    let second = if first == "one" { "other" } else { "one" };
    fleet.a().ask(&["destroy", first]);
    let before = fleet.vars(first);
    fleet.a().ask(&["start", first]);
    let failed = fleet.until_guest(rollout, first, "failed");
    assert!(
        failed["evidence"]
            .as_str()
            .unwrap()
            .contains("not counted a boot in 5 s"),
        "{failed}"
    );
    let paused = fleet.until_rollout(rollout, "paused");
    assert_eq!(paused["troubles"][0]["name"], first);
    assert_eq!(
        fleet.guest(rollout, second)["state"],
        "planned",
        "nobody else gets it"
    );
    assert_eq!(fleet.defined(second).0, old);

    fleet.must(&["rollout", "rollback", rollout, "--json"]);
    fleet.until("its next start is the old build's, whoever starts it", |fleet| {
        (fleet.defined(first).0 == old).then_some(())
    });
    assert_eq!(fleet.guest(rollout, first)["state"], "reverting");
    assert_eq!(fleet.a().running_code(first), new, "what runs is left alone");
    fleet.a().ask(&["destroy", first]);
    fleet.until_guest(rollout, first, "reverted");
    fleet.until_rollout(rollout, "rolled_back");
    assert!(fleet.vars(first) == before, "byte for byte");
    fleet.a().ask(&["start", first]);
    assert_eq!(fleet.a().running_code(first), old);
    let _ = fleet.a().booted_serial(first);
}
