//! Hold an instance to the build that it runs, and let it go again.

use fm_api::v1::incus::IncusAdoption;
use fm_store::{Store, build_of_path};

use crate::conf::{self, Refusal};
use crate::instance::Instance;
use crate::{Error, Result, tool};

const CONF: &str = "raw.qemu.conf";
const APPARMOR: &str = "raw.apparmor";

/// Stores the build that an instance runs and starts it from there from its next start on; with a store for a dry run,
/// all is checked and nothing changed.
///
/// # Errors
/// If it does not run, has firmware of its own, or Incus refuses.
pub fn adopt(store: &Store, instance: &Instance<'_>) -> Result<IncusAdoption> {
    let name = || instance.name.to_owned();
    let described = tool::describe(instance)?;
    if described.kind != "virtual-machine" {
        return Err(Error::NoMachine { instance: name() });
    }
    let pid = match described.status.as_str() {
        "Running" => tool::pid(instance)?,
        _ => None,
    };
    let pid = pid.ok_or_else(|| Error::NotRunning { instance: name() })?;
    let captured = fm_adopt::capture::one(store, &pid.to_string())?;
    let none = || Error::NoFlash { instance: name() };
    let guest = captured.guests.first().ok_or_else(none)?;
    let build = guest.code.running;
    let value = |key: &str| described.config.get(key).map_or("", String::as_str);
    let file = guest.stored.display().to_string();
    let conf = conf::with_code(value(CONF), &file, |file| is_ours(store, file)).map_err(refused(instance))?;
    if !store.is_dry_run() {
        store.pin(&build, &reason(instance))?;
        // Before the file is named: a start that finds it and may not read it fails.
        tool::set(
            instance,
            APPARMOR,
            &conf::with_rule(value(APPARMOR), &rule(store)),
        )?;
        tool::set(instance, CONF, &conf)?;
    }
    Ok(IncusAdoption {
        schema: fm_api::Schema::default(),
        dry_run: store.is_dry_run(),
        instance: name(),
        project: instance.project.to_owned(),
        build: Some(build.to_string()),
        code: Some(file),
    })
}

/// Lets an instance go: its settings are as they were. With a store for a dry run nothing is changed.
///
/// # Errors
/// If Incus refuses.
pub fn unadopt(store: &Store, instance: &Instance<'_>) -> Result<IncusAdoption> {
    let described = tool::describe(instance)?;
    let value = |key: &str| described.config.get(key).map_or("", String::as_str);
    let conf = conf::without_code(value(CONF), |file| is_ours(store, file)).map_err(refused(instance))?;
    if !store.is_dry_run() {
        tool::set(instance, CONF, &conf)?;
        tool::set(
            instance,
            APPARMOR,
            &conf::without_rule(value(APPARMOR), &rule(store)),
        )?;
        let reason = reason(instance);
        for build in store.builds()? {
            if build.pins.contains(&reason) {
                store.unpin(&build.id, Some(&reason))?;
            }
        }
    }
    Ok(IncusAdoption {
        schema: fm_api::Schema::default(),
        dry_run: store.is_dry_run(),
        instance: instance.name.to_owned(),
        project: instance.project.to_owned(),
        build: None,
        code: None,
    })
}

fn refused(instance: &Instance<'_>) -> impl Fn(Refusal) -> Error {
    let instance = instance.name.to_owned();
    move |refusal| match refusal {
        Refusal::OwnFirmware(file) => Error::OwnFirmware {
            instance: instance.clone(),
            file,
        },
        Refusal::Strange => Error::Strange {
            instance: instance.clone(),
        },
    }
}

fn is_ours(store: &Store, file: &str) -> bool {
    build_of_path(store.path(), file.as_ref()).is_some()
}

/// Why the build is kept.
fn reason(instance: &Instance<'_>) -> String {
    format!("incus instance {} of project {}", instance.name, instance.project)
}

/// What lets QEMU read builds of the store.
fn rule(store: &Store) -> String {
    format!("{}/builds/** r,", store.path().display())
}
