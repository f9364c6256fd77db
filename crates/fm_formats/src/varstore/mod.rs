//! The variable store inside VARS: parse, edit, emit, with its fault-tolerant-write areas.
//!
//! [`VarStore`] is a borrowed view of whatever is there, damage included. [`Writer`] makes a fresh store out
//! of [`Variable`]s, in the strictest form that any edk2 build accepts.

mod damage;
mod emit;
mod ftw;
mod geometry;
mod header;
mod name;
mod raw;
mod store;
mod variable;
mod walk;

/// The namespace of what the UEFI specification defines (section 3.3), `PK` and `BootOrder` among it.
pub const GLOBAL_VARIABLE: crate::Guid = crate::Guid::literal("8be4df61-93ca-11d2-aa0d-00e098032b8c");

pub use damage::{Damage, DamageKind};
pub use emit::{Checks, EmitError, Writer};
pub use ftw::{Ftw, PendingWrite};
pub use geometry::{Area, Geometry};
pub use header::{ActiveCopy, Format, Interrupted};
pub use name::{Name, ParseNameError};
pub use store::VarStore;
pub use variable::{Entry, State, Time, Variable, attribute, delete, set, set_all};
