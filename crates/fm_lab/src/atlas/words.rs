//! Observations in words: for whoever watches a run, and for the page of claims.

use super::hold::ends_early;
use super::{BootSeen, Reached, RepairSeen, Seen, StoreFate};

/// The observation in a few words.
#[must_use]
pub(super) fn in_words(seen: &Seen) -> String {
    match seen {
        Seen::ColdBoot {
            reached,
            persistent,
            store,
            ..
        } => format!("reached {reached:?}, persistent {persistent:?}, store {store:?}"),
        Seen::TwoBoots {
            held,
            boots: [first, second],
            reads_first,
            repaired,
        }
        | Seen::PowerCut {
            held,
            boots: [first, second],
            reads_first,
            repaired,
            ..
        } => format!(
            "of {held}: {:?} with {}, then {:?} with {}, reads the first boot's {reads_first:?}, repaired {repaired:?}",
            first.reached, first.visible, second.reached, second.visible
        ),
        Seen::Migration {
            completed: false,
            message,
            ..
        } => format!("refused: {}", message.as_deref().unwrap_or("without a word")),
        Seen::Converted {
            reached,
            reads_back,
            lost,
            ..
        } => format!("reached {reached:?}, reads back {reads_back}, lost {lost:?}"),
        Seen::WrittenLate {
            early_arrived,
            written,
            late_arrived,
        } => format!(
            "set before: arrived {early_arrived}; set late: written {written}, arrived {late_arrived}"
        ),
        Seen::Updated(seen) => format!(
            "arrived {}, after reset {:?}, again {:?}, kept {} and {}",
            seen.arrived, seen.reached_after_reset, seen.reached_again, seen.keeps_before, seen.keeps_between
        ),
        Seen::Overwritten {
            in_flash, reached, ..
        } => format!("{in_flash} times in flash, reached {reached:?}"),
        Seen::Migration {
            runs_source_code,
            reached,
            reached_after_reset,
            ..
        } => format!(
            "completed, runs the source's code {runs_source_code:?}, reached {reached:?}, after reset {reached_after_reset:?}"
        ),
    }
}

/// What was seen, in words that a person can read.
pub(super) fn outcome(seen: &Seen) -> String {
    match seen {
        Seen::ColdBoot {
            reached,
            persistent,
            store,
            ..
        } => {
            let reached = format!("{reached:?}").to_lowercase();
            let kept = match (persistent, store) {
                (Some(true), _) => "a variable it set is in the file",
                (Some(false), _) => "a variable it set is not in the file",
                (None, StoreFate::Kept) => "the store was written and is sound",
                (None, StoreFate::Untouched) => "the store was not written",
                (None, StoreFate::Created) => "the store was made",
                (None, StoreFate::Reformatted) => "the store has another layout now",
                (None, StoreFate::Destroyed) => "the store is destroyed",
            };
            format!("{reached}; {kept}")
        }
        Seen::Converted {
            reached,
            reads_back,
            persistent,
            variables,
            lost,
        } => format!(
            "{}; {}, {}; {variables} variables before, {}",
            format!("{reached:?}").to_lowercase(),
            if *reads_back {
                "reads back what it set"
            } else {
                "does not read what it set"
            },
            if *persistent {
                "keeps what it sets"
            } else {
                "does not keep what it sets"
            },
            match lost.as_slice() {
                [] => "none lost".to_owned(),
                lost => format!("lost: {}", lost.join(", ")),
            }
        ),
        Seen::WrittenLate {
            early_arrived,
            written,
            late_arrived,
        } => {
            let place = |there: bool| if there { "arrived" } else { "did not arrive" };
            format!(
                "the variable set before {}; the late one {} at the source and {}",
                place(*early_arrived),
                if *written {
                    "was written"
                } else {
                    "was not written"
                },
                place(*late_arrived)
            )
        }
        Seen::Updated(seen) => format!(
            "the flash held {}; after a reset {}, after another {}; what was set before the update {}, and between it and \
             the reset {}",
            if seen.arrived {
                "the new build"
            } else {
                "something else"
            },
            format!("{:?}", seen.reached_after_reset).to_lowercase(),
            format!("{:?}", seen.reached_again).to_lowercase(),
            if seen.keeps_before { "is kept" } else { "is lost" },
            if seen.keeps_between { "is kept" } else { "is lost" },
        ),
        Seen::Overwritten {
            in_flash,
            in_memory,
            reached,
            ..
        } => format!(
            "found in flash {in_flash} times, then elsewhere {in_memory} times; after that {}",
            format!("{reached:?}").to_lowercase()
        ),
        Seen::TwoBoots {
            held,
            boots,
            reads_first,
            repaired,
        }
        | Seen::PowerCut {
            held,
            boots,
            reads_first,
            repaired,
            ..
        } => two_boots(*held, boots, *reads_first, repaired.as_ref()),
        Seen::Migration {
            completed: false,
            message,
            ..
        } => format!("`{}`", message.as_deref().unwrap_or("no word")),
        Seen::Migration { reached: None, .. } => "completed".into(),
        Seen::Migration {
            reached,
            reached_after_reset,
            ..
        } => {
            let word = |reached: &Option<Reached>| match reached {
                Some(reached) => format!("{reached:?}").to_lowercase(),
                None => "not asked".into(),
            };
            format!(
                "completed; {}; after a reset {}",
                word(reached),
                word(reached_after_reset)
            )
        }
    }
}

fn two_boots(
    held: u32,
    [first, second]: &[BootSeen; 2],
    reads_first: Option<bool>,
    repaired: Option<&RepairSeen>,
) -> String {
    let word = |reached: Reached| format!("{reached:?}").to_lowercase();
    let mut text = format!(
        "of {held} variables: {} with {} left, then {} with {} left",
        word(first.reached),
        first.visible,
        word(second.reached),
        second.visible
    );
    if reads_first == Some(false) {
        text.push_str(match ends_early(held, second) {
            true => "; the shell, asked for all of them, does not get to the last, nor to what was set",
            false => "; what the first boot set is gone at the second",
        });
    }
    if let Some(repaired) = repaired {
        text.push_str(&format!(
            "; after `vars repair`: {} with {}",
            word(repaired.reached),
            repaired.kept
        ));
    }
    text
}
