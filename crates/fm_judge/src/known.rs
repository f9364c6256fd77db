//! A value together with where it was read, or nothing; two sources that disagree are an error.

use alloc::string::{String, ToString};
use core::fmt::Debug;

/// A value and the place that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it was read: a file and offset, a QMP command, a place in /proc.
    pub evidence: String,
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
    pub one_evidence: String,
    /// The value that the other source gives.
    pub other: String,
    /// The other source.
    pub other_evidence: String,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Known<T> {
    /// Known, from `evidence`.
    pub fn new(value: T, evidence: impl Into<String>) -> Self {
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

impl<T: PartialEq + Debug> Known<T> {
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
        evidence: impl Into<String>,
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
                    one: alloc::format!("{:?}", known.value),
                    one_evidence: known.evidence.clone(),
                    other: alloc::format!("{value:?}"),
                    other_evidence: evidence,
                });
            }
        }
        Ok(())
    }
}
