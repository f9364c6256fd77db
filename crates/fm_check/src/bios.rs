//! A running guest whose firmware was given with `-bios`: what its memory, its command line and that file say.

use std::io::Read as _;
use std::path::Path;

use fm_api::v1::inspect::ImageFormat;
use fm_host::Guest;
use fm_images::inspect::Flash;
use fm_judge::{Block, CodeUnit, Evidence, Facts, Firmware, Known};
use fm_store::MAX_FLASH_BYTES;

use crate::command_line::command_line;
use crate::machine_option::machine;
use crate::remedy_target::RemedyTarget;
use crate::side::{Side, no_vars_with_bios};
use crate::{Result, image};

/// The side of a guest that has no flash and was given a file to `-bios`; nothing of any other.
pub(super) fn from_guest(guest: &Guest) -> Result<Option<Side>> {
    let Some(bios) = guest.command().bios.as_deref().filter(|_| guest.flash().is_err()) else {
        return Ok(None);
    };
    let mut facts = Facts::default();
    let evidence = Evidence::GuestMemory(guest.label());
    let on_line = Evidence::GuestCommandLine(guest.label()).part("-bios");
    facts.firmware = Known::new(Firmware::Bios, on_line.clone());
    facts.vars.present = Known::new(false, no_vars_with_bios());
    facts.qemu = Known::new(guest.qemu_version()?.version, evidence.clone());
    let memory = guest.memory()?;
    if let Some(name) = guest.machine(Some(&memory)) {
        machine(&mut facts, &name.name, &evidence)?;
    }
    // What runs is a copy in memory that an encrypted guest does not show: the file is what there is to read,
    // unless it is of another size now. A name without a folder is QEMU's own to find.
    let path = guest.process().absolute(Path::new(bios));
    let block = memory.blocks().iter().find(|block| block.name == "pc.bios");
    if bios.contains('/')
        && let Some(code) = code_in(guest, &path)
        && block.is_none_or(|block| code.size_bytes.value() == Some(&block.used_bytes))
    {
        facts.code = code;
    }
    facts.code.path = Known::new(path.display().to_string(), on_line);
    if !memory.blocks().is_empty() {
        let blocks = memory.blocks().iter().map(|block| Block {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
        });
        facts.blocks = Known::new(blocks.collect(), evidence.part("blocks"));
        facts.deduce()?;
    }
    command_line(guest, &mut facts);
    Ok(Some(Side {
        name: evidence.to_string(),
        facts,
        target: RemedyTarget::of_guest(guest),
    }))
}

/// What the file shows that `path` leads to for the guest; it is read as it is, whatever its first bytes say.
fn code_in(guest: &Guest, path: &Path) -> Option<CodeUnit> {
    let file = guest.process().root().ok()?.open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_FLASH_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_FLASH_BYTES {
        return None;
    }
    let evidence = Evidence::File(path.display().to_string());
    image::code_of(&Flash::from_bytes(&bytes, ImageFormat::Raw), &evidence, None).ok()?
}
