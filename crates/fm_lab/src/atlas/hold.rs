//! Holds the judge to what was observed: one disagreement is one line.

use std::collections::HashMap;
use std::path::Path;

use fm_check::{code_file, machine_words, vars_file, vars_of};
use fm_judge::{Block, Effect, Facts, Firmware, Format, Known, Outcome, Phase, VarsUnit, Verdict, judge};
use fm_remedy::{Input, Misuse, Remedy};

use super::changes::apply;
use super::cut::{leave, recorded};
use super::{
    Atlas, BootSeen, Change, FlashRecording, Image, Observation, Reached, Seen, Side, StoreFate, VarsAccess,
};
use crate::{Error, Result};

/// The judge against observations: what it says other than what was seen.
#[derive(Debug, Default)]
pub struct Held {
    /// How many observations there are.
    pub observations: usize,
    /// Of how many nothing is foretold: no rule speaks of them, or the answer is that nobody knows.
    pub not_foretold: usize,
    /// Where they differ, with the observation's name.
    pub disagreements: Vec<String>,
}

/// Judges every observation of `atlas` on the files below `firmware` and compares.
///
/// # Errors
///
/// If a file is missing or is not the one that was observed.
pub fn hold(atlas: &Atlas, firmware: &Path) -> Result<Held> {
    let mut held = Held::default();
    let mut files = Files {
        firmware,
        recordings: &atlas.recordings,
        seen: HashMap::new(),
    };
    for observation in &atlas.observations {
        held.observations += 1;
        let (wrong, foretold) = compare(observation, &mut files)?;
        held.not_foretold += usize::from(!foretold);
        held.disagreements.extend(
            wrong
                .into_iter()
                .map(|what| format!("{}: {what}", observation.id)),
        );
    }
    Ok(held)
}

/// What an outcome must be.
fn expect(verdict: &Verdict, phase: Phase, works: bool) -> Option<String> {
    let outcome = verdict.phase(phase).outcome();
    let agrees = match works {
        true => outcome <= Outcome::Caution,
        false => outcome == Outcome::Incompatible,
    };
    (!agrees).then(|| {
        let worst = verdict.phase(phase).findings().first();
        let why = worst.map(|finding| format!("{}: {}", finding.code, finding.why));
        format!(
            "{phase} {} but is judged {outcome} ({})",
            if works { "worked" } else { "failed" },
            why.unwrap_or_default()
        )
    })
}

/// What is said other than what was seen, and whether anything is said at all.
fn compare(observation: &Observation, files: &mut Files<'_>) -> Result<(Vec<String>, bool)> {
    let with_card = |side: &Side| side.rom_bytes.is_some();
    let source_side = &observation.source;
    let destination_side = observation.destination.as_ref().unwrap_or(source_side);
    let blocks = with_card(source_side) || with_card(destination_side);
    let source = files.facts(source_side, blocks)?;
    let destination = files.facts(destination_side, blocks)?;
    let verdict = judge(&source, &destination);
    let (mut wrong, mut foretold) = (Vec::new(), true);
    match &observation.seen {
        Seen::ColdBoot {
            reached,
            persistent,
            store,
            ..
        } => {
            let works = keeps_variables(*reached, *persistent, *store);
            wrong.extend(expect(&verdict, Phase::ColdBoot, works));
            // What is said of the guest and its variables must be what was seen, and not only that it failed.
            let (seen, said) = (
                effect(*reached, *persistent, *store),
                verdict.phase(Phase::ColdBoot).effect(),
            );
            if said != Some(seen) {
                let said = said.map_or("nothing", Effect::name);
                wrong.push(format!("the effect was {seen}, foretold was {said}"));
            }
        }
        Seen::Converted {
            reached,
            reads_back,
            persistent,
            ..
        } => {
            let works = reached.is_up() && *reads_back && *persistent;
            wrong.extend(expect(&verdict, Phase::ColdBoot, works));
        }
        Seen::TwoBoots {
            held,
            boots,
            reads_first,
            ..
        }
        | Seen::PowerCut {
            held,
            boots,
            reads_first,
            ..
        } => {
            let seen = effect_of_two(*held, boots, *reads_first);
            let cold = verdict.phase(Phase::ColdBoot);
            // Where nobody foretells what a build does, it says so: `unknown` is no disagreement.
            foretold = cold.outcome() != Outcome::Unknown;
            if foretold {
                let works = seen <= Effect::FirstBootLost
                    || (seen == Effect::Volatile && source_side.vars_access.is_some());
                wrong.extend(expect(&verdict, Phase::ColdBoot, works));
                if cold.effect() != Some(seen) {
                    let said = cold.effect().map_or("nothing", Effect::name);
                    wrong.push(format!("the effect was {seen}, foretold was {said}"));
                }
            }
        }
        // For the firmware that reset is a cold boot on what its variables are then.
        Seen::Updated(seen) => wrong.extend(expect(&verdict, Phase::ColdBoot, seen.works())),
        // No rule speaks of flash that is written from outside, or at which moment.
        Seen::Overwritten { .. } | Seen::WrittenLate { .. } => foretold = false,
        Seen::Migration {
            completed,
            message,
            reached_after_reset,
            runs_source_code,
            still_source_code,
            ..
        } => {
            let live = verdict.phase(Phase::LiveMigration);
            wrong.extend(expect(&verdict, Phase::LiveMigration, *completed));
            if !completed && live.qemu_message() != message.as_deref() {
                wrong.push(format!(
                    "QEMU said {message:?}, foretold was {:?}",
                    live.qemu_message()
                ));
            }
            // With a network card the firmware tries to boot from the network first, and how far it comes
            // in the time that it is given is chance.
            if let Some(reached) = reached_after_reset.filter(|_| !blocks) {
                wrong.extend(expect(&verdict, Phase::WarmReset, reached.is_up()));
            }
            for (fact, what) in [(runs_source_code, "migration"), (still_source_code, "reset")] {
                if *fact == Some(false) {
                    wrong.push(format!(
                        "after the {what} the destination did not hold the source's CODE"
                    ));
                }
            }
        }
    }
    Ok((wrong, foretold))
}

/// Whether a cold boot went well for the guest: it came up, and what it sets is kept.
pub(super) fn keeps_variables(reached: Reached, persistent: Option<bool>, store: StoreFate) -> bool {
    reached.is_up() && persistent.unwrap_or(true) && matches!(store, StoreFate::Kept | StoreFate::Created)
}

/// What became of the guest and its variables, in the judge's words.
fn effect(reached: Reached, persistent: Option<bool>, store: StoreFate) -> Effect {
    match (reached.is_up(), store) {
        (true, _) if persistent == Some(false) => Effect::Volatile,
        (true, StoreFate::Untouched | StoreFate::Kept) => Effect::Kept,
        (true, StoreFate::Created | StoreFate::Reformatted | StoreFate::Destroyed) => Effect::Recreated,
        (false, StoreFate::Untouched) => Effect::DeadUntouched,
        (false, StoreFate::Kept) => Effect::DeadWritten,
        (false, StoreFate::Created | StoreFate::Reformatted | StoreFate::Destroyed) => Effect::DeadErased,
    }
}

/// What became of the guest and of the variables that its store held, over two boots.
pub(super) fn effect_of_two(held: u32, boots: &[BootSeen; 2], reads_first: Option<bool>) -> Effect {
    let [first, second] = boots;
    let alive = first.reached.is_up() && second.reached.is_up();
    let written = first.written || second.written;
    if !alive {
        return match second.recoverable {
            _ if !written => Effect::DeadUntouched,
            left if left >= held => Effect::DeadWritten,
            _ => Effect::DeadErased,
        };
    }
    match second.visible {
        // What a build without a shell sets at every boot shows in the file as well.
        _ if !written => Effect::Volatile,
        _ if first.persistent == Some(false) && second.persistent == Some(false) => Effect::Volatile,
        0 if held > 0 => Effect::Recreated,
        left if left < held => Effect::PartlyLost,
        _ if reads_first == Some(false) && !ends_early(held, second) => Effect::FirstBootLost,
        _ => Effect::Kept,
    }
}

/// Whether all variables are there, and a shell that asks for one after the other does not get to the last.
pub(super) fn ends_early(held: u32, boot: &BootSeen) -> bool {
    boot.reads_last == Some(false) && boot.visible >= held
}

/// The files of observations, each read once.
struct Files<'a> {
    firmware: &'a Path,
    recordings: &'a [FlashRecording],
    seen: HashMap<(String, bool), (fm_judge::CodeUnit, VarsUnit)>,
}

impl Files<'_> {
    fn facts(&mut self, side: &Side, blocks: bool) -> Result<Facts> {
        let mut facts = Facts::default();
        let evidence = "the observation";
        if let Ok(version) = side.qemu.parse() {
            facts.qemu = Known::new(version, evidence);
        }
        machine_words(&mut facts, &side.machine, &evidence.into())?;
        facts.secure_flash = Known::new(side.secure_flash, evidence);
        facts.s3 = Known::new(!side.s3_off, evidence);
        facts.vars.present = Known::new(false, evidence);
        if let Some(image) = &side.code {
            facts.firmware = Known::new(Firmware::Flash, evidence);
            facts.code = self.code(image)?;
        }
        if let Some(image) = &side.bios {
            facts.firmware = Known::new(Firmware::Bios, evidence);
            facts.code = self.code(image)?;
        }
        if let Some(image) = &side.vars {
            facts.vars = self.vars(image, side)?;
            let access = match side.vars_access {
                None => fm_judge::VarsAccess::Written,
                Some(VarsAccess::ReadOnly) => fm_judge::VarsAccess::ReadOnly,
                Some(VarsAccess::Snapshot) => fm_judge::VarsAccess::Dropped,
            };
            facts.vars.access = Known::new(access, evidence);
        }
        if blocks {
            let rom = side.rom_bytes.map(|size_bytes| Block {
                name: "0000:00:01.0/virtio-net-pci.rom".into(),
                size_bytes,
            });
            let unit = |name: &str, image: &Option<Image>| {
                image.as_ref().map(|image| Block {
                    name: name.into(),
                    size_bytes: image.size_bytes,
                })
            };
            let list = [
                unit("system.flash0", &side.code),
                unit("system.flash1", &side.vars),
                rom,
                Some(Block {
                    name: "isa-bios".into(),
                    size_bytes: 0x2_0000,
                }),
            ];
            facts.blocks = Known::new(list.into_iter().flatten().collect(), evidence);
        }
        Ok(facts)
    }

    fn code(&mut self, image: &Image) -> Result<fm_judge::CodeUnit> {
        let mut unit = match image.change {
            // These are no firmware any more: only the size is a fact.
            Some(Change::Cut | Change::Halved | Change::Zeros) => fm_judge::CodeUnit::default(),
            _ => self.read(image, true)?.0,
        };
        unit.size_bytes = Known::new(image.size_bytes, "the observation");
        let qcow2 = image.change == Some(Change::Qcow2);
        unit.format = Known::new(if qcow2 { Format::Qcow2 } else { Format::Raw }, "the observation");
        Ok(unit)
    }

    fn vars(&mut self, image: &Image, side: &Side) -> Result<VarsUnit> {
        let mut unit = match image.change {
            None | Some(Change::Qcow2) => self.read(image, false)?.1,
            Some(change) => {
                let path = self.firmware.join(&image.name);
                let mut bytes = std::fs::read(&path).map_err(|source| Error::file("read", &path, source))?;
                apply(change, &mut bytes);
                if let Some(cut) = side.power_cut {
                    let recording = recorded(self.recordings, side).ok_or(Error::OtherRecording)?;
                    leave(recording, cut, &mut bytes)?;
                }
                vars_of(&bytes, &"the observation".into())
                    .map_err(|source| Error::NotStore { path, source })?
            }
        };
        let qcow2 = image.change == Some(Change::Qcow2);
        unit.format = Known::new(if qcow2 { Format::Qcow2 } else { Format::Raw }, "the observation");
        Ok(unit)
    }

    fn read(&mut self, image: &Image, code: bool) -> Result<(fm_judge::CodeUnit, VarsUnit)> {
        let key = (image.name.clone(), code);
        if let Some(known) = self.seen.get(&key) {
            return Ok(known.clone());
        }
        let path = self.firmware.join(&image.name);
        let read = if code {
            (code_file(&path, None)?, VarsUnit::default())
        } else {
            (fm_judge::CodeUnit::default(), vars_file(&path)?)
        };
        let digest = read.0.sha256.value().or(read.1.sha256.value());
        if digest.is_none_or(|digest| digest.to_string() != image.sha256) {
            return Err(Error::Usage(Misuse {
                message: format!(
                    "{} is not the file that was observed: its digest is another",
                    path.display()
                ),
                remedy: Remedy::give("name the folder with those files", [Input::FirmwareFolder]),
            }));
        }
        self.seen.insert(key, read.clone());
        Ok(read)
    }
}
