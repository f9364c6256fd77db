//! A running guest whose firmware was given with `-bios`: what its memory, its command line and that file say.

use std::path::Path;

use fm_host::Guest;
use fm_judge::{Block, Facts, Firmware, Known};

use super::gather::{Side, machine};
use super::{guest, image};
use crate::Result;

/// The side of a guest that has no flash and was given a file to `-bios`; nothing of any other.
pub(super) fn from_guest(guest: &Guest) -> Result<Option<Side>> {
    let Some(bios) = guest.command().bios.as_deref().filter(|_| guest.flash().is_err()) else {
        return Ok(None);
    };
    let mut facts = Facts::default();
    let evidence = format!("{}, read from its memory", guest.label());
    let on_line = format!("the command line of {}, -bios", guest.label());
    facts.firmware = Known::new(Firmware::Bios, on_line.clone());
    facts.vars.present = Known::new(false, "firmware given with -bios has no VARS device");
    if let Ok(version) = guest.qemu_version()?.text.parse() {
        facts.qemu = Known::new(version, evidence.clone());
    }
    let memory = guest.memory()?;
    if let Some(name) = guest.machine(Some(&memory)) {
        machine(&mut facts, &name.name, &evidence)?;
    }
    // What runs is a copy in memory that an encrypted guest does not show: the file is what there is to read,
    // unless it is of another size now. A name without a folder is QEMU's own to find.
    let file = guest.process().reach(Path::new(bios));
    let block = memory.blocks().iter().find(|block| block.name == "pc.bios");
    if bios.contains('/')
        && let Ok(code) = image::code_file(&file, None)
        && block.is_none_or(|block| code.size_bytes.value() == Some(&block.used_bytes))
    {
        facts.code = code;
    }
    let path = guest.process().absolute(Path::new(bios));
    facts.code.path = Known::new(path.display().to_string(), on_line);
    if !memory.blocks().is_empty() {
        let blocks = memory.blocks().iter().map(|block| Block {
            name: block.name.clone(),
            size_bytes: block.used_bytes,
        });
        facts.blocks = Known::new(blocks.collect(), format!("{evidence}, blocks"));
        facts.deduce()?;
    }
    guest::command_line(guest, &mut facts);
    Ok(Some(Side {
        name: evidence,
        facts,
    }))
}
