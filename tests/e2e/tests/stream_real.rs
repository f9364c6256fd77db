//! Streams that real QEMUs write are read as those QEMUs say: blocks, counters, and firmware byte for byte.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fm_api::v1::stream::StreamDocument;
use fm_fixtures::Patience;
use fm_lab::{Arch, Emulator, Guest, Machine, PATIENCE};
use fm_saved as saved;
use fm_saved::Extract;
use fm_saved::stream::{self, Gathered, Request, Stopped, gather};
use fm_stream::BlockKind;
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
    let mut patience = Patience::new(PATIENCE);
    let counters = loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => break state["ram"].clone(),
            Some("failed") => panic!("{state}"),
            _ => {}
        }
        patience.rest(|| state.to_string());
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
    let document = stream::document(&gathered);
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
    let mut guest = fm_e2e::booted::booted(&machine, &dir.join("guest"));
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
    let (gathered, document) = read(&main, files.clone());
    assert_table(guest, &document);
    assert_flash(guest, &gathered);
    assert_eq!(document.channels.len(), 2);
    assert!(
        document
            .channels
            .iter()
            .all(|channel| channel.compression.name() == compression)
    );
    if is_exact {
        assert_counters(&document, &counters);
    } else {
        // QEMU before 8.0 may queue a page twice and count it once.
        let (data, zero) = pages(&document);
        assert!(json!(data).as_u64() >= counters["normal"].as_u64());
        assert_eq!(json!(zero), counters["duplicate"]);
    }
    // Without all of its channels nothing of it passes for whole.
    let of = |channels: &[PathBuf]| {
        gather(&Request {
            path: main.clone(),
            channels: channels.to_vec(),
            ..Request::default()
        })
    };
    let alone = of(&[]).unwrap();
    assert_eq!(alone.sha256(alone.first_of(BlockKind::Code).unwrap()), None);
    assert!(alone.stopped.is_some());
    for one in &files {
        let missing = of(std::slice::from_ref(one)).unwrap().stopped.unwrap();
        assert!(
            matches!(missing, Stopped::NoChannel { .. } | Stopped::Packets { .. }),
            "{missing}"
        );
        of(&[one.clone(), one.clone()]).unwrap_err();
    }
    if compression == "none" {
        let thinned: Vec<_> = files
            .iter()
            .map(|path| without_every_second_packet(path))
            .collect();
        let missing = of(&thinned).unwrap().stopped.unwrap();
        assert!(matches!(missing, Stopped::Packets { .. }), "{missing}");
    }
    let bytes = fs::read(&files[1]).unwrap();
    fs::write(dir.join("cut"), &bytes[..bytes.len() - 2000]).unwrap();
    let cut = of(&[files[0].clone(), dir.join("cut")]).unwrap();
    let stopped = cut.stopped.as_ref().unwrap();
    assert!(matches!(stopped, Stopped::Channel { .. }), "{stopped}");
    assert!(stopped.offset() > bytes.len() as u64 - 600_000, "{stopped}");
    assert_eq!(stream::document(&cut).blocks.len(), document.blocks.len());
}

/// A plain channel in which whole packets of pages are missing. Source: QEMU `migration/multifd.h`.
fn without_every_second_packet(path: &Path) -> PathBuf {
    let bytes = fs::read(path).unwrap();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut kept, mut at, mut with_pages) = (bytes[..64].to_vec(), 64, 0);
    while at < bytes.len() {
        let pages = word(at + 16);
        let end = at + 320 + 8 * 128 + pages * 4096;
        with_pages += usize::from(pages > 0);
        if pages == 0 || with_pages % 2 == 0 {
            kept.extend(&bytes[at..end]);
        }
        at = end;
    }
    let thinned = path.with_extension("thin");
    fs::write(&thinned, kept).unwrap();
    thinned
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
    // Gone since QEMU 9.1, but streams of that time are not.
    migrate(&mut guest, &to_file(&path), &["compress"], json!({}));
    let (gathered, document) = read(&path, Vec::new());
    assert!(
        document.features.contains(&"compress".into()),
        "{:?}",
        document.features
    );
    assert_flash(&mut guest, &gathered);
}

#[test]
fn pages_sent_as_differences_come_out_as_the_guest_has_them() {
    let dir = folder();
    // Without KVM, QEMU 7.2 was seen to send nothing of what a guest writes after the first round; 10.0 sends it.
    let mut guest = booted(Some(qemu_10("x86_64")), dir.path());
    guest.monitor().execute("cont", None).unwrap();
    let capabilities = json!({ "capabilities": [{ "capability": "xbzrle", "state": true }] });
    execute(&mut guest, "migrate-set-capabilities", capabilities);
    // As slow as this, a round is never small enough to be the last, as long as the guest does anything.
    let parameters = json!({
        "downtime-limit": 1,
        "max-bandwidth": 12 << 20,
        "xbzrle-cache-size": 64 << 20,
    });
    execute(&mut guest, "migrate-set-parameters", parameters);
    let path = dir.path().join("stream");
    execute(&mut guest, "migrate", json!({ "uri": to_file(&path) }));
    // The guest may not end before it was slowed down.
    let mut patience = Patience::watching(PATIENCE, Duration::from_millis(5));
    // QEMU also counts pages that turn out as they were, which it does not send, and those whose difference is too
    // large, which it sends whole (`migration/ram.c`, `save_xbzrle_page`).
    let counter = |state: &Value, name: &str| state["xbzrle-cache"][name].as_u64().unwrap_or_default();
    let counted = |state: &Value| counter(state, "pages") - counter(state, "overflow");
    let prompts = |guest: &Guest| guest.serial.transcript().matches("Shell> ").count();
    let (mut is_slow, mut may_end, mut answered) = (false, false, 0);
    let state = loop {
        let state = guest.monitor().execute("query-migrate", None).unwrap();
        match state["status"].as_str() {
            Some("completed") => break state,
            Some("failed") => panic!("{state}"),
            _ => {}
        }
        // The first round sends everything; after it few pages change, and they shall change again and again.
        if !is_slow && state["ram"]["dirty-sync-count"].as_u64() > Some(1) {
            execute(
                &mut guest,
                "migrate-set-parameters",
                json!({ "max-bandwidth": 400_000 }),
            );
            is_slow = true;
        }
        // A shell that waits writes next to nothing. Nobody waits for the answer: the guest may stand by then.
        if !may_end && prompts(&guest) > answered {
            answered = prompts(&guest);
            guest.serial.send("ver\r").unwrap();
        }
        if !may_end && counted(&state) > 40 {
            let parameters = json!({ "downtime-limit": 60_000, "max-bandwidth": 1 << 30 });
            execute(&mut guest, "migrate-set-parameters", parameters);
            may_end = true;
        }
        patience.rest(|| state.to_string());
    };
    let memory = dir.path().join("memory");
    let input = Request {
        path: path.clone(),
        ..Request::default()
    };
    saved::extract(&Extract {
        input,
        blocks: vec![("pc.ram".into(), memory.clone())],
        ..Extract::default()
    })
    .unwrap();
    let (gathered, document) = read(&path, Vec::new());
    let pages: u64 = document.blocks.iter().map(|block| block.pages_xbzrle).sum();
    // The memory below shows that none is missing.
    let most = counted(&state);
    assert!(0 < pages && pages <= most, "{pages} of {most}: {state}");
    assert_counters(&document, &state["ram"]);
    assert_flash(&mut guest, &gathered);
    let (sent, size) = (fs::read(&memory).unwrap(), 96 << 20);
    assert_eq!(sent.len(), size);
    // Between 640 KiB and 1 MiB the guest sees other blocks.
    for (start, end) in [(0, 0xa_0000), (0x10_0000, size)] {
        let held = guest.read_physical(start as u64, (end - start) as u64).unwrap();
        assert!(sent[start..end] == held, "memory from {start:#x} differs");
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
        for block in &document.blocks {
            let is_firmware = ["code", "vars", "bios", "option_rom"].contains(&block.kind.name());
            assert_eq!(block.sha256.is_some(), is_firmware, "{}", block.name);
        }
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
    let disk = dir.path().join("disk.qcow2");
    let created = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&disk)
        .arg("64M")
        .status();
    assert!(created.unwrap().success());
    let node = format!(
        "qcow2,node-name=disk,file.driver=file,file.filename={}",
        disk.display()
    );
    let machine = machine.with(&[
        "-blockdev",
        &node,
        "-device",
        "virtio-blk-pci,drive=disk",
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
        .filter(|block| block.kind.name() == "option_rom")
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
    // A section of the disk's bitmap comes between those of RAM, and does not say how long it is.
    execute(
        &mut guest,
        "block-dirty-bitmap-add",
        json!({ "node": "disk", "name": "changed" }),
    );
    let counters = migrate(&mut guest, &to_file(&path), &["dirty-bitmaps"], json!({}));
    let (gathered, document) = read(&path, Vec::new());
    assert!(
        document
            .notes
            .iter()
            .any(|note| note.text.contains("dirty-bitmap")),
        "{:?}",
        document.notes
    );
    assert_counters(&document, &counters);
    assert_flash(&mut guest, &gathered);
    assert!(!document.devices.is_empty());
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
        let mut parameters = vec![json!({})];
        if machine.emulator != Emulator::system(Arch::Aarch64) {
            // QEMU 9.0 and later send zero pages whole if they are told to.
            parameters.push(json!({ "zero-page-detection": "none" }));
        }
        for parameters in parameters {
            let counters = migrate(&mut guest, &to_file(&path), &[], parameters);
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
}
