//! The verbs: gather, parse, judge, plan, act, record, explain.
//!
//! Each job is one module: a function that takes a request and returns a document (or drives a
//! progress sink), and knows nothing of terminals. Documents are what users script against.

pub mod agent;
pub mod atlas;
pub mod capture;
pub mod catalogue;
pub mod check;
pub mod demo;
pub mod descriptors;
pub mod diff;
pub mod document;
mod error;
pub mod findings;
pub mod guard;
pub mod harvest;
pub mod inspect;
pub mod libvirt;
pub mod migrate;
pub mod offer;
mod on_disk;
pub mod output;
pub mod pieces;
pub mod prepare;
pub mod ps;
pub mod saved;
pub mod store;
pub mod stream;
pub mod vars;

pub use error::{Class, Error, Mismatch};

pub use fm_judge::{Confidential, Outcome};
pub use fm_store::Store;

/// What every job returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
