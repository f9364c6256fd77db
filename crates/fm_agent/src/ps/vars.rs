//! The variable store of a running guest: layout, room, Secure Boot.

use fm_formats::Guid;
use fm_formats::varstore::{GLOBAL_VARIABLE as GLOBAL, Name, VarStore};
use fm_host::{FlashUnit, Guest, GuestMemory, Region};

use super::PsVars;
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
    vars.layout = store.layout().map(|layout| layout.name().to_owned());
    vars.free_bytes = Some(store.free_bytes());
    vars.reclaimable_bytes = Some(store.reclaimable_bytes());
    let data = |guid, name: &str| {
        let name = Name::from_units(name.encode_utf16());
        store.variable(guid, &name).map(|variable| variable.data)
    };
    let state = match (data(GLOBAL, "PK"), data(SECURE_BOOT_ENABLE, "SecureBootEnable")) {
        (None, _) => "setup",
        // edk2 writes the switch as 1 when a platform key is there and the switch is not
        (Some(_), None | Some([1])) => "enabled",
        (Some(_), Some(_)) => "disabled",
    };
    vars.secure_boot = Some(state.to_owned());
}
