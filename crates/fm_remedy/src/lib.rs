//! What to do about a finding or a failure, as data, and how a failure is classed.
//!
//! Libraries name an [`Action`] with its subject; the command line renders it as a command, a server or a page as
//! a link or a button. No text below the program names a flag.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod failure;
mod foreign;
mod input;
mod misuse;
mod remedy;

pub use action::{Action, ConvertTarget, DomainSubject, PaddedSize, Setting};
pub use failure::{Class, Failure, one_line};
pub use foreign::{Foreign, steers};
pub use input::{Input, PieceKey};
pub use misuse::Misuse;
pub use remedy::Remedy;
