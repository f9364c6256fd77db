//! The statements on which the product rests, each with the observations that prove it.

mod board;
mod odd;
mod power_cuts;
mod two_boots;

use std::fmt::Write as _;

use self::board::is_virt;
use super::hold::keeps_variables;
use super::words::outcome;
use super::{Atlas, Change, Group, Observation, Seen, StoreFate, UpdateWay};

/// A statement, and which observations speak of it and agree.
struct Claim {
    title: &'static str,
    text: &'static str,
    group: Group,
    /// Nothing if the observation does not speak of it, else whether it agrees.
    speaks: fn(&Observation) -> Option<bool>,
}

const CLAIMS: &[Claim] = &[
    Claim {
        title: "The source's CODE travels and replaces what the destination loaded",
        text: "CODE is a RAM block of the migration stream. Where the destination's file has the same size and other bytes, the destination's flash afterwards holds the source's bytes.",
        group: Group::BuildMigration,
        speaks: |observation| match observation.seen {
            Seen::Migration {
                completed: true,
                runs_source_code,
                ..
            } if other_code(observation) => runs_source_code,
            _ => None,
        },
    },
    Claim {
        title: "A file of the right size is enough to land in",
        text: "The destination's flash files may hold zeros: the stream brings the bytes, and the guest comes up.",
        group: Group::MachineMigration,
        speaks: |observation| match (&observation.seen, &observation.destination) {
            (
                Seen::Migration {
                    completed,
                    reached: Some(reached),
                    ..
                },
                Some(side),
            ) if side
                .code
                .as_ref()
                .is_some_and(|image| image.change == Some(Change::Zeros)) =>
            {
                Some(*completed && reached.is_up())
            }
            _ => None,
        },
    },
    Claim {
        title: "A migration in the middle of SEC is harmless",
        text: "SEC is the code that runs from flash. The guest was stopped while its processor executed in flash, sent to a destination whose file holds another build, and came up there.",
        group: Group::BuildMigration,
        speaks: |observation| match observation.seen {
            Seen::Migration {
                completed: true,
                in_sec: Some(true),
                reached: Some(reached),
                ..
            } if other_code(observation) => Some(reached.is_up()),
            _ => None,
        },
    },
    Claim {
        title: "Only SEC runs from flash; PEI and DXE run from RAM",
        text: "When neither the processor nor its table of segments was found in flash any more, every byte of CODE flash but its last 4 KiB was overwritten with a breakpoint instruction, and the guest migrated to a QEMU that had translated none of its code: it came up all the same. With flash overwritten before the first instruction it does not. (As data, PEI reads tables of SEC's there: a guest whose flash is overwritten during PEI does not come up.)",
        group: Group::Overwritten,
        speaks: |observation| match observation.seen {
            Seen::Overwritten {
                from_start,
                in_flash,
                arrived,
                reached,
                ..
            } => Some(arrived && reached.is_up() != from_start && (in_flash > 0) != from_start),
            _ => None,
        },
    },
    Claim {
        title: "A variable that the guest sets while it migrates, after its VARS were sent, does not arrive",
        text: "QEMU's model of the chip writes to the flash's memory and marks nothing dirty (`hw/block/pflash_cfi01.c`, `pflash_data_write`), so the page is not sent again. The stream was held back when every page of VARS had gone by; the guest's shell set a variable, and the stream was let go: the variable is in the source's flash and not in the destination's. What was set before the migration arrived.",
        group: Group::LateWrite,
        speaks: |observation| match observation.seen {
            Seen::WrittenLate {
                early_arrived,
                written,
                late_arrived,
            } => Some(early_arrived && written && !late_arrived),
            _ => None,
        },
    },
    Claim {
        title: "A guest that is given another build on the way of its migration boots it at its reset",
        text: "The pages of CODE are exchanged in the stream. The guest arrives with the new build in its flash and runs on: its shell sets a variable. Its reset boots the new build, which has the variables that were set before the migration and after it; so does the reset after that.",
        group: Group::Updated,
        speaks: |observation| match &observation.seen {
            Seen::Updated(seen) if seen.way == UpdateWay::Migration => Some(seen.works()),
            _ => None,
        },
    },
    Claim {
        title: "A guest whose CODE flash is exchanged in its memory runs on, and boots the new build at its reset",
        text: "The guest stood still for that. It ran on and set a variable. What was translated from flash stays under emulation, so that it moved to a fresh process before it was reset; under KVM it is reset where it is.",
        group: Group::Updated,
        speaks: |observation| match &observation.seen {
            Seen::Updated(seen) if seen.way == UpdateWay::InPlace => Some(seen.works()),
            _ => None,
        },
    },
    Claim {
        title: "A guest that is moved from 2M to 4M keeps its variables",
        text: "The guest set a variable on one layout; its store was converted by `flashmoor vars convert`; on the other layout its shell prints the variable, sets a further one, and no variable is lost.",
        group: Group::Conversion,
        speaks: |observation| match &observation.seen {
            Seen::Converted {
                reached,
                reads_back,
                persistent,
                lost,
                ..
            } => Some(reached.is_up() && *reads_back && *persistent && lost.is_empty()),
            _ => None,
        },
    },
    Claim {
        title: "A warm reset at the destination boots the migrated image",
        text: "After a reset the guest comes up again, and the flash still holds the source's bytes, not the file's.",
        group: Group::BuildMigration,
        speaks: |observation| match observation.seen {
            Seen::Migration {
                completed: true,
                still_source_code: Some(still),
                reached_after_reset: Some(reached),
                ..
            } if other_code(observation) => Some(still && reached.is_up()),
            _ => None,
        },
    },
    Claim {
        title: "CODE of another size breaks the migration, and the guest runs on at the source",
        text: "QEMU says `Size mismatch: system.flash0: 0x… != 0x…: Invalid argument`.",
        group: Group::BuildMigration,
        speaks: |observation| match &observation.seen {
            Seen::Migration {
                completed,
                message,
                source_runs_on,
                ..
            } if other_size(observation) => Some(
                !completed
                    && *source_runs_on == Some(true)
                    && message
                        .as_deref()
                        .is_some_and(|words| words.starts_with("Size mismatch: system.flash0: ")),
            ),
            _ => None,
        },
    },
    Claim {
        title: "A variable store of another layout does not work",
        text: "The guest does not come up, or what it sets is never written.",
        group: Group::ColdBoot,
        speaks: |observation| {
            let code = observation.source.code.as_ref()?.size_bytes;
            let vars = observation.source.vars.as_ref()?.size_bytes;
            let fits = (code == 0x1e_0000) == (vars == 0x2_0000);
            works(&observation.seen).filter(|_| !fits).map(|works| !works)
        },
    },
    Claim {
        title: "A store of the same layout works, whichever build wrote it",
        text: "The guest comes up and keeps what it sets, with builds of other years, with and without Secure Boot, 32-bit and 64-bit.",
        group: Group::ColdBoot,
        speaks: |observation| {
            let code = observation.source.code.as_ref()?.size_bytes;
            let vars = observation.source.vars.as_ref()?.size_bytes;
            let fits = (code == 0x1e_0000) == (vars == 0x2_0000);
            works(&observation.seen).filter(|_| fits)
        },
    },
    Claim {
        title: "Erased, zeroed and damaged stores do not work; a missing FTW header heals",
        text: "On x86: an erased store and a damaged volume header end in an exception and a destroyed store, a damaged store header in an exception, zeros in variables that are never written.",
        group: Group::DamagedStore,
        speaks: |observation| {
            if is_virt(observation) {
                return None;
            }
            let change = observation.source.vars.as_ref()?.change?;
            let heals = match change {
                Change::WithoutFtw => true,
                Change::Erased | Change::Zeros | Change::VolumeDamaged | Change::StoreDamaged => false,
                _ => return None,
            };
            works(&observation.seen).map(|works| works == heals)
        },
    },
    Claim {
        title: "On ARM a blank store is filled, and a damaged one is made anew without its variables",
        text: "The builds for `virt` machines come up on both and keep what is set from then on. What was in a store with a damaged header is lost (edk2 `OvmfPkg/VirtNorFlashDxe`, `ValidateFvHeader`).",
        group: Group::DamagedStore,
        speaks: |observation| {
            let change = observation.source.vars.as_ref()?.change?;
            let expected = match change {
                Change::Erased | Change::Zeros => StoreFate::Created,
                Change::VolumeDamaged | Change::StoreDamaged => StoreFate::Reformatted,
                _ => return None,
            };
            match observation.seen {
                Seen::ColdBoot { reached, store, .. } if is_virt(observation) => {
                    Some(reached.is_up() && store == expected)
                }
                _ => None,
            }
        },
    },
    Claim {
        title: "An SMM build needs system management mode",
        text: "Without it the build does not come up.",
        group: Group::DamagedStore,
        speaks: |observation| {
            let smm = observation.source.code.as_ref()?.name.contains("secboot");
            let off = observation.source.machine.contains("smm=off");
            works(&observation.seen)
                .filter(|_| smm && off)
                .map(|works| !works)
        },
    },
    Claim {
        title: "An option ROM of another size breaks the migration as well",
        text: "QEMU says `Size mismatch: 0000:00:01.0/virtio-net-pci.rom: …`.",
        group: Group::MachineMigration,
        speaks: |observation| {
            let to = observation.destination.as_ref()?.rom_bytes?;
            let from = observation.source.rom_bytes?;
            match observation.seen {
                Seen::Migration { completed, .. } => Some(completed == (from == to)),
                _ => None,
            }
        },
    },
    Claim {
        title: "Flash and -bios do not migrate into each other",
        text: "They are different RAM blocks.",
        group: Group::MachineMigration,
        speaks: |observation| {
            let to = observation.destination.as_ref()?.bios.is_some();
            let from = observation.source.bios.is_some();
            match observation.seen {
                Seen::Migration { completed, .. } if from != to => Some(!completed),
                _ => None,
            }
        },
    },
];

fn works(seen: &Seen) -> Option<bool> {
    match *seen {
        Seen::ColdBoot {
            reached,
            persistent,
            store,
            ..
        } => Some(keeps_variables(reached, persistent, store)),
        _ => None,
    }
}

/// Whether the destination's CODE file has the same size and other bytes.
fn other_code(observation: &Observation) -> bool {
    let digest = |image: &super::Image| (image.sha256.clone(), image.size_bytes);
    let from = observation.source.code.as_ref().map(digest);
    let to = observation
        .destination
        .as_ref()
        .and_then(|side| side.code.as_ref())
        .map(digest);
    matches!((from, to), (Some(from), Some(to)) if from.0 != to.0 && from.1 == to.1)
}

fn other_size(observation: &Observation) -> bool {
    let size = |side: &super::Side| side.code.as_ref().map(|image| image.size_bytes);
    let from = size(&observation.source);
    let to = observation.destination.as_ref().and_then(size);
    // A file that QEMU does not take at all is another matter.
    matches!((from, to), (Some(from), Some(to)) if from != to && to % 0x1000 == 0)
}

fn all() -> impl Iterator<Item = &'static Claim> {
    CLAIMS.iter().chain(odd::CLAIMS).chain(power_cuts::CLAIMS)
}

/// `docs/claims.md`, from all observations.
#[must_use]
pub fn claims(atlases: &[Atlas]) -> String {
    let mut page = String::from(
        "# What the product rests on\n\n\
         Generated from the observations in `atlas/` by `flashmoor atlas claims`; a test keeps it up to date. \
         Each statement stands with the real QEMU runs that prove it and the command that repeats them.\n",
    );
    for claim in all() {
        let spoken: Vec<(&Observation, bool)> = atlases
            .iter()
            .filter(|atlas| atlas.group == claim.group)
            .flat_map(|atlas| &atlas.observations)
            .filter_map(|observation| Some((observation, (claim.speaks)(observation)?)))
            .collect();
        let agree = spoken.iter().filter(|(_, agrees)| *agrees).count();
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\nSeen in {agree} of {} observations. Repeat them: `flashmoor atlas run --group {}`\n\n",
            claim.title,
            claim.text,
            spoken.len(),
            claim.group.name()
        );
        for (observation, agrees) in spoken {
            let _ = writeln!(
                page,
                "- {}{} ({}): {}",
                if agrees { "" } else { "**against it:** " },
                observation.id,
                observation.date,
                outcome(&observation.seen)
            );
        }
    }
    page
}

/// Whether no observation speaks against a claim, and each claim has one that speaks for it.
#[must_use]
pub fn unproven(atlases: &[Atlas]) -> Vec<&'static str> {
    all()
        .filter(|claim| {
            let mut spoken = atlases
                .iter()
                .filter(|atlas| atlas.group == claim.group)
                .flat_map(|atlas| &atlas.observations)
                .filter_map(claim.speaks)
                .peekable();
            spoken.peek().is_none() || spoken.any(|agrees| !agrees)
        })
        .map(|claim| claim.title)
        .collect()
}
