//! The fleet's API as its clients call it: joining, certificates, blocking HTTPS.
//!
//! Whoever calls waits: no runtime comes with it, so that the agent and the command line stay what they are. Each
//! answer is bounded in bytes and in time.

#![forbid(unsafe_code)]

mod client;
mod error;
mod http;
mod identity;
mod join;
mod provider;
mod random;
mod service;
mod token;

pub use client::{Client, PEER_NAME, Precondition};
pub use error::{Error, Result};
pub use http::EventLines;
pub use identity::{Identity, IdentityFiles, MAX_NAME_BYTES, is_name};
pub use join::{JoinPlan, join, pin, renew};
pub use provider::provider;
pub use random::random_hex;
pub use service::Service;
pub use token::{BEARER, JoinToken};
