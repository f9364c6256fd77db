//! Facts to verdict: what a firmware change does to a guest, phase by phase.
//!
//! Pure: the same facts always give the same findings, whatever order they were learnt in. Nothing in
//! here reads a file, a clock or the environment; gathering facts is the business of `fm_check`.
//! What is not known is never taken for good: a rule that misses a fact says [`Outcome::Unknown`].

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::cast_possible_truncation
    )
)]

extern crate alloc;

mod effect;
mod evidence;
mod facts;
mod features;
mod finding;
mod known;
pub mod messages;
mod outcome;
mod report;
mod rules;
mod verdict;

pub use effect::Effect;
pub use evidence::Evidence;
pub use facts::{
    Block, CodeUnit, Confidential, Facts, Firmware, Format, Soundness, StoreState, VarsAccess, VarsUnit,
};
pub use features::Features;
pub use finding::{Finding, ObservedValue};
pub use fm_formats::qemu::{MachineFamily, MachineType, MachineVendor, ParseVersionError, QemuVersion};
pub use known::{Contradiction, DisplayValue, Fact, Known};
pub use outcome::{Outcome, Phase};
pub use verdict::{PhaseVerdict, Verdict, arrival, cold_boot, judge};

/// The codes of all findings there are, in alphabetical order.
pub fn codes() -> impl Iterator<Item = &'static str> {
    rules::ALL.iter().map(|rule| rule.code)
}

/// The page that says why a finding matters and what to do about it, in Markdown.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    rules::ALL
        .iter()
        .find(|rule| rule.code.eq_ignore_ascii_case(code))
        .map(|rule| rule.page)
}
