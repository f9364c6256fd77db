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

pub use damage::{Damage, DamageKind};
pub use emit::{Checks, EmitError, Writer};
pub use ftw::{Ftw, PendingWrite};
pub use geometry::{Area, Geometry};
pub use header::{Format, Truth};
pub use name::{Name, ParseNameError};
pub use store::VarStore;
pub use variable::{Entry, State, Time, Variable, attribute, delete, set, set_all};
