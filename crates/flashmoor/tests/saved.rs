//! Saved guests brought back: what is planned, what is compared, which save images are rewritten, and how.

mod saved_bytes;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use saved_bytes::*;

fn adopt(folder: &Path, image: &Path) -> serde_json::Value {
    json(with_store(folder).args(["saved", "adopt"]).arg(image))
}

fn stream_in(image: &[u8]) -> &[u8] {
    let at = image.windows(4).position(|word| word == b"QEVM").unwrap();
    &image[at..]
}

#[test]
fn an_adopted_image_names_the_stored_build_and_holds_the_same_stream() {
    let folder = tempfile::tempdir().unwrap();
    for (name, room) in [("roomy.save", 4096), ("tight.save", 0)] {
        let before = save_image_of("shop", &described(), 0, room);
        let image = write(folder.path(), name, &before);
        let adopted = adopt(folder.path(), &image);
        assert_eq!(
            (&adopted["changed"], &adopted["domain"]),
            (&true.into(), &"shop".into())
        );
        let after = fs::read(&image).unwrap();
        assert!(stream_in(&after) == stream_in(&before));
        assert_eq!(after.len() == before.len(), room > 0);
        let document = json(flashmoor().arg("inspect").arg(&image));
        assert_eq!(document["domain"]["loader"], adopted["loader"]);
        assert_eq!(
            fs::read(adopted["loader"].as_str().unwrap()).unwrap(),
            fm_fixtures::bytes(CODE)
        );
        // Its template is gone, so it gets the guest's own variables.
        let template = adopted["template"].as_str().unwrap();
        assert_eq!(fs::read(template).unwrap(), fm_fixtures::bytes(VARS));
        assert_eq!(document["domain"]["nvram_template"], template);
        let kept = fs::read_to_string(adopted["xml_before"].as_str().unwrap()).unwrap();
        assert_eq!(kept, domain("shop"));
        assert_eq!(adopt(folder.path(), &image)["changed"], false);
        assert!(fs::read(&image).unwrap() == after);
    }
}

#[test]
fn a_compressed_image_is_adopted_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plain = write(folder.path(), "plain", &described());
    let packed = std::process::Command::new("gzip")
        .arg("-c")
        .arg(&plain)
        .output()
        .unwrap()
        .stdout;
    let image = write(folder.path(), "packed.save", &save_image(&packed, 1));
    assert_eq!(adopt(folder.path(), &image)["changed"], true);
    assert!(fs::read(&image).unwrap().ends_with(&packed));
}

#[test]
fn holes_of_a_sparse_image_stay_holes_and_its_stream_stays_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("sparse.save");
    // A stream at 1 MiB, and 2 GiB of nothing between its first half and the end of the file.
    let sparse = |room| {
        let head = save_image_of("shop", &[], 6, room);
        let file = fs::File::create(&image).unwrap();
        file.write_all_at(&head, 0).unwrap();
        file.write_all_at(&described(), 1 << 20).unwrap();
        file.set_len(2 << 30).unwrap();
        (head.len(), file.metadata().unwrap().blocks())
    };
    let (_, blocks) = sparse(1 << 16);
    assert_eq!(adopt(folder.path(), &image)["changed"], true);
    let after = fs::metadata(&image).unwrap();
    assert_eq!(after.len(), 2 << 30);
    assert!(
        after.blocks() <= blocks + 256,
        "{} blocks were {blocks}",
        after.blocks()
    );
    let document = json(flashmoor().arg("inspect").arg(&image));
    assert_eq!(document["stream"]["blocks"][1]["sha256"], digest(CODE));
    assert_eq!(document["stream"]["complete"], true);

    // Without room the XML cannot grow, and nothing is left behind.
    let other = tempfile::tempdir().unwrap();
    sparse(0);
    let before = fs::read_dir(folder.path()).unwrap().count();
    let mut command = with_store(other.path());
    command.args(["saved", "adopt"]).arg(&image);
    insta::assert_snapshot!(refusal(folder.path(), &mut command, 1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
    let builds = json(with_store(other.path()).args(["store", "list"]));
    assert_eq!(
        builds["builds"][0]["pins"].as_array().map_or(0, Vec::len),
        0,
        "{builds}"
    );
}

#[test]
fn flash_that_holds_code_and_variables_becomes_no_build_and_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let combined = [fm_fixtures::bytes(VARS), fm_fixtures::bytes(CODE)].concat();
    let blocks = [("pc.ram", vec![0; 64 << 10]), ("system.flash0", combined.clone())];
    let stream = with_a_device(stream_of(&blocks, false));
    let plain = write(folder.path(), "plain", &stream);
    let image = write(folder.path(), "combined.save", &save_image(&stream, 0));
    let out = folder.path().join("out.fd");
    let mut told = Vec::new();
    for (verb, input) in [
        ("restore-plan", &plain),
        ("restore-plan", &image),
        ("adopt", &image),
    ] {
        let before = fs::read(input).unwrap();
        let mut command = with_store(folder.path());
        command.args(["saved", verb]).arg(input);
        told.push(refusal(folder.path(), &mut command, 1));
        assert!(fs::read(input).unwrap() == before);
    }
    insta::assert_snapshot!(told.join("\n"));
    let builds = json(with_store(folder.path()).args(["store", "list"]));
    assert_eq!(builds["builds"].as_array().unwrap().len(), 0, "{builds}");
    json(
        flashmoor()
            .args(["saved", "extract", "--code"])
            .args([&out, &plain]),
    );
    assert!(fs::read(&out).unwrap() == combined);
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
}

/// The image with one piece of its XML written otherwise, at the same length.
fn respelled(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = save_image(&described(), 0);
    let at = bytes
        .windows(from.len())
        .position(|found| found == from.as_bytes())
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn a_domain_whose_code_is_qcow2_comes_back_on_the_raw_build_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = respelled("readonly='yes' type='pflash'", "format='qcow2' type='pflash'");
    let image = write(folder.path(), "packed.save", &bytes);
    let document = adopt(folder.path(), &image);
    assert_eq!(document["changed"], true);
    let adopted = fs::read(&image).unwrap();
    let xml = String::from_utf8_lossy(&adopted);
    let loader = &xml[xml.find("<loader").unwrap()..xml.find("</loader>").unwrap()];
    assert!(
        loader.contains("format='raw'") && loader.contains("/store/builds/sha256-"),
        "{loader}"
    );
    assert_eq!(stream_in(&adopted), stream_in(&bytes));
}

#[test]
fn variables_in_a_qcow2_file_that_is_gone_with_its_template_are_told_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = respelled(
        "<nvram template='/no/such/OVMF_VARS.ms.fd'>",
        "<nvram format='qcow2' template='/no/xxxxx'>",
    );
    let image = write(folder.path(), "packed.save", &bytes);
    let mut command = with_store(folder.path());
    command.args(["saved", "adopt"]).arg(&image);
    insta::assert_snapshot!(refusal(folder.path(), &mut command, 1));
    assert!(fs::read(&image).unwrap() == bytes);
}

#[test]
fn through_a_link_the_image_itself_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    let image = write(folder.path(), "images/real.save", &save_image(&described(), 0));
    let link = folder.path().join("link.save");
    symlink("images/real.save", &link).unwrap();
    assert_eq!(adopt(folder.path(), &link)["changed"], true);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let document = json(flashmoor().arg("inspect").arg(&image));
    assert!(
        document["domain"]["loader"].as_str().unwrap().contains("/store/"),
        "{document}"
    );
}

#[test]
fn side_files_of_an_earlier_image_are_neither_taken_nor_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let image = write(
        folder.path(),
        "guest.save",
        &save_image_of("first", &described(), 0, 0),
    );
    fs::write(folder.path().join("guest.save.vars.fd"), vec![0; 128 << 10]).unwrap();
    let first = adopt(folder.path(), &image);
    assert_eq!(
        fs::read(first["template"].as_str().unwrap()).unwrap(),
        fm_fixtures::bytes(VARS)
    );
    // A managed save always has the same path.
    fs::write(&image, save_image_of("second", &described(), 0, 0)).unwrap();
    let second = adopt(folder.path(), &image);
    for (adopted, name) in [(&first, "first"), (&second, "second")] {
        let kept = fs::read_to_string(adopted["xml_before"].as_str().unwrap()).unwrap();
        assert_eq!(kept, domain(name));
    }
    assert_eq!(
        first["template"], second["template"],
        "the same variables need no second file"
    );
}

#[test]
fn an_image_that_cannot_be_restored_is_not_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let whole = save_image(&described(), 0);
    let mut unfinished = whole.clone();
    unfinished[..16].copy_from_slice(b"LibvirtQemudPart");
    let mut told = Vec::new();
    for (name, bytes) in [
        ("part.save", unfinished.as_slice()),
        ("cut.save", &whole[..whole.len() - 200]),
        ("xml.save", &whole[..300]),
    ] {
        let image = write(folder.path(), name, bytes);
        let mut command = with_store(folder.path());
        command.args(["saved", "adopt"]).arg(&image);
        told.push(refusal(folder.path(), &mut command, 1));
        assert_eq!(fs::read(&image).unwrap(), bytes);
    }
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "nothing was left beside them"
    );
}

#[test]
fn killed_at_any_moment_adopt_leaves_the_old_image_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = [
        ("pc.ram", vec![0x5a; 96 << 20]),
        ("system.flash0", fm_fixtures::bytes(CODE)),
        ("system.flash1", fm_fixtures::bytes(VARS)),
    ];
    let before = save_image(&stream_of(&blocks, false), 0);
    let image = write(folder.path(), "guest.save", &before);
    let program = flashmoor().get_program().to_owned();
    let (mut old, mut round) = (0, 0u64);
    let partials = || {
        let entries = fs::read_dir(folder.path()).unwrap().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("/.guest.save.flashmoor-new-"))
            .collect::<Vec<_>>()
    };
    loop {
        // The last round's, which would pass for this one's.
        for left in partials() {
            fs::remove_file(left).unwrap();
        }
        let mut child = std::process::Command::new(&program)
            .arg("--store")
            .arg(folder.path().join("store"))
            .args(["saved", "adopt"])
            .arg(&image)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each time somewhat later: when the copy exists, has some of its bytes on disk, more of them.
        let far_enough = || {
            partials()
                .iter()
                .any(|path| fs::metadata(path).is_ok_and(|file| file.blocks() * 512 >= round * (16 << 20)))
        };
        while !far_enough() && child.try_wait().unwrap().is_none() {}
        let _ = child.kill();
        let ended = child.wait().unwrap();
        let now = fs::read(&image).unwrap();
        if now == before {
            old += 1;
            assert!(!ended.success());
        } else {
            let document = json(flashmoor().arg("inspect").arg(&image));
            assert_eq!(document["stream"]["complete"], true);
            assert!(stream_in(&now) == stream_in(&before));
            break;
        }
        round += 1;
    }
    assert!(old > 0, "it was never killed before it was done");
    assert_eq!(adopt(folder.path(), &image)["changed"], false);
}

#[test]
fn variables_of_another_guest_are_never_put_in_the_way_of_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "guest.mig", &described());
    let vars = folder.path().join("vars.fd");
    let plan = || {
        let mut command = with_store(folder.path());
        command
            .args(["saved", "restore-plan"])
            .arg(&file)
            .arg("--vars")
            .arg(&vars);
        command
    };
    let planned = json(&mut plan());
    assert_eq!(fs::read(&vars).unwrap(), fm_fixtures::bytes(VARS));
    assert_eq!(planned["memory"][0]["name"], "pc.ram");
    assert_eq!(planned["devices"][0]["name"], "timer");
    json(&mut plan()); // it holds them already
    let mut others = fm_fixtures::bytes(VARS);
    others[0x100] ^= 1;
    fs::write(&vars, &others).unwrap();
    let of_another = refusal(folder.path(), &mut plan(), 2);
    assert!(fs::read(&vars).unwrap() == others);

    let mut from_pipe = with_store(folder.path());
    from_pipe
        .args(["saved", "restore-plan", "-", "--vars"])
        .arg(folder.path().join("x"));
    let piped = refusal(folder.path(), from_pipe.write_stdin(described()), 2);
    insta::assert_snapshot!([of_another, piped].join("\n"));
}

#[test]
fn a_stream_captured_in_postcopy_gives_its_firmware_and_no_plan() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = stream();
    // A package of 5 bytes before the last section of RAM (QEMU `migration/savevm.c:MIG_CMD_PACKAGED`).
    let at = bytes
        .windows(5)
        .position(|word| word == b"\x03\0\0\0\x02")
        .unwrap();
    bytes.splice(at..at, *b"\x08\0\x07\0\x04\0\0\0\x05hello");
    let file = write(folder.path(), "postcopy.mig", &bytes);
    let mut command = with_store(folder.path());
    command.args(["saved", "restore-plan"]).arg(&file).arg("--vars");
    let planned = refusal(folder.path(), command.arg(folder.path().join("vars.fd")), 1);
    let mut command = flashmoor();
    command.args(["saved", "extract"]).arg(&file).arg("--code");
    text(command.arg(folder.path().join("code.fd")));
    let document = json(flashmoor().arg("inspect").arg(&file));
    let note = &document["stream"]["notes"][0];
    assert_eq!(note["offset"], at + 1, "where the command is");
    insta::assert_snapshot!([planned.as_str(), note["text"].as_str().unwrap()].join("\n"));
}

#[test]
fn what_cannot_be_compared_is_unknown_and_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = described();
    let whole = write(folder.path(), "whole.mig", &bytes);
    let diff = |a: &Path, b: &Path| {
        let mut command = flashmoor();
        command.args(["saved", "diff"]).arg(a).arg(b);
        command
    };
    assert_eq!(json(&mut diff(&whole, &whole))["same"], true);
    let early = write(folder.path(), "early.mig", &bytes[..200_000]);
    let late = write(folder.path(), "late.mig", &bytes[..bytes.len() - 100_000]);
    let mut told = Vec::new();
    for (a, b) in [(&early, &early), (&whole, &late), (&late, &whole)] {
        let output = diff(a, b)
            .arg("--json")
            .assert()
            .code(11)
            .get_output()
            .stdout
            .clone();
        let document: serde_json::Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(document["same"], false);
        assert_eq!(document["complete"]["a"] == true, a == &whole);
        told.push(document["unknown"].clone());
        assert_eq!(
            document["variables"].as_array().unwrap().len(),
            0,
            "none was seen to be removed"
        );
    }
    insta::assert_json_snapshot!(told);
    let mut other = fm_fixtures::bytes(CODE);
    other[0x8_0000] ^= 1;
    let changed = stream_of(
        &[
            ("system.flash0", other),
            ("system.flash1", fm_fixtures::bytes("bookworm/OVMF_VARS.fd")),
        ],
        false,
    );
    let plain = write(folder.path(), "plain.mig", &stream());
    let changed = write(folder.path(), "changed.mig", &changed);
    let output = diff(&plain, &changed)
        .env("COLUMNS", "100")
        .assert()
        .code(11)
        .get_output()
        .stdout
        .clone();
    insta::assert_snapshot!(String::from_utf8(output).unwrap());
}

#[test]
fn a_damaged_store_of_a_saved_guest_is_told_and_never_called_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let stream = |name: &str, vars: Vec<u8>| {
        let blocks = [
            ("pc.ram", vec![0; 64 << 10]),
            ("system.flash0", fm_fixtures::bytes(CODE)),
            ("system.flash1", vars),
        ];
        write(folder.path(), name, &with_a_device(stream_of(&blocks, false)))
    };
    let sound = fm_fixtures::bytes(VARS);
    let mut damaged = sound.clone();
    // The first variable's header.
    damaged[100..108].fill(0);
    let (sound, damaged) = (stream("sound", sound), stream("damaged", damaged));
    let vars = |path: &Path| json(flashmoor().args(["saved", "vars"]).arg(path));
    assert_eq!(vars(&sound)["damage"].as_array().map(Vec::len), Some(0));
    let found = vars(&damaged);
    insta::assert_json_snapshot!(found["damage"]);
    let mut command = flashmoor();
    command.args(["saved", "diff"]).args([&damaged, &damaged]);
    let output = command.arg("--json").output().unwrap();
    let diff: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(diff["same"], false, "{diff}");
    assert_eq!(diff["unknown"][0], "variables that damage of the store hides");
}
