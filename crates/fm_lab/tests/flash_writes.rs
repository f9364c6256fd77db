//! What QEMU traces of a guest's writes to its flash is what it leaves in the file.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use fm_fixtures::Patience;
use fm_lab::{Arch, FlashWrites, Guest, Machine, PATIENCE};

/// A guest whose first boot formats or fills its store, and the files of it.
struct Traced {
    folder: tempfile::TempDir,
    arch: Arch,
    before: Vec<u8>,
}

impl Traced {
    fn new(arch: Arch, vars: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let before = fs::read(fm_fixtures::path(vars)).unwrap();
        fs::write(folder.path().join("vars.fd"), &before).unwrap();
        Self { folder, arch, before }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, code: &Path) -> Guest {
        let machine = Machine::new(self.arch, code, &self.path("vars.fd")).tracing_flash(&self.path("trace"));
        Guest::start(&machine, &self.path("run")).unwrap()
    }

    fn left(&self) -> Vec<u8> {
        fs::read(self.path("vars.fd")).unwrap()
    }

    fn writes(&self) -> FlashWrites {
        let trace = File::open(self.path("trace")).unwrap();
        FlashWrites::from_trace(&mut BufReader::new(trace), self.arch.vars_device()).unwrap()
    }

    fn replayed(&self, writes: &FlashWrites, count: u64) -> Vec<u8> {
        let mut file = self.before.clone();
        writes.replay(&mut file, count).unwrap();
        file
    }
}

fn all_writes_give_the_file(arch: Arch, code: &str, vars: &str) {
    let traced = Traced::new(arch, vars);
    let mut guest = traced.start(&fm_fixtures::path(code));
    guest.boot_to_shell().unwrap();
    guest.shell("setvar Traced -bs -rt -nv =464d").unwrap();
    guest.quit().unwrap();
    let (writes, left) = (traced.writes(), traced.left());
    assert_ne!(left, traced.before);
    assert!(traced.replayed(&writes, writes.count()) == left);
    // Without the last write it is another file: none of them is made up.
    assert!(traced.replayed(&writes, writes.count() - 1) != left);
}

#[test]
fn all_writes_of_a_trace_give_the_file_that_qemu_left() {
    all_writes_give_the_file(Arch::X86_64, "bookworm/OVMF_CODE.fd", "bookworm/OVMF_VARS.fd");
}

#[test]
fn writes_through_the_buffer_give_the_file_that_qemu_left() {
    all_writes_give_the_file(
        Arch::Aarch64,
        "trixie/AAVMF_CODE.no-secboot.fd",
        "trixie/AAVMF_VARS.fd",
    );
}

#[test]
fn a_qemu_that_is_killed_leaves_the_writes_of_its_trace() {
    let traced = Traced::new(Arch::X86_64, "bookworm/OVMF_VARS.fd");
    let guest = traced.start(&fm_fixtures::path("bookworm/OVMF_CODE.fd"));
    // The first boot writes some ten thousand bytes, a line each.
    let mut patience = Patience::new(PATIENCE);
    while fs::metadata(traced.path("trace")).map_or(0, |file| file.len()) < 100_000 {
        patience.rest(|| "the guest writes nothing".into());
    }
    guest.kill();
    // The last line may be cut, and its write not be done.
    let trace = fs::read(traced.path("trace")).unwrap();
    let end = trace.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let writes = FlashWrites::from_trace(&mut &trace[..end], traced.arch.vars_device()).unwrap();
    let left = traced.left();
    let count = writes.count();
    assert!(count > 1000, "{count}");
    assert!(
        (count - 1..=count).any(|count| traced.replayed(&writes, count) == left),
        "{count} writes are traced"
    );
}
