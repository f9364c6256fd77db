//! One judged fact: what was compared, what will come of it, why, and what to do.

use alloc::string::String;

use fm_remedy::Remedy;

use crate::{Effect, Evidence, Fact, Outcome, Phase};

/// A value and where it was read, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedValue {
    /// The value.
    pub value: String,
    /// Where it was read.
    pub evidence: Evidence,
}

impl ObservedValue {
    /// `fact` as text, rendered by `render`.
    pub(crate) fn of<T>(fact: &Fact<T>, render: impl FnOnce(&T) -> String) -> Self {
        Self {
            value: render(&fact.value),
            evidence: fact.evidence.clone(),
        }
    }
}

/// One judged fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stable code, such as `FM-FLASH-SIZE`.
    pub code: &'static str,
    /// When it matters.
    pub phase: Phase,
    /// What will come of it.
    pub outcome: Outcome,
    /// What was compared.
    pub subject: String,
    /// What the source has; nothing if it is not known or there is none.
    pub source: Option<ObservedValue>,
    /// What the destination has.
    pub destination: Option<ObservedValue>,
    /// Why it matters, in one sentence.
    pub why: String,
    /// What to do about it.
    pub remedy: Option<Remedy>,
    /// What QEMU of the version at hand prints when it is tried, without the program's name before it.
    pub qemu_message: Option<String>,
    /// What a cold boot does to the guest and its variables, where the rule knows.
    pub effect: Option<Effect>,
    /// When QEMU meets it: sorts the messages of one phase, the smallest comes first.
    pub(crate) order: (u8, u64),
}

/// The parts of a finding that its rule writes.
#[derive(Debug, Default)]
pub(crate) struct FindingDraft {
    pub(crate) subject: String,
    pub(crate) source: Option<ObservedValue>,
    pub(crate) destination: Option<ObservedValue>,
    pub(crate) why: String,
    pub(crate) remedy: Option<Remedy>,
    pub(crate) qemu_message: Option<String>,
    pub(crate) effect: Option<Effect>,
    pub(crate) order: (u8, u64),
}

/// QEMU reports these as it starts, before it listens for a migration.
pub(crate) const AT_START: u8 = 0;
/// QEMU reports these on the stream's first section.
pub(crate) const AT_CONFIGURATION: u8 = 1;
/// QEMU reports these on the stream's block table.
pub(crate) const AT_BLOCK_TABLE: u8 = 2;
/// Behind all memory, where devices load their state.
pub(crate) const AT_DEVICES: u8 = 3;

impl FindingDraft {
    pub(crate) fn about(subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            why: why.into(),
            ..Self::default()
        }
    }

    pub(crate) fn source<T>(mut self, fact: Option<&Fact<T>>, render: impl FnOnce(&T) -> String) -> Self {
        self.source = fact.map(|fact| ObservedValue::of(fact, render));
        self
    }

    pub(crate) fn destination<T>(
        mut self,
        fact: Option<&Fact<T>>,
        render: impl FnOnce(&T) -> String,
    ) -> Self {
        self.destination = fact.map(|fact| ObservedValue::of(fact, render));
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<Remedy>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    pub(crate) fn qemu(mut self, stage: u8, position: u64, message: impl Into<String>) -> Self {
        self.qemu_message = Some(message.into());
        self.order = (stage, position);
        self
    }
}
