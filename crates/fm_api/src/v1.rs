//! The first version of every document.

pub mod build;
pub mod offer;
