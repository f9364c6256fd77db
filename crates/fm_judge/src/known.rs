//! A value together with where it was read, or nothing; two sources that disagree are an error.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use fm_formats::Sha256;

use crate::{Evidence, Features, MachineType, QemuVersion};

/// A value and the place that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it was read: a file and offset, a QMP command, a place in /proc.
    pub evidence: Evidence,
}

/// A fact, if it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<T>(Option<Fact<T>>);

/// Two sources say different things about the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is {one} according to {one_evidence}, but {other} according to {other_evidence}")]
pub struct Contradiction {
    /// What they speak of.
    pub subject: String,
    /// The value that the first source gives.
    pub one: String,
    /// The first source.
    pub one_evidence: Box<Evidence>,
    /// The value that the other source gives.
    pub other: String,
    /// The other source.
    pub other_evidence: Box<Evidence>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Known<T> {
    /// Known, from `evidence`.
    pub fn new(value: T, evidence: impl Into<Evidence>) -> Self {
        Self(Some(Fact {
            value,
            evidence: evidence.into(),
        }))
    }

    /// The fact, if it is known.
    #[must_use]
    pub fn fact(&self) -> Option<&Fact<T>> {
        self.0.as_ref()
    }

    /// The value, if it is known.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref().map(|fact| &fact.value)
    }

    /// Whether it is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }
}

/// What two sources may both say, in the words in which people meet it.
pub trait DisplayValue {
    /// The value as documents have it.
    fn display_value(&self) -> String;
}

/// Sizes, as QEMU prints them.
impl DisplayValue for u64 {
    fn display_value(&self) -> String {
        alloc::format!("{self:#x}")
    }
}

/// Switches of a machine.
impl DisplayValue for bool {
    fn display_value(&self) -> String {
        if *self { "on" } else { "off" }.into()
    }
}

macro_rules! display_value_as_displayed {
    ($($kind:ty),*) => {
        $(impl DisplayValue for $kind {
            fn display_value(&self) -> String {
                self.to_string()
            }
        })*
    };
}

display_value_as_displayed!(Features, MachineType, QemuVersion, Sha256);

impl<T: PartialEq + DisplayValue> Known<T> {
    /// Adds what `evidence` says. Learning the same twice changes nothing that a verdict depends on;
    /// which of two agreeing sources is named does not depend on their order either.
    ///
    /// # Errors
    ///
    /// If another value is known already; that one is kept.
    pub fn learn(
        &mut self,
        subject: &str,
        value: T,
        evidence: impl Into<Evidence>,
    ) -> Result<(), Contradiction> {
        let evidence = evidence.into();
        match &mut self.0 {
            None => self.0 = Some(Fact { value, evidence }),
            Some(known) if known.value == value => {
                if evidence < known.evidence {
                    known.evidence = evidence;
                }
            }
            Some(known) => {
                return Err(Contradiction {
                    subject: subject.to_string(),
                    one: known.value.display_value(),
                    one_evidence: Box::new(known.evidence.clone()),
                    other: value.display_value(),
                    other_evidence: Box::new(evidence),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sources_that_agree_the_same_one_is_named_whichever_spoke_first() {
        for order in [["a", "b"], ["b", "a"]] {
            let mut size = Known::default();
            for evidence in order {
                size.learn("the size of CODE", 4096_u64, evidence).unwrap();
            }
            assert_eq!(size.fact().unwrap().evidence, Evidence::from("a"));
        }
        let mut smm = Known::new(true, "-machine");
        let error = smm.learn("SMM", false, "descriptor").unwrap_err();
        assert_eq!((error.one.as_str(), error.other.as_str()), ("on", "off"));
    }

    #[test]
    fn a_contradiction_speaks_as_documents_do() {
        let mut machine = Known::new(MachineType::new("pc-q35-7.2", None), "the guest");
        let error = machine
            .learn(
                "the machine type",
                MachineType::new("pc-q35-6.2", None),
                "--machine",
            )
            .unwrap_err();
        let sides = |error: &Contradiction| (error.one.clone(), error.other.clone());
        assert_eq!(error.subject, "the machine type");
        assert_eq!(sides(&error), ("pc-q35-7.2".into(), "pc-q35-6.2".into()));
        assert_eq!(*error.one_evidence, Evidence::from("the guest"));
        assert_eq!(*error.other_evidence, Evidence::from("--machine"));
        let mut size = Known::new(0x1e_0000u64, "a");
        let error = size.learn("the size of CODE", 0x37_c000, "b").unwrap_err();
        assert_eq!(sides(&error), ("0x1e0000".into(), "0x37c000".into()));
    }
}
