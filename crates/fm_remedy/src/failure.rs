//! What every error of ours can say: its class, what failed, why, and what to do about it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;

use crate::{Foreign, Remedy};

/// How a failure ends a command; the program maps each class to its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Could not be done.
    Failed,
    /// The request's words are off.
    Usage,
    /// Judged, and it would not work.
    Incompatible,
    /// Could not be judged for lack of facts.
    Unknown,
    /// A fault of ours.
    Bug,
}

/// An error that its reader can act on. Each crate has one enum of errors, which implements this.
pub trait Failure: Error {
    /// How it ends a command.
    fn class(&self) -> Class {
        Class::Failed
    }

    /// What failed, in one sentence.
    fn what(&self) -> String {
        self.to_string()
    }

    /// Why, from the outermost reason to the first.
    fn why(&self) -> Vec<String> {
        core::iter::successors(self.source(), |cause| (*cause).source())
            .map(ToString::to_string)
            .collect()
    }

    /// What to do about it, if there is something the user can do.
    fn remedy(&self) -> Option<Remedy> {
        None
    }
}

/// The error with its causes in one line, for lists in which each has one. It is one line whatever others' words in it
/// hold.
#[must_use]
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        line.push_str(": ");
        line.push_str(&why.to_string());
        cause = why.source();
    }
    Foreign(&line).line()
}
