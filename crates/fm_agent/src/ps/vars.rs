//! The variable store of a running guest: layout, room, Secure Boot.

use std::io::Read as _;

use fm_api::v1::ps::{PsVars, SecureBootState};
use fm_formats::Guid;
use fm_formats::efi::Name;
use fm_host::{FlashUnit, Guest, GuestMemory, Region};
use fm_images::json_store;
use fm_varstore::{GLOBAL_VARIABLE as GLOBAL, VarStore};

use fm_images::words;

use super::said::said;

/// `gEfiSecureBootEnableDisableGuid` (edk2 `SecurityPkg/Include/Guid/AuthenticatedVariableFormat.h`).
const SECURE_BOOT_ENABLE: Guid = Guid::literal("f0a30bc7-af08-4556-99c4-001009c93a44");

/// The store in `flash`, read from `memory`; what cannot be seen becomes a remark.
pub(super) fn look(
    guest: &Guest,
    flash: &FlashUnit,
    memory: Option<&GuestMemory>,
    remarks: &mut Vec<String>,
) -> PsVars {
    let mut vars = PsVars {
        path: flash.path.clone(),
        format: flash.format.name().to_owned(),
        layout: None,
        free_bytes: None,
        reclaimable_bytes: None,
        secure_boot: None,
    };
    let Some(memory) = memory else {
        return vars;
    };
    match read(guest, flash, memory) {
        Ok((region, bytes)) => match VarStore::parse_file(&bytes, region.len_bytes) {
            Ok(store) => describe(&store, &mut vars),
            Err(error) => remarks.push(format!("flash unit {} holds no variables: {error}", flash.unit)),
        },
        Err(error) => remarks.push(said(&error)),
    }
    vars
}

/// The variables of a guest that keeps them in QEMU's `uefi-vars` device.
pub(super) fn of_device(guest: &Guest, remarks: &mut Vec<String>) -> Option<PsVars> {
    let device = guest.command().uefi_vars.as_ref()?;
    if device.json.is_none() {
        remarks
            .push("the uefi-vars device has no file: what the guest sets lasts as long as this QEMU".into());
    }
    let (path, file) = guest.uefi_vars_file().unzip();
    let mut vars = PsVars {
        path,
        format: "json".into(),
        layout: None,
        free_bytes: None,
        reclaimable_bytes: None,
        secure_boot: None,
    };
    let mut text = Vec::new();
    let found = match file?.and_then(|file| file.take(json_store::MAX_JSON_BYTES).read_to_end(&mut text)) {
        Ok(_) => json_store::parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match found {
        Ok(found) => {
            vars.secure_boot = Some(secure_boot(|guid, name| {
                let name = Name::from_units(name.encode_utf16());
                let mut all = found.variables.iter();
                all.find(|variable| variable.guid == guid && variable.name == name)
                    .map(|variable| variable.data.as_slice())
            }));
        }
        Err(why) => remarks.push(format!(
            "the variables of its uefi-vars device cannot be read: {why}"
        )),
    }
    Some(vars)
}

/// What is to be said where QEMU does not keep what the guest writes.
pub(super) fn not_kept(guest: &Guest, flash: &FlashUnit) -> Option<String> {
    let written = guest
        .command()
        .flash
        .iter()
        .find(|given| given.unit == flash.unit)?;
    let why = if written.read_only {
        "is read-only"
    } else if written.is_snapshot {
        "is a snapshot that is dropped when QEMU ends"
    } else {
        return None;
    };
    Some(format!(
        "flash unit {} {why}: what the guest sets does not last",
        flash.unit
    ))
}

fn read(guest: &Guest, flash: &FlashUnit, memory: &GuestMemory) -> Result<(Region, Vec<u8>), fm_host::Error> {
    let region = guest.flash_region(memory, flash.unit)?;
    let bytes = guest.read_region(memory, flash.unit, region, VarStore::PREFIX_BYTES as u64)?;
    Ok((region, bytes))
}

fn describe(store: &VarStore<'_>, vars: &mut PsVars) {
    vars.layout = store.layout().map(words::layout);
    vars.free_bytes = Some(store.free_bytes());
    vars.reclaimable_bytes = Some(store.reclaimable_bytes());
    vars.secure_boot = Some(secure_boot(|guid, name| {
        let name = Name::from_units(name.encode_utf16());
        store.variable(guid, &name).map(|variable| variable.data)
    }));
}

fn secure_boot<'v>(data: impl Fn(Guid, &str) -> Option<&'v [u8]>) -> SecureBootState {
    match (data(GLOBAL, "PK"), data(SECURE_BOOT_ENABLE, "SecureBootEnable")) {
        (None, _) => SecureBootState::Setup,
        // edk2 writes the switch as 1 when a platform key is there and the switch is not
        (Some(_), None | Some([1])) => SecureBootState::Enabled,
        (Some(_), Some(_)) => SecureBootState::Disabled,
    }
}
