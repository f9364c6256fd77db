//! What a guest writes to its variables while it migrates is never left behind without a word, as QEMU by itself
//! does (`hw/block/pflash_cfi01.c` marks no page dirty).

use std::process::{Command, Stdio};

use fm_e2e::bed::script_disk;
use fm_e2e::{Bench, document, stderr};
use fm_fixtures::Patience;
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_lab::{Arch, Guest, Machine, PATIENCE};
use fm_varstore::VarStore;
use serde_json::json;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const MINE: &str = "4f3a1d52-6c0b-4b57-9a55-0f2f5d3c7e11";

/// A guest whose firmware counts in a variable, as fast as it can.
fn machine(bench: &Bench, name: &str, code: std::path::PathBuf, vars: std::path::PathBuf) -> Machine {
    let script =
        format!("for %i run (1000 9999)\r\n  setvar Count -guid {MINE} -bs -rt -nv =%i\r\nendfor\r\n");
    let disk = bench.path(&format!("{name}.img"));
    std::fs::write(&disk, script_disk(&script)).unwrap();
    let drive = format!("if=virtio,format=raw,readonly=on,file={}", disk.display());
    Machine::new(Arch::X86_64, &code, &vars).with(&["-drive", &drive])
}

fn destination(bench: &mut Bench, name: &str) -> Guest {
    let code = bench.zeros(&format!("{name}-code.fd"), 3_653_632);
    let vars = bench.zeros(&format!("{name}-vars.fd"), 540_672);
    let machine = machine(bench, name, code, vars).incoming();
    bench.start(&machine)
}

fn migrate(bench: &Bench, source: &Guest, destination: &Guest) -> Command {
    let mut command = bench.flashmoor();
    command
        .args(["--json", "migrate"])
        .arg(source.qmp_socket())
        .arg(destination.qmp_socket());
    command
}

/// How far the guest has counted, by what is in its memory.
fn count(guest: &Guest) -> Option<u32> {
    let guest = fm_host::find(&guest.pid().to_string()).unwrap();
    let bytes = guest.read_flash(1).unwrap();
    let name = Name::from_units("Count".encode_utf16());
    let store = VarStore::parse(&bytes).ok()?;
    let data = store.variable(Guid::literal(MINE), &name)?.data;
    data.iter()
        .try_fold(0, |number, byte| format!("{number}{byte:02x}").parse().ok())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut patience = Patience::new(PATIENCE);
    while !holds() {
        patience.rest(|| what.to_owned());
    }
}

#[test]
fn variables_written_after_vars_was_sent_call_the_migration_off_and_a_guest_stopped_first_loses_none() {
    let mut bench = Bench::new();
    let vars = bench.copy("bookworm/OVMF_VARS_4M.fd", "vars.fd");
    let machine = machine(&bench, "source", fm_fixtures::path(CODE), vars);
    let mut source = bench.start(&machine);
    source.boot_to_script().unwrap();
    wait_until("the guest's first count", || count(&source).is_some());

    // What may be left for the switchover is less than a page, and this guest dirties some all the time: the
    // migration does not end before it is given more.
    let first = destination(&mut bench, "first");
    let child = migrate(&bench, &source, &first)
        .args(["--bandwidth", "2500K", "--downtime-limit", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("VARS to arrive", || count(&first).is_some());
    wait_until("the guest to write on", || count(&source) > count(&first));
    let faster = json!({ "max-bandwidth": 1 << 30, "downtime-limit": 300 });
    source
        .monitor()
        .execute("migrate-set-parameters", Some(faster))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the guest wrote variables while it migrated"),
        "{said}"
    );
    assert!(said.contains("--stop-first"), "{said}");
    let after = count(&source);
    wait_until("the guest to go on", || count(&source) > after);
    drop(first);

    let second = destination(&mut bench, "second");
    let output = migrate(&bench, &source, &second)
        .arg("--stop-first")
        .output()
        .unwrap();
    let migrated = document(&output);
    assert_eq!(migrated["code"]["verified"], true);
    assert_eq!(migrated["destination"]["status"], "running");
    let left = count(&source);
    assert!(count(&second) >= left, "{:?} arrived of {left:?}", count(&second));
    wait_until("the guest to go on", || count(&second) > left);
}
