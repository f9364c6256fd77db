//! Wire types of every document that others script against: one module a version.
//!
//! A document is a plain struct; its `schema` field names kind and version, such as `flashmoor/offer/1`. A field is
//! never renamed or given another meaning within a version.

#![forbid(unsafe_code)]

mod components;
mod described;
pub mod oci;
mod schema;
pub mod v1;
mod words;

pub use components::{Components, Wire};
pub use described::{Described, documents};
pub(crate) use schema::document;
pub use schema::{Document, Schema};
pub(crate) use words::words;
