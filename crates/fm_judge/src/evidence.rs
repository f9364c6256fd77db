//! Where a value was read.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;

use fm_remedy::Input;

/// Where a value was read, or why it is taken to be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// It was given with the request; each interface has its own name for the input.
    Input(Input),
    /// A file, by its path.
    File(String),
    /// A firmware descriptor, by its path.
    Descriptor(String),
    /// An offer, by its path.
    Offer(String),
    /// A stored build, by the start of its digest.
    Build(String),
    /// The memory of a guest, by the guest's label.
    GuestMemory(String),
    /// The command line of a guest, by the guest's label.
    GuestCommandLine(String),
    /// The answer of a QEMU's monitor.
    Monitor(&'static str),
    /// Nothing says so; it follows, or it is what nearly all have.
    Assumed(Cow<'static, str>),
    /// A part of another place: a field, an offset, an option.
    Part {
        /// The whole.
        of: Box<Evidence>,
        /// The part.
        part: Cow<'static, str>,
    },
    /// Something follows from what was read elsewhere.
    Follows {
        /// What it follows from.
        from: Box<Evidence>,
        /// How.
        how: Cow<'static, str>,
    },
    /// Somewhere else, in words.
    Elsewhere(Cow<'static, str>),
}

impl Evidence {
    /// A part of this place.
    #[must_use]
    pub fn part(&self, part: impl Into<Cow<'static, str>>) -> Self {
        Self::Part {
            of: Box::new(self.clone()),
            part: part.into(),
        }
    }

    /// What follows from this, and `how`.
    #[must_use]
    pub fn so(&self, how: impl Into<Cow<'static, str>>) -> Self {
        Self::Follows {
            from: Box::new(self.clone()),
            how: how.into(),
        }
    }

    /// The same in words, in which `name_input` names what was given with the request.
    #[must_use]
    pub fn display_with(&self, name_input: impl Fn(&Input) -> String) -> String {
        self.words(&name_input)
    }

    fn words(&self, name_input: &dyn Fn(&Input) -> String) -> String {
        match self {
            Self::Input(input) => name_input(input),
            Self::File(path) | Self::Descriptor(path) | Self::Offer(path) => path.clone(),
            Self::Build(id) => alloc::format!("build {id}"),
            Self::GuestMemory(guest) => alloc::format!("{guest}, read from its memory"),
            Self::GuestCommandLine(guest) => alloc::format!("the command line of {guest}"),
            Self::Monitor(command) => alloc::format!("QMP {command}"),
            Self::Assumed(words) | Self::Elsewhere(words) => words.to_string(),
            Self::Part { of, part } => alloc::format!("{}, {part}", of.words(name_input)),
            Self::Follows { from, how } => alloc::format!("{}; {how}", from.words(name_input)),
        }
    }
}

/// What was given is named in words that hold for every interface.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.words(&|input| alloc::format!("{input} that was given")))
    }
}

impl From<&'static str> for Evidence {
    fn from(words: &'static str) -> Self {
        Self::Elsewhere(words.into())
    }
}

impl From<String> for Evidence {
    fn from(words: String) -> Self {
        Self::Elsewhere(words.into())
    }
}

impl From<&Evidence> for Evidence {
    fn from(evidence: &Evidence) -> Self {
        evidence.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_names_the_place_and_the_part_of_it() {
        let offer = Evidence::Offer("/tmp/offer.json".into());
        let guest = Evidence::GuestCommandLine("guest vm".into());
        for (evidence, words) in [
            (offer.clone(), "/tmp/offer.json"),
            (offer.part("code.sha256"), "/tmp/offer.json, code.sha256"),
            (
                offer.part("machine").so("a guest keeps its machine type"),
                "/tmp/offer.json, machine; a guest keeps its machine type",
            ),
            (Evidence::File("/CODE.fd".into()), "/CODE.fd"),
            (Evidence::Descriptor("/50.json".into()), "/50.json"),
            (Evidence::Build("6e1a".into()), "build 6e1a"),
            (guest.part("-tpmdev"), "the command line of guest vm, -tpmdev"),
            (
                Evidence::GuestMemory("guest vm".into()),
                "guest vm, read from its memory",
            ),
            (Evidence::Monitor("x-query-ramblock"), "QMP x-query-ramblock"),
            (Evidence::Assumed("nothing says so".into()), "nothing says so"),
            ("anywhere".into(), "anywhere"),
            (
                Evidence::Input(Input::SourceQemu),
                "the source's QEMU version that was given",
            ),
        ] {
            assert_eq!(evidence.to_string(), words);
        }
    }

    #[test]
    fn an_interface_names_its_own_inputs() {
        let name = |_: &Input| String::from("the field QEMU");
        let evidence = Evidence::Input(Input::SourceQemu).part("7.2");
        assert_eq!(evidence.display_with(name), "the field QEMU, 7.2");
    }
}
