//! Hold a guest to the build that it runs or would boot from, and let it go again.

use fm_api::v1::pve::PveAdopted;
use fm_formats::Sha256;
use fm_store::{Import, Store};

use crate::install::VOLUME;
use crate::record::Record;
use crate::{Cluster, Error, Result, args, pins, place, tools};

/// CODE is never larger; QEMU's own limit is 8 MiB on x86 and 64 MiB on `virt` boards.
const MAX_CODE_BYTES: u64 = fm_store::MAX_FLASH_BYTES;

/// Holds guest `id` of this node to its build; with a store for a dry run, all is checked and nothing changed.
///
/// # Errors
/// If it has no firmware that can be held, or Proxmox refuses.
pub fn adopt(cluster: &Cluster, store: &Store, id: u32) -> Result<PveAdopted> {
    let config = cluster.config(id)?;
    if !config.is_uefi() {
        return Err(Error::NoFlash {
            id,
            why: "its bios is not ovmf",
        });
    }
    let command = tools::command_line(id)?;
    if args::has_flash_drives(&command) {
        return Err(Error::OldMachine { id });
    }
    let code = args::proxmox_code(&command).ok_or(Error::NoFlash {
        id,
        why: "Proxmox starts it without CODE in flash",
    })?;
    let is_running = tools::is_running(id)?;
    let build = if is_running {
        running(cluster, store, id)?
    } else {
        stored(store, &code)?
    };
    let hookscript = match config.at_next_start("hookscript") {
        // Adopted before: the one of that time.
        Some(VOLUME) => Record::read(cluster, id)?.and_then(|record| record.hookscript),
        own => own.map(str::to_owned),
    };
    let path = cluster.code(id);
    let args = args::with_build(config.at_next_start("args"), &build, &path).ok_or(Error::Args { id })?;
    let adopted = PveAdopted {
        vmid: id,
        build: Some(build.to_string()),
        args: args.clone(),
        hookscript: Some(VOLUME.into()),
        from_next_start: is_running,
    };
    if store.is_dry_run() {
        return Ok(adopted);
    }
    let build_record = store.build(&build)?.ok_or_else(|| Error::NoBuild {
        id,
        build: build.to_string(),
        source: None,
    })?;
    store.pin(&build, &pins::reason(id))?;
    place::build(cluster, id, &build_record)?;
    let code_size_bytes = std::fs::metadata(&build_record.code.path).map_or(0, |status| status.len());
    Record::new(build.to_string(), code_size_bytes, hookscript).write(cluster, id)?;
    set(id, &["--args", &args, "--hookscript", VOLUME])?;
    pins::keep_builds(cluster, store, id)?;
    Ok(adopted)
}

/// Holds a guest that was given another build while it runs to that one; nothing for a guest that is held to none.
///
/// # Errors
/// As [`adopt`].
pub fn follow(cluster: &Cluster, store: &Store, id: u32) -> Result<Option<PveAdopted>> {
    let config = cluster.config(id)?;
    let is_held = config.at_next_start("args").and_then(args::build).is_some();
    is_held.then(|| adopt(cluster, store, id)).transpose()
}

/// The build that a guest runs, stored.
fn running(cluster: &Cluster, store: &Store, id: u32) -> Result<Sha256> {
    let none = || Error::NoBuild {
        id,
        build: "that it runs".into(),
        source: None,
    };
    let captured = fm_adopt::capture::one(store, &cluster.monitor(id).to_string_lossy())?;
    let guest = captured.guests.first().ok_or_else(none)?;
    Ok(guest.code.running)
}

/// The build in a file, stored.
fn stored(store: &Store, path: &str) -> Result<Sha256> {
    let bytes = fm_files::read_bounded(path.as_ref(), MAX_CODE_BYTES)?.ok_or_else(|| {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        fm_files::Error::io("read", path.as_ref(), missing)
    })?;
    let imported = store.import(&Import {
        code: &bytes,
        source: Some(path),
        ..Import::default()
    })?;
    Ok(imported.id)
}

/// Lets guest `id` of this node go: its configuration is as it was. What its snapshots ask for is kept. With a store for
/// a dry run nothing is changed.
///
/// # Errors
/// If there is no such guest here, or Proxmox refuses.
pub fn unadopt(cluster: &Cluster, store: &Store, id: u32) -> Result<PveAdopted> {
    let config = cluster.config(id)?;
    let record = Record::read(cluster, id)?;
    let args = match config.at_next_start("args") {
        Some(args) => args::without_build(args).ok_or(Error::Args { id })?,
        None => String::new(),
    };
    let is_ours = config.at_next_start("hookscript") == Some(VOLUME);
    let hookscript = match &record {
        Some(record) if is_ours => record.hookscript.clone(),
        _ => config
            .at_next_start("hookscript")
            .filter(|_| !is_ours)
            .map(str::to_owned),
    };
    let is_running = tools::is_running(id)?;
    if store.is_dry_run() {
        return Ok(PveAdopted {
            vmid: id,
            build: None,
            args,
            hookscript,
            from_next_start: is_running,
        });
    }
    let mut words = Vec::new();
    let mut deleted = Vec::new();
    match args.as_str() {
        "" => deleted.push("args"),
        args => words.extend(["--args", args]),
    }
    match &hookscript {
        None => deleted.push("hookscript"),
        Some(volume) => words.extend(["--hookscript", volume]),
    }
    let deleted = deleted.join(",");
    if !deleted.is_empty() {
        words.extend(["--delete", &deleted]);
    }
    set(id, &words)?;
    // A roll-back to a snapshot from before asks for both again: the hookscript that we call, and the build.
    let is_wanted_again = config
        .snapshots("hookscript")
        .any(|(_, script)| script == Some(VOLUME));
    if !is_wanted_again {
        Record::remove(cluster, id)?;
    }
    if !is_running {
        place::clear(cluster, id);
    }
    pins::keep_builds(cluster, store, id)?;
    Ok(PveAdopted {
        vmid: id,
        build: None,
        args,
        hookscript,
        from_next_start: is_running,
    })
}

fn set(id: u32, words: &[&str]) -> Result<()> {
    let id = id.to_string();
    tools::run("qm", &[&["set", &id], words].concat()).map(drop)
}
