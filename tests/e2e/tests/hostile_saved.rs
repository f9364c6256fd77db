//! The kernel ends or hinders those who take a guest's firmware from what arrived: `saved adopt` from the image of a saved
//! guest, `harvest` from a guest that landed. The guest and what was saved of it are kept, and the next command goes on.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use fm_e2e::moments::{Verb, digest, every_moment, store_is_whole, with};
use fm_e2e::{Bench, document};
use fm_fixtures::Patience;
use fm_lab::{Arch, Guest, Machine, PATIENCE};
use fm_stream::save_image::SaveImage;
use serde_json::json;

const CODE: &str = "bookworm/OVMF_CODE_4M.fd";
const VARS: &str = "bookworm/OVMF_VARS_4M.fd";
/// Where the saved guest's variables lie; libvirt made them, and they are gone.
const NVRAM: &str = "/no/such/folder/shop.fd";
/// libvirt's header before the XML (libvirt `src/qemu/qemu_saveimage.h`, `virQEMUSaveHeader`).
const HEADER_BYTES: usize = 92;

fn execute(guest: &mut Guest, command: &str, arguments: serde_json::Value) -> serde_json::Value {
    let done = guest.monitor().execute(command, Some(arguments));
    done.unwrap_or_else(|error| panic!("{command}: {error}; {}", guest.stderr()))
}

/// A guest that has not run yet, small enough to be sent often.
fn machine(code: &Path, vars: &Path) -> Machine {
    Machine {
        stopped: true,
        memory_mib: 16,
        ..Machine::new(Arch::X86_64, code, vars)
    }
}

/// The stream of a guest, into a file.
fn save(guest: &mut Guest, stream: &Path) {
    let uri = format!("exec:cat > '{}'", stream.display());
    execute(guest, "migrate", json!({ "uri": uri }));
    let mut patience = Patience::new(PATIENCE);
    loop {
        let state = execute(guest, "query-migrate", json!({}));
        match state["status"].as_str() {
            Some("completed") => return,
            Some("failed") => panic!("{state}"),
            _ => patience.rest(|| state.to_string()),
        }
    }
}

/// A save image of libvirt's around a real stream, its firmware at a path that is gone, with no room for a longer one.
fn save_image(stream: &[u8]) -> Vec<u8> {
    let xml = format!(
        "<domain type='qemu'><name>shop</name><uuid>1a2b3c4d-0000-4000-8000-000000000001</uuid>\
         <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\
         <loader readonly='yes' type='pflash'>/usr/share/OVMF/gone.fd</loader>\
         <nvram template='/no/such/OVMF_VARS.fd'>{NVRAM}</nvram></os></domain>\0"
    );
    let mut image = b"LibvirtQemudSave".to_vec();
    for word in [2, u32::try_from(xml.len()).unwrap(), 1, 0, 0] {
        image.extend(word.to_le_bytes());
    }
    image.resize(HEADER_BYTES, 0);
    image.extend(xml.as_bytes());
    image.extend(stream);
    image
}

/// The XML and the stream of an image.
fn parts(image: &[u8]) -> (String, &[u8]) {
    let header = SaveImage::parse(image).unwrap();
    let (xml, _) = header.split(&image[HEADER_BYTES..]);
    let stream = usize::try_from(header.stream_offset()).unwrap();
    (String::from_utf8(xml.to_vec()).unwrap(), &image[stream..])
}

#[test]
fn a_saved_guest_is_adopted_or_as_it_was_saved_and_its_memory_is_never_touched() {
    let mut bench = Bench::new();
    let vars = bench.copy(VARS, "VARS.fd");
    let mut guest = bench.start(&machine(&fm_fixtures::path(CODE), &vars));
    let file = bench.path("stream");
    save(&mut guest, &file);
    guest.quit().unwrap();
    let stream = fs::read(file).unwrap();
    let saved = save_image(&stream);
    let (xml_before, _) = parts(&saved);
    let loader = |folder: &Path| folder.join(format!("store/builds/sha256-{}/CODE.fd", digest(CODE)));
    let is_adopted = |folder: &Path| {
        let image = fs::read(folder.join("shop.save")).unwrap();
        parts(&image).0.contains(loader(folder).to_str().unwrap())
    };
    every_moment(&Verb {
        name: "saved adopt",
        makes_new: false,
        clears_away: true,
        prepare: &|folder| fs::write(folder.join("shop.save"), &saved).unwrap(),
        command: &|folder| {
            with(
                folder,
                &["saved", "adopt", folder.join("shop.save").to_str().unwrap()],
            )
        },
        holds: &|folder, context| {
            store_is_whole(folder, context);
            let image = fs::read(folder.join("shop.save")).unwrap();
            let (xml, rest) = parts(&image);
            assert!(rest == stream, "{context}: the guest's state is another");
            let before = folder.join("shop.save.before-adopt.xml");
            let template = folder.join("shop.save.vars.fd");
            if is_adopted(folder) {
                assert_eq!(
                    fs::read(loader(folder)).unwrap(),
                    fm_fixtures::bytes(CODE),
                    "{context}"
                );
                assert_eq!(fs::read_to_string(&before).unwrap(), xml_before, "{context}");
                assert!(xml.contains(template.to_str().unwrap()), "{context}: {xml}");
            } else {
                assert!(image == saved, "{context}: neither adopted nor as it was");
            }
            // What lies beside the image is whole or not there.
            for (path, whole) in [
                (before, xml_before.as_bytes()),
                (template, &fm_fixtures::bytes(VARS)[..]),
            ] {
                assert!(
                    !path.exists() || fs::read(&path).unwrap() == whole,
                    "{context}: {} is torn",
                    path.display()
                );
            }
            let extra = fs::read_dir(folder).unwrap().flatten();
            let extra = extra.filter(|entry| entry.file_name().to_string_lossy().ends_with(".2"));
            assert_eq!(extra.count(), 0, "{context}: kept twice");
        },
        is_done: &is_adopted,
    });
}

/// A guest that has landed in a store and has not been harvested.
struct Landed {
    guest: Guest,
    landing: String,
    file: PathBuf,
}

#[test]
fn what_landed_is_stored_and_settled_or_waits_for_the_next_harvest() {
    let mut bench = Bench::new();
    let vars = bench.copy(VARS, "VARS.fd");
    let mut source = bench.start(&machine(&fm_fixtures::path(CODE), &vars));
    let offer = document(
        &bench
            .flashmoor()
            .args(["--json", "offer", &source.pid().to_string()])
            .output()
            .unwrap(),
    );
    let offered = bench.path("offer.json");
    fs::write(&offered, offer.to_string()).unwrap();
    let stream = bench.path("stream");
    save(&mut source, &stream);
    source.quit().unwrap();

    let landed: RefCell<Option<Landed>> = RefCell::new(None);
    // The next one arrives when the one before it is gone: one guest at a time.
    let arrive = |folder: &Path| {
        landed.take();
        let words = [
            "--json",
            "prepare",
            offered.to_str().unwrap(),
            "--vars",
            folder.join("vars.fd").to_str().unwrap(),
        ]
        .map(str::to_owned);
        let prepared = document(&with(folder, &words).output().unwrap());
        assert_eq!(prepared["code"]["placeholder"], true, "{prepared}");
        let file = PathBuf::from(prepared["code"]["path"].as_str().unwrap());
        let machine = Machine {
            stopped: false,
            ..machine(&file, &folder.join("vars.fd")).incoming()
        };
        let mut guest = Guest::start(&machine, &folder.join("g")).unwrap();
        let uri = format!("exec:cat '{}'", stream.display());
        execute(&mut guest, "migrate-incoming", json!({ "uri": uri }));
        let mut patience = Patience::new(PATIENCE);
        while guest.status().unwrap() == "inmigrate" {
            patience.rest(|| guest.stderr());
        }
        landed.replace(Some(Landed {
            guest,
            landing: prepared["landing"].as_str().unwrap().to_owned(),
            file,
        }));
    };
    let landing = |folder: &Path| {
        let list = document(&with(folder, &["--json", "store", "landings"]).output().unwrap());
        let landings = list["landings"].as_array().unwrap().clone();
        assert_eq!(landings.len(), 1, "{list}");
        landings[0].clone()
    };
    every_moment(&Verb {
        name: "harvest",
        makes_new: false,
        clears_away: true,
        prepare: &arrive,
        command: &|folder| {
            let pid = landed.borrow().as_ref().unwrap().guest.pid().to_string();
            with(folder, &["harvest", &pid])
        },
        holds: &|folder, context| {
            store_is_whole(folder, context);
            let mut landed = landed.borrow_mut();
            let landed = landed.as_mut().unwrap();
            assert!(landed.guest.is_alive(), "{context}: {}", landed.guest.stderr());
            let landing = landing(folder);
            assert_eq!(landing["id"], landed.landing.as_str(), "{context}");
            let bytes = fs::read(&landed.file).unwrap();
            match landing["placeholder"].as_bool() {
                Some(false) => assert!(
                    bytes == fm_fixtures::bytes(CODE),
                    "{context}: settled with others"
                ),
                // The file comes before the record that says so.
                _ => assert!(
                    bytes.iter().all(|byte| *byte == 0) || bytes == fm_fixtures::bytes(CODE),
                    "{context}: torn"
                ),
            }
        },
        is_done: &|folder| landing(folder)["placeholder"] == false,
    });
    drop(landed);
}
