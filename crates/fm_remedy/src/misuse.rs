//! A request that makes no sense: what is wrong with it, and what to say instead.

use alloc::string::String;
use core::error::Error;
use core::fmt;

use crate::{Class, Failure, Remedy};

/// The request itself makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misuse {
    /// What is wrong with it.
    pub message: String,
    /// What to say instead.
    pub remedy: Remedy,
}

impl fmt::Display for Misuse {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.message)
    }
}

impl Error for Misuse {}

impl Failure for Misuse {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn remedy(&self) -> Option<Remedy> {
        Some(self.remedy.clone())
    }
}
