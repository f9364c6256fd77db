//! Streams that real QEMUs write are read as those QEMUs say: blocks, counters, and firmware byte for byte.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fm_formats::stream::BlockKind;
use fm_jobs::stream::{Gathered, Request, StreamDocument, Streamed, gather};
use fm_lab::{Arch, Emulator, Guest, Machine, PATIENCE};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("flashmoor-e2e-")
        .tempdir()
        .unwrap()
}

fn qemu_10(arch: &str) -> Emulator {
    Emulator {
        program: fm_fixtures::qemu_10(arch),
        data_dirs: Vec::new(),
    }
}

fn copy(fixture: &str, to: PathBuf) -> PathBuf {
    fs::copy(fm_fixtures::path(fixture), &to).unwrap();
    to
}

fn execute(guest: &mut Guest, command: &str, arguments: Value) -> Value {
    guest.monitor().execute(command, Some(arguments)).unwrap()
}

/// Migrates to `uri` with these capabilities and parameters; QEMU's own counters at the end.
fn migrate(guest: &mut Guest, uri: &str, capabilities: &[&str], parameters: Value) -> Value {
    let set = |guest: &mut Guest, state: bool| {
        let list: Vec<_> = capabilities
            .iter()
            .map(|name| json!({ "capability": name, "state": state }))
            .collect();
        execute(guest, "migrate-set-capabilities", json!({ "capabilities": list }));
    };
    execute(guest, "migrate-set-parameters", parameters);
    set(guest, true);
    execute(guest, "migrate", json!({ "uri": uri }));
    let deadline = Instant::now() + PATIENCE;
    let counters = loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => break state["ram"].clone(),
            Some("failed") => panic!("{state}"),
            _ => {}
        }
        assert!(Instant::now() < deadline, "{state}");
        thread::sleep(Duration::from_millis(5));
    };
    set(guest, false);
    // QEMU sends a guest again only if it ran in between.
    guest.monitor().execute("cont", None).unwrap();
    guest.monitor().execute("stop", None).unwrap();
    counters
}

fn to_file(path: &Path) -> String {
    format!("exec:cat > '{}'", path.display())
}

fn read(path: &Path, channels: Vec<PathBuf>) -> (Gathered, StreamDocument) {
    let gathered = gather(&Request {
        path: path.to_owned(),
        channels,
        ..Request::default()
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
    let document = Streamed::new(&gathered).stream;
    assert!(document.complete, "{:?}", document.stopped);
    (gathered, document)
}

/// Name and length in use of every block, as `info ramblock` has them.
fn ram_blocks(guest: &mut Guest) -> Vec<(String, u64)> {
    let reply = guest.monitor().execute("x-query-ramblock", None).unwrap();
    let mut blocks: Vec<_> = reply["human-readable-text"]
        .as_str()
        .unwrap()
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let used = words.get(4)?.strip_prefix("0x")?;
            Some((words[0].to_owned(), u64::from_str_radix(used, 16).ok()?))
        })
        .collect();
    blocks.sort();
    blocks
}

fn assert_table(guest: &mut Guest, document: &StreamDocument) {
    let mut blocks: Vec<_> = document
        .blocks
        .iter()
        .map(|block| (block.name.clone(), block.size_bytes))
        .collect();
    blocks.sort();
    assert_eq!(blocks, ram_blocks(guest));
}

fn pages(document: &StreamDocument) -> (u64, u64) {
    let blocks = document.blocks.iter();
    blocks.fold((0, 0), |(data, zero), block| {
        (data + block.pages_data, zero + block.pages_zero)
    })
}

fn assert_counters(document: &StreamDocument, counters: &Value) {
    let (data, zero) = pages(document);
    assert_eq!(json!(data), counters["normal"], "pages sent whole");
    assert_eq!(json!(zero), counters["duplicate"], "zero pages");
    assert_eq!(json!(document.page_size_bytes), counters["page-size"]);
}

/// Both flash units hold what QEMU itself reads at their addresses.
fn assert_flash(guest: &mut Guest, gathered: &Gathered) {
    let mut end = 1 << 32;
    for kind in [BlockKind::Code, BlockKind::Vars] {
        let index = gathered.first_of(kind).unwrap();
        let bytes = gathered.bytes(index).unwrap();
        end -= bytes.len() as u64;
        let running = guest.read_physical(end, bytes.len() as u64).unwrap();
        assert!(bytes == running, "{kind:?} differs from what QEMU holds");
    }
}

/// A guest that booted to the shell and wrote variables, then paused: it can be sent again and again.
fn booted(emulator: Option<Emulator>, dir: &Path) -> Guest {
    let vars = copy("bookworm/OVMF_VARS_4M.fd", dir.join("vars.fd"));
    let mut machine = Machine::new(
        Arch::X86_64,
        &fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"),
        &vars,
    );
    machine.memory_mib = 96;
    if let Some(emulator) = emulator {
        machine.emulator = emulator;
    }
    let mut guest = Guest::start(&machine, &dir.join("guest")).unwrap();
    guest.boot_to_shell().unwrap();
    guest.shell("set flashmoor streams").unwrap();
    guest.monitor().execute("stop", None).unwrap();
    guest
}

/// Takes `channels` + 1 connections and writes each to a file; the main channel's first.
fn capture(dir: &Path, channels: usize) -> (String, mpsc::Receiver<Vec<PathBuf>>) {
    let socket = dir.join("capture");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let (done, files) = mpsc::channel();
    let folder = dir.to_owned();
    thread::spawn(move || {
        let copies: Vec<_> = (0..=channels)
            .map(|number| {
                let (mut connection, _) = listener.accept().unwrap();
                let path = folder.join(format!("channel-{number}"));
                thread::spawn(move || {
                    let mut file = File::create(&path).unwrap();
                    io::copy(&mut connection, &mut file).unwrap();
                    path
                })
            })
            .collect();
        let mut paths: Vec<_> = copies.into_iter().map(|copy| copy.join().unwrap()).collect();
        paths.sort_by_key(|path| !fs::read(path).unwrap().starts_with(b"QEVM"));
        let _ = done.send(paths);
    });
    (format!("unix:{}", socket.display()), files)
}

fn assert_multifd(guest: &mut Guest, dir: &Path, compression: &str, is_exact: bool) {
    let (uri, files) = capture(dir, 2);
    let parameters = json!({ "multifd-channels": 2, "multifd-compression": compression });
    let counters = migrate(guest, &uri, &["multifd"], parameters);
    let mut files = files.recv_timeout(PATIENCE).unwrap();
    let main = files.remove(0);
    let (gathered, document) = read(&main, files);
    assert_table(guest, &document);
    assert_flash(guest, &gathered);
    assert_eq!(document.channels.len(), 2);
    assert!(
        document
            .channels
            .iter()
            .all(|channel| channel.compression == compression)
    );
    if is_exact {
        assert_counters(&document, &counters);
    } else {
        // QEMU before 8.0 may queue a page twice and count it once.
        let (data, zero) = pages(&document);
        assert!(json!(data).as_u64() >= counters["normal"].as_u64());
        assert_eq!(json!(zero), counters["duplicate"]);
    }
    // Without its channels the capture is known to be one, and nothing of it passes for whole.
    let alone = gather(&Request {
        path: main,
        ..Request::default()
    })
    .unwrap();
    assert_eq!(alone.sha256(alone.first_of(BlockKind::Code).unwrap()), None);
}

#[test]
fn streams_of_the_systems_qemu_are_what_it_says_they_are() {
    let dir = folder();
    let mut guest = booted(None, dir.path());
    let path = dir.path().join("stream");
    let counters = migrate(&mut guest, &to_file(&path), &[], json!({}));
    let (gathered, document) = read(&path, Vec::new());
    assert_table(&mut guest, &document);
    assert_counters(&document, &counters);
    assert_flash(&mut guest, &gathered);
    assert!(document.devices.iter().any(|device| device.name == "timer"));
    for compression in ["none", "zlib", "zstd"] {
        assert_multifd(&mut guest, dir.path(), compression, false);
    }
}

#[test]
fn streams_of_qemu_10_are_what_it_says_they_are() {
    let dir = folder();
    let mut guest = booted(Some(qemu_10("x86_64")), dir.path());
    let path = dir.path().join("stream");
    let counters = migrate(&mut guest, &to_file(&path), &[], json!({}));
    let (gathered, document) = read(&path, Vec::new());
    assert_eq!(document.machine.as_deref(), Some("pc-q35-10.0"));
    assert_table(&mut guest, &document);
    assert_counters(&document, &counters);
    assert_flash(&mut guest, &gathered);
    for compression in ["none", "zlib", "zstd"] {
        assert_multifd(&mut guest, dir.path(), compression, true);
    }
    for capabilities in [&["mapped-ram"][..], &["mapped-ram", "multifd"]] {
        let mapped = dir.path().join("mapped");
        let _ = fs::remove_file(&mapped);
        let parameters = json!({ "multifd-compression": "none" });
        migrate(
            &mut guest,
            &format!("file:{}", mapped.display()),
            capabilities,
            parameters,
        );
        let (gathered, document) = read(&mapped, Vec::new());
        assert_eq!(document.capabilities, ["mapped-ram"]);
        assert_table(&mut guest, &document);
        assert_flash(&mut guest, &gathered);
        // The guest is stopped: every page is there or it is zero.
        let page = document.page_size_bytes;
        for block in &document.blocks {
            assert_eq!(
                block.pages_data + block.pages_zero,
                block.size_bytes.div_ceil(page),
                "{}",
                block.name
            );
        }
    }
}

#[test]
fn a_guest_of_many_devices_and_several_memory_blocks_is_read_block_by_block() {
    let dir = folder();
    let vars = copy("bookworm/OVMF_VARS.fd", dir.path().join("vars.fd"));
    let mut machine = Machine::new(Arch::X86_64, &fm_fixtures::path("bookworm/OVMF_CODE.fd"), &vars);
    machine.emulator = qemu_10("x86_64");
    machine.memory_mib = 96;
    machine.stopped = true;
    let machine = machine.with(&[
        "-smp",
        "2",
        "-object",
        "memory-backend-ram,id=m0,size=64M",
        "-object",
        "memory-backend-ram,id=m1,size=32M",
        "-numa",
        "node,nodeid=0,memdev=m0,cpus=0",
        "-numa",
        "node,nodeid=1,memdev=m1,cpus=1",
        "-device",
        "VGA",
        "-device",
        "virtio-net-pci",
        "-device",
        "virtio-scsi-pci",
        "-device",
        "virtio-rng-pci",
    ]);
    let mut guest = Guest::start(&machine, &dir.path().join("guest")).unwrap();
    let path = dir.path().join("stream");
    let counters = migrate(&mut guest, &to_file(&path), &[], json!({}));
    let (gathered, document) = read(&path, Vec::new());
    assert_table(&mut guest, &document);
    assert_counters(&document, &counters);
    assert_flash(&mut guest, &gathered);
    for name in ["m0", "m1"] {
        assert!(document.blocks.iter().any(|block| block.name == name), "{name}");
    }
    let roms: Vec<_> = document
        .blocks
        .iter()
        .filter(|block| block.kind == "option_rom")
        .collect();
    assert!(
        roms.iter().any(|rom| rom.name.ends_with("/virtio-net-pci.rom")),
        "{roms:?}"
    );
    assert!(roms.iter().all(|rom| rom.sha256.is_some()), "{roms:?}");
    for name in ["virtio-net", "virtio-scsi", "virtio-rng"] {
        assert!(
            document.devices.iter().any(|device| device.name.ends_with(name)),
            "{name}"
        );
    }
}

#[test]
fn aarch64_guests_are_read_like_any_other() {
    for emulator in [Emulator::system(Arch::Aarch64), qemu_10("aarch64")] {
        let dir = folder();
        let vars = copy("bookworm/AAVMF_VARS.fd", dir.path().join("vars.fd"));
        let code = fm_fixtures::path("bookworm/AAVMF_CODE.fd");
        let mut machine = Machine::new(Arch::Aarch64, &code, &vars);
        machine.emulator = emulator;
        machine.stopped = true;
        let mut guest = Guest::start(&machine, &dir.path().join("guest")).unwrap();
        let path = dir.path().join("stream");
        let counters = migrate(&mut guest, &to_file(&path), &[], json!({}));
        let (gathered, document) = read(&path, Vec::new());
        assert_table(&mut guest, &document);
        assert_counters(&document, &counters);
        for (kind, address) in [(BlockKind::Code, 0), (BlockKind::Vars, 64 << 20)] {
            let bytes = gathered.bytes(gathered.first_of(kind).unwrap()).unwrap();
            assert_eq!(bytes.len(), 64 << 20);
            assert!(
                bytes == guest.read_physical(address, 64 << 20).unwrap(),
                "{kind:?}"
            );
        }
    }
}
