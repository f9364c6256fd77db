//! Streams and saved guests as their users meet them: files, pipes, save images, whole and cut short.

mod saved_bytes;

use saved_bytes::*;
use serde_json::Value;

#[test]
fn a_stream_is_shown_with_its_blocks_and_its_build_from_a_file_and_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = stream();
    let file = write(folder.path(), "guest.mig", &bytes);
    let from_file = json(flashmoor().arg("inspect").arg(&file));
    assert_eq!(from_file["kind"], "migration_stream");
    assert_eq!(from_file["size_bytes"], bytes.len());
    let stream = &from_file["stream"];
    for (field, value) in [
        ("version", Value::from(3)),
        ("machine", "pc-q35-7.2".into()),
        ("complete", true.into()),
        ("page_size_bytes", 4096.into()),
        ("capabilities", Value::Array(Vec::new())),
        ("devices", Value::Array(Vec::new())),
    ] {
        assert_eq!(stream[field], value, "{field}");
    }
    let [memory, code, vars] = stream["blocks"].as_array().unwrap().as_slice() else {
        panic!("{stream}");
    };
    assert_eq!(memory["name"], "pc.ram");
    assert_eq!(
        (&memory["pages_data"], &memory["pages_zero"]),
        (&0.into(), &16.into())
    );
    assert!(memory["sha256"].is_null(), "memory is not hashed");
    assert_eq!(
        (&code["name"], &code["size_bytes"]),
        (&"system.flash0".into(), &0x1e_0000.into())
    );
    assert_eq!(
        (&code["sha256"], &vars["sha256"]),
        (&digest(CODE).into(), &digest(VARS).into())
    );
    assert_eq!(code["build"]["version"], "2022.11-6+deb12u2");

    let from_pipe = json(flashmoor().args(["inspect", "-"]).write_stdin(bytes));
    assert_eq!(from_pipe["stream"], from_file["stream"]);
    assert_eq!(
        from_pipe["size_bytes"], from_file["size_bytes"],
        "as far as it was read"
    );
    let said = text(flashmoor().arg("inspect").arg(&file));
    for words in [
        "machine  pc-q35-7.2, stream version 3",
        "state    whole",
        "block    pc.ram  65536 bytes, pages: 16 zero, in",
        "ovmf 2022.11-6+deb12u2",
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}

#[test]
fn a_build_that_no_catalogue_knows_is_named_by_its_own_version_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = stream();
    // In the free space of CODE's main volume.
    let at = bytes
        .windows(4096)
        .position(|page| page.iter().all(|byte| *byte == 0xff))
        .unwrap();
    bytes[at + 2048] ^= 1;
    let file = write(folder.path(), "guest.mig", &bytes);
    let build = json(flashmoor().arg("inspect").arg(&file))["stream"]["blocks"][1]["build"].clone();
    assert_eq!(
        (&build["name"], &build["source"]),
        (&"unknown build".into(), &"none".into())
    );
}

#[test]
fn a_save_image_is_shown_with_what_of_its_domain_decides_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = stream();
    let packed = {
        let raw = write(folder.path(), "raw", &plain);
        let done = std::process::Command::new("gzip")
            .arg("-c")
            .arg(raw)
            .output()
            .unwrap();
        assert!(done.status.success());
        done.stdout
    };
    for (name, image, compression) in [
        ("plain.save", save_image(&plain, 0), "raw"),
        ("packed.save", save_image(&packed, 1), "gzip"),
    ] {
        let file = write(folder.path(), name, &image);
        let document = json(flashmoor().arg("inspect").arg(&file));
        assert_eq!(document["kind"], "libvirt_save_image");
        assert_eq!(document["compression"], compression);
        assert_eq!(document["stream"]["complete"], true);
        let domain = &document["domain"];
        assert_eq!(
            (&domain["name"], &domain["machine"]),
            (&"shop".into(), &"pc-q35-7.2".into())
        );
        assert_eq!(domain["loader"], "/usr/share/OVMF/OVMF_CODE.fd");
        assert_eq!(domain["nvram_template"], "/no/such/OVMF_VARS.ms.fd");
        let said = text(flashmoor().arg("inspect").arg(&file));
        assert!(said.contains("domain   shop, pc-q35-7.2, was running"), "{said}");
    }
}

#[test]
fn a_stream_that_is_cut_short_says_where_and_gives_only_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = stream();
    // In the middle of VARS: CODE came whole, and a guest cannot write it.
    let len = bytes.len() - 40_000;
    let file = write(folder.path(), "cut.mig", &bytes[..len]);
    let document = json(flashmoor().arg("inspect").arg(&file));
    let stream = &document["stream"];
    assert_eq!(
        (&stream["complete"], &stream["stopped"]["offset"]),
        (&false.into(), &len.into())
    );
    assert_eq!(stream["blocks"][1]["sha256"], digest(CODE));
    assert!(stream["blocks"][2]["sha256"].is_null());

    let (code, vars) = (folder.path().join("code.fd"), folder.path().join("vars.fd"));
    text(
        flashmoor()
            .args(["saved", "extract"])
            .arg(&file)
            .arg("--code")
            .arg(&code),
    );
    assert_eq!(std::fs::read(&code).unwrap(), fm_fixtures::bytes(CODE));
    flashmoor()
        .args(["saved", "extract"])
        .arg(&file)
        .arg("--vars")
        .arg(&vars)
        .assert()
        .code(1);
    assert!(!vars.exists());
}

#[test]
fn saved_guests_give_back_firmware_variables_and_an_offer() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "guest.save", &save_image(&stream(), 0));
    let (code, vars) = (folder.path().join("code.fd"), folder.path().join("vars.fd"));
    let extract = || {
        let mut command = flashmoor();
        command.args(["saved", "extract"]).arg(&file);
        command.arg("--code").arg(&code).arg("--vars").arg(&vars);
        command
    };
    text(&mut extract());
    assert_eq!(std::fs::read(&code).unwrap(), fm_fixtures::bytes(CODE));
    assert_eq!(std::fs::read(&vars).unwrap(), fm_fixtures::bytes(VARS));
    extract().assert().code(2); // nothing is overwritten

    let listed = text(flashmoor().args(["saved", "vars"]).arg(&file));
    assert!(listed.contains("PK") && listed.contains("db"), "{listed}");
    let offer = json(flashmoor().args(["saved", "offer"]).arg(&file));
    assert_eq!(offer["schema"], "flashmoor/offer/1");
    assert!(offer.to_string().contains(&digest(CODE)), "{offer}");
    assert_eq!(
        (&offer["saved"], &offer["firmware"]["arch"]),
        (&true.into(), &"x86-64".into())
    );
    assert_eq!(offer["firmware"]["layout"], "2M");

    // No host has that build any more: what the stream told of it is what there is to judge by.
    let told = folder.path().join("offer.json");
    std::fs::write(&told, offer.to_string()).unwrap();
    let checked = flashmoor()
        .args(["--json", "check", "--from-offer"])
        .arg(&told)
        .arg("--to-code")
        .arg(fm_fixtures::path("bookworm/OVMF_CODE_4M.fd"))
        .output()
        .unwrap();
    let verdict: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = verdict["phases"]["cold_boot"]["findings"].as_array().unwrap();
    let arch = findings
        .iter()
        .find(|finding| finding["code"] == "FM-ARCH")
        .unwrap();
    assert_eq!(arch["outcome"], "compatible", "{arch}");
    let evidence = arch["evidence"]["source"].as_str().unwrap();
    assert!(evidence.ends_with("firmware.arch"), "{evidence}");

    // Nobody can ask a saved guest for an offer.
    let live = verdict["phases"]["live_migration"]["findings"]
        .as_array()
        .unwrap();
    let size = live
        .iter()
        .find(|finding| finding["code"] == "FM-FLASH-SIZE")
        .unwrap();
    let remedy = size["remedy"].as_str().unwrap();
    assert!(remedy.ends_with("flashmoor saved restore-plan FILE"), "{remedy}");
}

#[test]
fn flash_whose_zeros_and_erased_bytes_are_sent_as_data_is_extracted() {
    let folder = tempfile::tempdir().unwrap();
    let chip = |fixture: &str, byte: u8| {
        let mut bytes = fm_fixtures::bytes(fixture);
        bytes.resize(64 << 20, byte);
        bytes
    };
    let (code, vars) = (
        chip("bookworm/AAVMF_CODE.fd", 0),
        chip("bookworm/AAVMF_VARS.fd", 0xff),
    );
    let blocks = [
        ("virt.flash0", code.clone()),
        ("virt.flash1", vars.clone()),
        ("mach-virt.ram", vec![0; 64 << 10]),
    ];
    let file = write(folder.path(), "arm.mig", &stream_of(&blocks, true));
    let document = json(flashmoor().arg("inspect").arg(&file));
    assert_eq!(
        document["stream"]["complete"], true,
        "{}",
        document["stream"]["stopped"]
    );
    let (out_code, out_vars) = (folder.path().join("code.fd"), folder.path().join("vars.fd"));
    let mut command = flashmoor();
    command.args(["saved", "extract"]).arg(&file);
    text(command.arg("--code").arg(&out_code).arg("--vars").arg(&out_vars));
    assert!(std::fs::read(out_code).unwrap() == code && std::fs::read(out_vars).unwrap() == vars);
}

#[test]
fn a_stream_in_something_larger_than_itself_ends_where_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, more) in [
        ("described.mig", described(), 3 << 30),
        ("plain.mig", stream(), 512),
    ] {
        let file = write(folder.path(), name, &bytes);
        let padded = std::fs::File::options().write(true).open(&file).unwrap();
        padded.set_len(bytes.len() as u64 + more).unwrap();
        let document = json(flashmoor().arg("inspect").arg(&file));
        let stream = &document["stream"];
        assert_eq!(stream["complete"], true, "{name}: {}", stream["stopped"]);
        let notes = stream["notes"].to_string();
        if name == "described.mig" {
            assert_eq!(stream["devices"][0]["name"], "timer");
            assert!(notes.contains(&format!("{more} bytes follow")), "{notes}");
        } else {
            assert!(notes.contains("by the last bytes alone"), "{notes}");
        }
    }
}

#[test]
fn compressed_streams_that_are_cut_say_where_and_give_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let plain = write(folder.path(), "plain", &described());
    for (number, program) in (1..).zip(["gzip", "bzip2", "xz", "lzop", "zstd"]) {
        let packed = std::process::Command::new(program)
            .arg("-c")
            .arg(&plain)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; run `make test`, or `scripts/packages test`"))
            .stdout;
        let cut = &packed[..packed.len() * 9 / 10];
        for (name, whole, cut) in [
            ("stream", packed.clone(), cut.to_vec()),
            ("image", save_image(&packed, number), save_image(cut, number)),
        ] {
            let file = write(folder.path(), &format!("{name}.{program}"), &whole);
            let document = json(flashmoor().arg("inspect").arg(&file));
            assert_eq!(document["stream"]["complete"], true, "{program}");
            assert_eq!(document["stream"]["blocks"][1]["sha256"], digest(CODE));
            let file = write(folder.path(), &format!("{name}.cut.{program}"), &cut);
            let document = json(flashmoor().arg("inspect").arg(&file));
            let stream = &document["stream"];
            assert_eq!(stream["complete"], false, "{program}");
            assert!(stream["stopped"]["offset"].as_u64().unwrap() > 0, "{program}");
            let why = stream["stopped"]["why"].to_string();
            assert!(why.contains(program), "{why}");
            assert_eq!(stream["blocks"][0]["name"], "pc.ram", "{program}");
            assert_eq!(document["domain"]["name"] == "shop", name == "image");
        }
    }
}

#[test]
fn a_stream_is_read_from_where_standard_input_stands() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "later.mig", &[vec![7; 4096], described()].concat());
    let program = flashmoor().get_program().to_owned();
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            r#"(dd bs=4096 count=1 of=/dev/null 2>/dev/null; "$0" inspect - --json) <"$1""#,
        ])
        .args([&program, file.as_os_str()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["stream"]["complete"], true);
    assert_eq!(document["stream"]["blocks"][1]["sha256"], digest(CODE));
}

#[test]
fn guest_memory_of_any_size_goes_straight_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory: Vec<u8> = (0..40u32 << 18).flat_map(u32::to_le_bytes).collect();
    memory.extend(vec![0; 1 << 20]);
    let blocks = [
        ("pc.ram", memory.clone()),
        ("huge", vec![0; 600 << 20]),
        ("system.flash0", fm_fixtures::bytes(CODE)),
        ("system.flash1", fm_fixtures::bytes(VARS)),
    ];
    let bytes = stream_of(&blocks, false);
    let file = write(folder.path(), "big.mig", &bytes);
    let at = |name: &str| folder.path().join(name);
    let mut command = flashmoor();
    command
        .args(["saved", "extract"])
        .arg(&file)
        .arg("--code")
        .arg(at("code"));
    for (name, out) in [("pc.ram", "ram"), ("huge", "huge")] {
        command
            .arg("--block")
            .arg(format!("{name}={}", at(out).display()));
    }
    let document = json(&mut command);
    let sizes: Vec<_> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["size_bytes"])
        .collect();
    assert_eq!(sizes, [0x1e_0000, memory.len(), 600 << 20]);
    assert!(std::fs::read(at("ram")).unwrap() == memory);
    assert_eq!(std::fs::read(at("code")).unwrap(), fm_fixtures::bytes(CODE));
    assert_eq!(std::fs::metadata(at("huge")).unwrap().len(), 600 << 20);

    // Cut before the flash: nothing of it is written, not even what came whole.
    let cut = write(folder.path(), "cut.mig", &bytes[..41 << 20]);
    let mut command = flashmoor();
    command.args(["saved", "extract"]).arg(&cut);
    refused(
        command
            .arg("--block")
            .arg(format!("pc.ram={}", at("none").display())),
        1,
    );
    assert!(!at("none").exists());
    // Nor if one of the files cannot be made.
    let mut command = flashmoor();
    command
        .args(["saved", "extract"])
        .arg(&file)
        .arg("--code")
        .arg(at("code2"));
    refused(command.arg("--vars").arg(at("no/such/vars")), 1);
    assert!(!at("code2").exists());
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("flashmoor-new")),
        "{left:?}"
    );
}

/// The same guest saved by a background snapshot: RAM has no last section.
fn background() -> Vec<u8> {
    let mut bytes = described();
    // The last section of RAM starts behind the table.
    let at = bytes
        .windows(5)
        .position(|start| start == b"\x03\0\0\0\x02")
        .unwrap();
    bytes[at] = 2;
    bytes
}

#[test]
fn a_background_snapshot_is_whole_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "guest.mig", &background());
    let document = json(flashmoor().arg("inspect").arg(&file));
    assert_eq!(document["stream"]["complete"], true, "{document}");
    assert_eq!(document["stream"]["blocks"][2]["sha256"], digest(VARS));
    let vars = folder.path().join("vars.fd");
    text(
        flashmoor()
            .args(["saved", "extract"])
            .arg(&file)
            .arg("--vars")
            .arg(&vars),
    );
    assert_eq!(std::fs::read(&vars).unwrap(), fm_fixtures::bytes(VARS));
    let plan = json(
        with_store(folder.path())
            .args(["saved", "restore-plan"])
            .arg(&file)
            .arg("--vars")
            .arg(&vars),
    );
    assert!(plan["steps"][0].as_str().unwrap().contains("-incoming"), "{plan}");
}

#[test]
fn a_background_snapshot_without_a_page_is_whole_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = background();
    let at = bytes
        .windows(13)
        .rposition(|end| end == b"\0\0\0\0\0\0\0\x10\x7e\0\0\0\x02")
        .unwrap();
    // The last page of VARS, which is data: its record and its bytes.
    bytes.drain(at - 4104..at);
    let file = write(folder.path(), "guest.mig", &bytes);
    let document = json(flashmoor().arg("inspect").arg(&file));
    let stopped = &document["stream"]["stopped"];
    assert_eq!(document["stream"]["complete"], false, "{document}");
    assert!(
        stopped["why"].as_str().unwrap().contains("system.flash1"),
        "{stopped}"
    );
    let vars = folder.path().join("vars.fd");
    refused(
        flashmoor()
            .args(["saved", "extract"])
            .arg(&file)
            .arg("--vars")
            .arg(&vars),
        1,
    );
}

#[test]
fn a_stream_at_an_offset_of_its_file_is_found_and_restored_from_there() {
    let folder = tempfile::tempdir().unwrap();
    for (name, before) in [("hole", vec![0u8; 1 << 20]), ("header", vec![b'x'; 4096])] {
        let file = write(folder.path(), name, &[&before[..], &described()].concat());
        let document = json(flashmoor().arg("inspect").arg(&file));
        assert_eq!(document["kind"], "migration_stream", "{document}");
        assert_eq!(document["stream"]["complete"], true, "{document}");
        let plan = json(
            with_store(folder.path())
                .args(["saved", "restore-plan"])
                .arg(&file)
                .arg("--vars")
                .arg(folder.path().join("vars.fd")),
        );
        let step = plan["steps"][0].as_str().unwrap();
        assert!(step.contains(&format!("tail -c +{}", before.len() + 1)), "{step}");
    }
}

#[test]
fn variables_in_a_device_are_read_out_of_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = stream_of(
        &[
            ("pc.ram", vec![0; 64 << 10]),
            ("pc.bios", fm_fixtures::bytes("bookworm/OVMF.fd")),
        ],
        false,
    );
    // QEMU's state of the device: no buffer, one variable.
    let mut state = vec![0u8; 2 + 4 + 12 + 4 + 8];
    state.push(1);
    state.extend([0x11; 16]);
    for number in [4u32, 2, 7] {
        state.extend(number.to_be_bytes());
    }
    state.extend(b"A\0\0\0");
    state.extend([5, 0]);
    state.extend([0; 11]);
    state.extend([0, 0]);
    bytes.pop();
    bytes.extend(b"\x04\0\0\0\x03\x10uefi-vars-sysbus\0\0\0\0\0\0\0\0");
    bytes.extend(&state);
    bytes.extend(b"\x7e\0\0\0\x03\0\x06");
    let text = format!(
        r#"{{"page_size":4096,"devices":[{{"name":"uefi-vars-sysbus","instance_id":0,"fields":[{{"size":{}}}]}}]}}"#,
        state.len()
    );
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(text.as_bytes());
    let file = write(folder.path(), "guest.mig", &bytes);
    let found = json(flashmoor().args(["saved", "vars"]).arg(&file));
    let variables = found["variables"].as_array().unwrap();
    assert_eq!(
        (
            variables.len(),
            &variables[0]["name"],
            &variables[0]["size_bytes"]
        ),
        (1, &"A".into(), &2.into())
    );
    // Its firmware came with -bios, and the plan says so.
    let plan = json(
        with_store(folder.path())
            .args(["saved", "restore-plan"])
            .arg(&file),
    );
    let step = plan["steps"][0].as_str().unwrap();
    assert!(step.contains("-bios ") && !step.contains("pflash"), "{step}");
}
