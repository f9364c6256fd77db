//! Whose firmware is judged, so that what to do about it can be said with its name.

use std::path::PathBuf;

use fm_files::quote;

/// The guest of a side.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// Files, a build: no guest is known.
    Nobody,
    /// One that runs here.
    Running(String),
    /// One on another host.
    Offered {
        /// The offer's file.
        offer: PathBuf,
        /// What `-name` says there.
        name: Option<String>,
    },
    /// One that is saved: it cannot be asked, and a restore brings it back.
    Saved,
}

/// Commands of remedies, in which a guest or its offer is yet to be named.
const MAKE_LANDING: &str = "flashmoor offer GUEST >offer.json, then there: flashmoor prepare offer.json";
const PREPARE: &str = "flashmoor prepare offer.json";
const CAPTURE: &str = "flashmoor capture GUEST";

impl Who {
    /// The remedy of a rule, for this guest.
    pub(super) fn remedy(&self, text: &str) -> String {
        let named = |name: &str| text.replace("GUEST", &quote(name));
        match self {
            Self::Nobody => text.to_owned(),
            Self::Running(name) => named(name),
            Self::Offered { offer, name } => {
                let prepare = format!("flashmoor prepare {}", quote(&offer.display().to_string()));
                let text = match name {
                    Some(name) => named(name),
                    None => text.to_owned(),
                };
                let made = MAKE_LANDING.replace("GUEST", &quote(name.as_deref().unwrap_or("GUEST")));
                text.replace(&made, &prepare).replace(PREPARE, &prepare)
            }
            // It stores the build, makes what a restore needs, and prints the command.
            Self::Saved => [MAKE_LANDING, "flashmoor prepare offer.json --vars FILE", CAPTURE]
                .iter()
                .fold(text.to_owned(), |text, command| {
                    text.replace(command, "flashmoor saved restore-plan FILE")
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANDING: &str =
        "make a landing: flashmoor offer GUEST >offer.json, then there: flashmoor prepare offer.json";

    #[test]
    fn remedies_name_the_guest_and_its_offer() {
        let running = Who::Running("a guest".into());
        assert_eq!(
            running.remedy(LANDING),
            "make a landing: flashmoor offer 'a guest' >offer.json, then there: flashmoor prepare offer.json"
        );
        for name in [Some("vm".to_owned()), None] {
            let offered = Who::Offered {
                offer: "/tmp/vm offer.json".into(),
                name,
            };
            assert_eq!(
                offered.remedy(LANDING),
                "make a landing: flashmoor prepare '/tmp/vm offer.json'"
            );
            assert_eq!(
                offered.remedy("VARS: flashmoor prepare offer.json --vars FILE"),
                "VARS: flashmoor prepare '/tmp/vm offer.json' --vars FILE"
            );
        }
        assert_eq!(Who::Nobody.remedy(LANDING), LANDING);
    }

    #[test]
    fn a_saved_guest_is_not_asked_for_anything() {
        for text in [
            LANDING,
            "VARS: flashmoor prepare offer.json --vars FILE",
            "keep it: flashmoor capture GUEST",
        ] {
            let said = Who::Saved.remedy(text);
            assert!(said.ends_with(": flashmoor saved restore-plan FILE"), "{said}");
        }
    }

    /// The commands are those that rules print.
    #[test]
    fn the_rules_speak_of_guests_in_these_words() {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../fm_judge/src/rules");
        let rules: String = std::fs::read_dir(rules)
            .unwrap()
            .map(|rule| std::fs::read_to_string(rule.unwrap().path()).unwrap())
            .collect();
        for command in [MAKE_LANDING, PREPARE, CAPTURE] {
            assert!(rules.contains(command), "{command}");
        }
        let spoken = rules.matches("GUEST").count();
        let known: usize = ["flashmoor offer GUEST", CAPTURE, "virsh shutdown GUEST"]
            .iter()
            .map(|command| rules.matches(command).count())
            .sum();
        assert_eq!(spoken, known, "a command that nobody names a guest in");
    }
}
