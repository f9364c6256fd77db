//! The demo's steps, in the order in which a guest lives through them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fm_api::v1::demo::{Demo, Measurement};
use fm_api::v1::transfer::Prepared;
use fm_api::v1::vars::VariableDocument;
use fm_formats::Sha256;
use fm_host::monitor;
use fm_host::qmp::{Client, RunState};
use fm_transfer::migrate::{self, Event, Migration, Options, preflight};
use fm_transfer::offer;
use fm_transfer::prepare;
use fm_variables as vars;
use serde_json::json;

use super::hosts::Host;
use super::{DemoEvent, Error, Request};
use crate::{Guest, Result};

/// What the guest writes into its own varstore, and must find again wherever it goes.
const VARIABLE: &str = "FlashmoorDemo -guid 4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";
const VALUE: &str = "carried";
/// A boot entry of its own, and what it holds (`EFI_LOAD_OPTION`): not active, path of 4 bytes, "F", the end of a
/// path. No boot makes such a one.
const BOOT_ENTRY: &str = "Boot00F1 -guid 8be4df61-93ca-11d2-aa0d-00e098032b8c";
const BOOT_ENTRY_DATA: [u8; 14] = [0, 0, 0, 0, 4, 0, b'F', 0, 0, 0, 0x7f, 0xff, 4, 0];

/// The demo as it stands: two hosts, one guest.
pub(super) struct Demonstration<'a> {
    tell: &'a mut dyn FnMut(&DemoEvent),
    step: usize,
    held: Vec<String>,
    measured: Vec<Measurement>,
    a: Host,
    b: Host,
    /// The guest, wherever it is.
    guest: Option<Guest>,
    code: Sha256,
}

/// A promise that did not hold, if it did not.
macro_rules! hold {
    ($demo:expr, $holds:expr, $($what:tt)+) => {{
        let holds: bool = $holds;
        $demo.hold(holds, format!($($what)+))?
    }};
}

impl<'a> Demonstration<'a> {
    pub(super) fn new(request: &Request, folder: &Path, tell: &'a mut dyn FnMut(&DemoEvent)) -> Result<Self> {
        let a = Host::new(folder.join("host-a"), &request.from_code, &request.from_vars)?;
        let b = Host::new(folder.join("host-b"), &request.to_code, &request.to_vars)?;
        let code = digest(&a.code)?;
        Ok(Self {
            tell,
            step: 0,
            held: Vec::new(),
            measured: Vec::new(),
            a,
            b,
            guest: None,
            code,
        })
    }

    pub(super) fn boot_at_a(&mut self) -> Result<()> {
        self.begin("a guest boots on host A's build and sets a variable from its own shell");
        let (code, vars) = (self.a.code.clone(), self.a.new_vars("vars.fd")?);
        let (size, other) = (length(&code)?, length(&self.b.code)?);
        self.line(format!(
            "host A has CODE of {size} bytes, host B only one of {other} bytes"
        ));
        let began = Instant::now();
        let started = self.a.start(&code, &vars, false);
        let mut guest = self.lab(started)?;
        let booted = guest.boot_to_shell();
        self.lab(booted)?;
        self.measure(
            "boot to the UEFI shell at A (emulated)",
            format!("{:.1} s", began.elapsed().as_secs_f32()),
        );
        self.command(format!("Shell> setvar {VARIABLE} -bs -rt -nv =\"{VALUE}\""));
        let set = guest.shell(&format!("setvar {VARIABLE} -bs -rt -nv =\"{VALUE}\""));
        self.lab(set)?;
        let data: String = BOOT_ENTRY_DATA.iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = guest.shell(&format!("setvar {BOOT_ENTRY} -bs -rt -nv ={data}"));
        self.lab(entry)?;
        self.guest = Some(guest);
        self.expect_variable("the guest reads its variable back at A")
    }

    pub(super) fn try_the_plain_way(&mut self) -> Result<()> {
        self.begin("the plain way to host B, with B's own files, really is tried and really fails");
        let (code, vars) = (self.b.code.clone(), self.b.new_vars("plain-vars.fd")?);
        let started = self.b.start(&code, &vars, true);
        let mut there = self.lab(started)?;
        let predicted = self.predict(&there)?;
        let uri = format!("unix:{}", self.b.vars("plain-stream").display());
        self.command("QMP: migrate-incoming at B, migrate at A, nothing else".into());
        let incoming = there
            .monitor()
            .execute("migrate-incoming", Some(json!({ "uri": uri })));
        self.lab(incoming.map_err(Into::into))?;
        let here = self.guest()?.monitor();
        let sent = here.execute("migrate", Some(json!({ "uri": uri })));
        self.lab(sent.map_err(Into::into))?;
        let ended = there.wait_for_end();
        self.lab(ended)?;
        let said = there.stderr();
        let said = said.lines().next().unwrap_or_default();
        let said = said
            .split_once(": ")
            .map_or(said, |(_program, words)| words)
            .to_owned();
        self.line(format!("we predicted: {predicted}"));
        self.line(format!("QEMU said:    {said}"));
        hold!(
            self,
            said == predicted,
            "QEMU refuses in the very words that were predicted"
        );
        let status = self.guest()?.status();
        let status = self.lab(status)?;
        hold!(self, status == "running", "the guest runs on at A");
        Ok(())
    }

    pub(super) fn carry_to_b(&mut self) -> Result<()> {
        self.begin("offer, prepare, migrate: the guest goes to B with its firmware");
        let vars = self.b.vars("vars.fd");
        let (there, prepared, migrated) = self.carry(Side::ToB, &vars)?;
        hold!(
            self,
            prepared.code.placeholder,
            "B did not have the build and got a placeholder of the right size"
        );
        self.measure("A to B, total", format!("{} ms", migrated.total_time_ms));
        self.measure("A to B, standing still", format!("{} ms", migrated.downtime_ms));
        self.measure("A to B, guest memory sent", format!("{} bytes", migrated.bytes));
        self.guest = Some(there);
        Ok(())
    }

    pub(super) fn reset_at_b(&mut self) -> Result<()> {
        self.begin("a warm reset at B: the same bytes, the variable still there");
        let guest = self.guest()?;
        let reset = guest.reset().and_then(|()| guest.boot_to_shell());
        self.lab(reset)?;
        let code = self.running_code()?;
        hold!(
            self,
            code == self.code,
            "after the reset B runs the bytes of A's build"
        );
        self.expect_variable("the variable is still there after the reset")
    }

    pub(super) fn return_to_a(&mut self) -> Result<()> {
        self.begin("A's copy of the firmware is deleted, and the guest goes back to A");
        let build = self.b.store.build(&self.code)?;
        let stored = build
            .ok_or_else(|| self.broken("B's store has the harvested build"))?
            .code
            .path;
        let (one, other) = (read(&stored)?, read(&self.a.code)?);
        hold!(
            self,
            one == other,
            "the build harvested at B equals A's file byte by byte"
        );
        self.measure(
            "harvested build",
            format!("{} bytes, sha256 {}", one.len(), self.code),
        );
        remove(&self.a.code)?;
        self.command(format!("rm {}", self.a.code.display()));
        let vars = self.a.vars("vars-again.fd");
        let (there, _, migrated) = self.carry(Side::ToA, &vars)?;
        self.measure("B to A, total", format!("{} ms", migrated.total_time_ms));
        self.measure("B to A, standing still", format!("{} ms", migrated.downtime_ms));
        self.guest = Some(there);
        self.expect_variable("the guest is back at A with its variable")
    }

    pub(super) fn move_to_the_other_layout(&mut self) -> Result<()> {
        self.begin("the guest is shut down, its varstore converted, and cold-booted on host B's own build");
        let guest = self.guest.take().ok_or_else(|| self.broken("the guest runs"))?;
        let ended = guest.quit();
        self.lab(ended)?;
        let (old, new) = (self.a.vars("vars-again.fd"), self.b.vars("converted.fd"));
        let like = self.b.vars_template.clone();
        self.command(format!(
            "flashmoor vars convert {} --like {} --output {}",
            old.display(),
            like.display(),
            new.display()
        ));
        let before = vars::list(&old, false)?;
        vars::convert(&vars::ConvertRequest {
            input: old,
            into: vars::ConvertTarget::Like(like),
            format: None,
            output: new.clone(),
            replace: false,
            even_if_in_use: false,
            journal: None,
            cache: None,
            dry_run: false,
        })?;
        let after = vars::list(&new, false)?;
        let same = |one: &VariableDocument, other: &VariableDocument| {
            (&one.name, &one.guid, one.attributes, &one.data)
                == (&other.name, &other.guid, other.attributes, &other.data)
        };
        let all = before
            .variables
            .iter()
            .all(|one| after.variables.iter().any(|other| same(one, other)));
        hold!(
            self,
            all && before.variables.len() == after.variables.len(),
            "every variable is in the converted store"
        );
        self.measure(
            "variables carried to the other layout",
            before.variables.len().to_string(),
        );
        let code = self.b.code.clone();
        let started = self.b.start(&code, &new, false);
        let mut guest = self.lab(started)?;
        let booted = guest.boot_to_shell();
        self.lab(booted)?;
        // Every boot makes entries for what it finds; the guest's own can only have come along.
        let entry = guest.shell(&format!("setvar {BOOT_ENTRY}"));
        let entry = self.lab(entry)?;
        let entries = guest.shell("bcfg boot dump");
        let entries = self.lab(entries)?;
        self.guest = Some(guest);
        hold!(
            self,
            shows(&entry, &BOOT_ENTRY_DATA) && entries.contains("Option: 00"),
            "the boot entries are there, the guest's own too"
        );
        self.expect_variable("host B's build boots on the converted store, and the variable is still there")
    }

    pub(super) fn finish(self) -> Demo {
        Demo {
            schema: fm_api::Schema::default(),
            held: self.held,
            measured: self.measured,
        }
    }

    /// Offer, prepare, start the destination, migrate, end the source.
    fn carry(&mut self, side: Side, vars: &Path) -> Result<(Guest, Prepared, Migration)> {
        let here = self.guest.take().ok_or_else(|| self.broken("the guest runs"))?;
        self.command(format!("flashmoor offer {} > offer.json", here.pid()));
        let began = Instant::now();
        let offer = offer::offer(&here.pid().to_string())?;
        self.measure(
            match side {
                Side::ToB => "offer, read from the running guest",
                Side::ToA => "offer, at B",
            },
            format!("{:.1} ms", began.elapsed().as_secs_f64() * 1000.0),
        );
        let host = match side {
            Side::ToA => &mut self.a,
            Side::ToB => &mut self.b,
        };
        let request = prepare::Request {
            offer,
            vars: Some(vars.to_owned()),
            replace: false,
        };
        let prepared = prepare::prepare(&host.store, &request)?;
        let started = host.start(&prepared.code.path, vars, true);
        let store = host.store.clone();
        self.command(format!("flashmoor prepare offer.json --vars {}", vars.display()));
        self.line(format!("CODE lands in {}", prepared.code.path.display()));
        let there = self.lab(started)?;
        self.command("flashmoor migrate SOURCE.qmp DESTINATION.qmp".into());
        let request = migrate::Request {
            source: here.qmp_socket(),
            destination: there.qmp_socket(),
            uri: None,
            expected_code: None,
            update: None,
            options: Options::default(),
        };
        let tell = &mut self.tell;
        let migrated = migrate::migrate(
            &store,
            &request,
            &AtomicBool::new(false),
            &mut |event| match event {
                Event::Progress(progress) if progress.total_bytes > 0 => tell(&DemoEvent::Line(format!(
                    "{}: {} of {} bytes left, pass {}",
                    progress.status, progress.remaining_bytes, progress.total_bytes, progress.pass
                ))),
                Event::Arrived { status } => tell(&DemoEvent::Line(format!("the guest is there, {status}"))),
                _ => {}
            },
        )?;
        hold!(
            self,
            migrated.code.verified,
            "the firmware that arrived is verified against the source's digest"
        );
        hold!(
            self,
            migrated.code.sha256 == Some(self.code),
            "it is the build of host A"
        );
        hold!(
            self,
            migrated.destination.status == RunState::Running,
            "the guest runs at its destination"
        );
        hold!(
            self,
            digest(&prepared.code.path)? == self.code,
            "the landing holds the true bytes, no zeros any more"
        );
        let ended = here.quit();
        self.lab(ended)?;
        Ok((there, prepared, migrated))
    }

    /// What QEMU will say to a migration to `there`, by our account.
    fn predict(&mut self, there: &Guest) -> Result<String> {
        let describe = |socket: PathBuf| {
            let mut client = Client::connect(&socket, monitor::QUESTION_TIMEOUT)?;
            monitor::describe(&mut client)
        };
        let from = describe(self.guest()?.qmp_socket()).map_err(migrate::Error::from)?;
        let to = describe(there.qmp_socket()).map_err(migrate::Error::from)?;
        let verdict = preflight::verdict(&from, &to)?;
        let refusal =
            preflight::refusal(&verdict).ok_or_else(|| self.broken("the plain way is predicted to fail"))?;
        let first = refusal
            .findings()
            .iter()
            .find_map(|finding| finding.qemu_message.clone());
        first.ok_or_else(|| self.broken("QEMU's message is predicted"))
    }

    fn expect_variable(&mut self, what: &str) -> Result<()> {
        let shown = self.guest()?.shell(&format!("setvar {VARIABLE}"));
        let shown = self.lab(shown)?;
        hold!(self, shows(&shown, VALUE.as_bytes()), "{what}");
        Ok(())
    }

    fn running_code(&mut self) -> Result<Sha256> {
        let guest = fm_host::find(&self.guest()?.pid().to_string())?;
        Ok(Sha256::of(&guest.read_flash(0)?))
    }

    fn guest(&mut self) -> Result<&mut Guest> {
        let step = self.step;
        self.guest.as_mut().ok_or_else(|| {
            Error::Broken {
                step,
                what: "the guest runs".into(),
            }
            .into()
        })
    }

    fn begin(&mut self, title: &'static str) {
        self.step += 1;
        (self.tell)(&DemoEvent::Step {
            number: self.step,
            title,
        });
    }

    fn command(&mut self, text: String) {
        (self.tell)(&DemoEvent::Command(text));
    }

    fn line(&mut self, text: String) {
        (self.tell)(&DemoEvent::Line(text));
    }

    fn measure(&mut self, what: &str, value: String) {
        self.measured.push(Measurement {
            what: what.into(),
            value,
        });
    }

    fn hold(&mut self, holds: bool, what: String) -> Result<()> {
        if !holds {
            return Err(self.broken(&what));
        }
        (self.tell)(&DemoEvent::Held(what.clone()));
        self.held.push(what);
        Ok(())
    }

    fn broken(&self, what: &str) -> crate::Error {
        Error::Broken {
            step: self.step,
            what: what.into(),
        }
        .into()
    }

    fn lab<T>(&self, result: Result<T, crate::GuestError>) -> Result<T> {
        result.map_err(|source| {
            Error::Lab {
                step: self.step,
                source,
            }
            .into()
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    ToA,
    ToB,
}

/// Whether the shell's hexadecimal dump shows `data`, whatever it puts between the bytes.
fn shows(dump: &str, data: &[u8]) -> bool {
    let wanted: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
    let found: String = dump.chars().filter(char::is_ascii_hexdigit).collect();
    found.to_uppercase().contains(&wanted)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| crate::Error::file("read", path, source))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|source| crate::Error::file("remove", path, source))
}

fn digest(path: &Path) -> Result<Sha256> {
    Ok(Sha256::of(&read(path)?))
}

fn length(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path);
    Ok(metadata
        .map_err(|source| crate::Error::file("read", path, source))?
        .len())
}
