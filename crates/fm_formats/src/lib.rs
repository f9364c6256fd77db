//! Bytes to values and back: firmware images, what variables hold, QEMU's own words.
//!
//! `no_std` + `alloc`: no I/O, clock, log or environment in here. Input is untrusted: nothing panics,
//! nothing loops for ever, nothing allocates more than a small multiple of what it was given.

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

mod arch;
mod digest;
pub mod efi;
mod error;
mod guid;
pub mod image;
pub mod qemu;
mod reader;
pub mod volume;

pub use digest::{ParseSha256Error, Sha256};
pub use error::Error;
pub use guid::{Guid, ParseGuidError};
pub use reader::Reader;

/// What every parser and writer in this crate returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;
