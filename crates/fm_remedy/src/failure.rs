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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::fmt;

    use super::*;
    use crate::{Action, Misuse};

    #[derive(Debug)]
    struct Told(&'static str, Option<Box<Told>>);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Told {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    impl Failure for Told {}

    fn told() -> Told {
        let first = Told("no such\nfile", None);
        Told(
            "the guest was not moved",
            Some(Box::new(Told("no store", Some(Box::new(first))))),
        )
    }

    #[test]
    fn a_failure_that_says_no_more_could_not_be_done_and_tells_its_causes() {
        let failure = told();
        assert_eq!(failure.class(), Class::Failed);
        assert_eq!(failure.what(), "the guest was not moved");
        assert_eq!(failure.why(), ["no store", "no such\nfile"]);
        assert_eq!(failure.remedy(), None);
        assert_eq!(Told("alone", None).why(), [""; 0]);
    }

    #[test]
    fn a_failure_with_its_causes_is_one_line_whatever_others_said() {
        let line = one_line(&told());
        assert_eq!(line, "the guest was not moved: no store: no such\\nfile");
        assert_eq!(one_line(&Told("alone", None)), "alone");
    }

    #[test]
    fn a_request_that_makes_no_sense_is_one_of_words_and_says_what_to_say_instead() {
        let remedy = Remedy::new("see how it is", Action::ShowBuild);
        let misuse = Misuse {
            message: "two of them".into(),
            remedy: remedy.clone(),
        };
        assert_eq!(misuse.what(), "two of them");
        assert_eq!(misuse.class(), Class::Usage);
        assert_eq!(misuse.remedy(), Some(remedy));
    }
}
