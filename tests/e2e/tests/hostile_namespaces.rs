//! Mount namespaces: a guest that sees the store elsewhere is seen all the same, and a libvirt that sees another system is
//! not taken for this one's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use fm_e2e::bed::Bed;
use fm_e2e::moments::{digest, must, with};
use fm_e2e::{Bench, document, flashmoor};
use fm_lab::{Arch, Emulator, Machine};

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";

/// QEMU in a mount namespace of its own, where `builds` lies at `elsewhere` and the store at its path is empty.
fn contained(bench: &Bench, elsewhere: &Path) -> Emulator {
    let program = bench.path("qemu-system-x86_64");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount --make-rprivate / && mount --bind \"{store}/builds\" \"{elsewhere}\" && \
         mount -t tmpfs none \"{store}\" && exec qemu-system-x86_64 \"$@\"' sh \"$@\"\n",
        store = bench.path("store").display(),
        elsewhere = elsewhere.display(),
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Emulator {
        program,
        data_dirs: Vec::new(),
    }
}

#[test]
fn a_guest_with_the_store_in_a_mount_namespace_of_its_own_keeps_its_build() {
    let mut bench = Bench::new();
    let folder = bench.path("");
    must(
        &folder,
        &["store", "import", fm_fixtures::path(CODE).to_str().unwrap()],
    );
    let elsewhere = bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let inside = elsewhere.join(format!("sha256-{}/CODE.fd", digest(CODE)));
    let vars = bench.copy(VARS, "VARS.fd");
    let guest = bench.start(&Machine {
        emulator: contained(&bench, &elsewhere),
        stopped: true,
        memory_mib: 64,
        ..Machine::new(Arch::X86_64, &inside, &vars)
    });
    assert!(
        !inside.exists(),
        "it is to be seen in the guest's namespace alone"
    );
    let collect = || {
        let words = ["--json", "store", "gc", "--placeholder-hours", "0"];
        document(&with(&folder, &words).output().unwrap())
    };
    let collected = collect();
    assert_eq!(collected["removed"], serde_json::json!([]), "{collected:#}");
    let reasons = collected["kept"][0]["reasons"].to_string();
    assert!(reasons.contains(&guest.pid().to_string()), "{collected:#}");
    guest.kill();
    let collected = collect();
    assert_eq!(
        collected["removed"][0]["id"],
        digest(CODE).as_str(),
        "{collected:#}"
    );
}

/// The libvirt daemons of this machine that have another `/etc/libvirt` than we.
fn daemons_elsewhere() -> Vec<u64> {
    let id = |path: &Path| {
        let status = fs::metadata(path).ok()?;
        Some((status.dev(), status.ino()))
    };
    let ours = id(Path::new("/etc/libvirt"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            let theirs = id(&process.path().join("root/etc/libvirt"));
            (name.trim() == "libvirtd" && theirs != ours).then_some(pid)
        })
        .collect()
}

#[test]
fn a_libvirt_in_another_mount_namespace_is_not_blamed_for_this_systems_hook() {
    let bed = Bed::new();
    bed.a.install_flashmoor(false);
    let elsewhere = daemons_elsewhere();
    assert!(elsewhere.len() >= 2, "those of the bed: {elsewhere:?}");
    let folder = tempfile::tempdir().unwrap();
    let status = |mut command: std::process::Command| {
        // Its exit status says whether all is well, which is not asked here.
        let said = command.args(["--json", "libvirt", "status"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    let mut ours = flashmoor();
    ours.arg("--store").arg(folder.path());
    let ours = status(ours);
    let blamed = ours["daemons"].as_array().unwrap().iter();
    let blamed: Vec<_> = blamed.filter_map(|daemon| daemon["pid"].as_u64()).collect();
    assert!(!blamed.iter().any(|pid| elsewhere.contains(pid)), "{ours:#}");
    // Its own it knows, and that it was started after the hook was there.
    let theirs = status(bed.a.flashmoor());
    let daemons = theirs["daemons"].as_array().unwrap();
    assert_eq!(daemons.len(), 1, "{theirs:#}");
    assert_eq!(daemons[0]["older_than_hook"], false, "{theirs:#}");
}
