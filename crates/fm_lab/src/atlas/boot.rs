//! A cold boot: does the firmware come up on this store, and does it keep variables?

use std::fs;
use std::path::Path;

use fm_formats::image::Layout;
use fm_varstore::VarStore;

use super::bench::Bench;
use super::reached::reached;
use super::step::Step;
use super::{Reached, Seen, StoreFate};
use crate::{Error, Guest, Result};

/// The variable that the guest sets, under a GUID of our own.
pub(super) const NAME: &str = "FlashmoorAtlas";
pub(super) const GUID: &str = "9c1f6c2e-4f0a-4b7c-9a55-0f6c6d0a7a11";

pub(super) fn observe(bench: &Bench, step: &Step, folder: &Path) -> Result<Seen> {
    let machine = bench
        .machine(&step.source, step.qemu[0], folder)?
        .with(&["-no-reboot"]);
    let vars = folder.join("vars.fd");
    let read = || fs::read(&vars).map_err(|source| Error::file("read", &vars, source));
    let before = read()?;
    let mut guest = Guest::start(&machine, &folder.join("guest"))?;
    let reached = reached(&mut guest, 0);
    let mut asked = false;
    if reached == Reached::Shell {
        guest.boot_to_shell()?;
        guest.shell(&format!("setvar {NAME} -guid {GUID} -bs -rt -nv =464d"))?;
        asked = true;
    }
    if guest.is_alive() {
        guest.quit()?;
    }
    let after = read()?;
    let (old, new) = (look(&before), look(&after));
    let store = match (old.layout, new.layout) {
        _ if before == after => StoreFate::Untouched,
        (_, None) => StoreFate::Destroyed,
        (None, Some(_)) if is_blank(&before) => StoreFate::Created,
        (old, new) if old == new => StoreFate::Kept,
        _ => StoreFate::Reformatted,
    };
    Ok(Seen::ColdBoot {
        reached,
        persistent: asked.then_some(new.has_ours),
        store,
        variables: [old.count, new.count],
    })
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|first| bytes.iter().all(|byte| byte == first))
}

/// Whether a store holds a variable of this name.
pub(super) fn contains_variable(bytes: &[u8], name: &str) -> bool {
    VarStore::parse(bytes).is_ok_and(|store| store.variables().any(|entry| entry.name.to_string() == name))
}

/// What a store's bytes show.
struct Look {
    /// Nothing where no sound store is.
    layout: Option<Layout>,
    count: u32,
    has_ours: bool,
}

fn look(bytes: &[u8]) -> Look {
    let Ok(store) = VarStore::parse(bytes) else {
        return Look {
            layout: None,
            count: 0,
            has_ours: false,
        };
    };
    let sound = store.damage_found().iter().all(|damage| damage.heals_itself())
        && store.format() != fm_varstore::Format::Blank;
    Look {
        layout: store.layout().filter(|_| sound),
        count: u32::try_from(store.variables().count()).unwrap_or(u32::MAX),
        has_ours: store.variables().any(|entry| entry.name.to_string() == NAME),
    }
}
