//! The fleet's server: REST over HTTPS with client certificates, metrics, the planner.
//!
//! ```text
//! pki        the fleet's CA and the certificates that it signs
//! admission  who asks: a certificate or a bearer token, looked up in the records at each request
//! routes     the API, one file a noun
//! pages      the same for people, in a browser
//! listen     connections: TLS, limits, time
//! health     who is asked, besides hosts, whether guests are well
//! peer       the small server of a host, from which other hosts pull builds
//! serve      all of it put together, and the task that collects
//! ```
//!
//! It listens on loopback unless it is told otherwise, and speaks TLS there as well: a port is open to every user of a
//! machine. Whatever comes in is bounded in bytes and in time.

#![forbid(unsafe_code)]

mod admission;
mod answer;
mod clock;
mod collection;
mod distribution;
mod engines;
mod error;
mod health;
mod ledger;
mod listen;
mod log;
mod metrics;
mod openapi;
mod pages;
mod patience;
mod peer;
mod pieces;
mod pki;
mod problem;
mod request;
mod routes;
mod serve;
mod state;
mod uploads;
mod wanted;

pub use engines::{BlobsAt, RecordsAt};
pub use error::{Error, Result};
pub use health::HealthOptions;
pub use log::ServerEvent;
pub use openapi::openapi;
pub use peer::{PeerBuilds, PeerOptions, serve_peers};
pub use pki::{InitPlan, Initialised, PkiFiles, init, pin_of};
pub use serve::{ServeOptions, Serving, start};
