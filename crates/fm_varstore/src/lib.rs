//! The variable store inside VARS: parse, edit, emit, with its fault-tolerant-write areas.
//!
//! [`VarStore`] is a borrowed view of whatever is there, damage included. [`Writer`] makes a fresh store out
//! of [`Variable`]s, in the strictest form that any edk2 build accepts.
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

mod cert_record;
mod damage;
mod emit;
mod ftw;
mod geometry;
mod header;
mod raw;
mod store;
mod variable;
mod walk;

use fm_formats::Guid;

/// The namespace of what the UEFI specification defines (section 3.3), `PK` and `BootOrder` among it.
pub const GLOBAL_VARIABLE: Guid = Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");

pub use cert_record::{CertEntry, CertRecord};
pub use damage::{Damage, DamageKind};
pub use emit::{Checks, EmitError, Writer};
pub use ftw::{Ftw, PendingWrite};
pub use geometry::{Area, Geometry};
pub use header::{ActiveCopy, Format, Interrupted};
pub use store::VarStore;
pub use variable::{Entry, State, Variable, attribute, delete, set, set_all};
