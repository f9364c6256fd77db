//! The fleet's server: REST over HTTPS with client certificates, metrics, the planner, and the pages of `fm_pages`.
//!
//! ```text
//! pki        the fleet's CA and the certificates that it signs
//! routes     the API, one file a noun
//! listen     connections: TLS, limits, time
//! health     who is asked, besides hosts, whether guests are well
//! peer       the small server of a host, from which other hosts pull builds
//! serve      all of it put together, and the task that collects
//! ```
//!
//! It listens on loopback unless it is told otherwise, and speaks TLS there as well: a port is open to every user of a
//! machine. Whatever comes in is bounded in bytes and in time.

#![forbid(unsafe_code)]

mod answer;
mod caller;
mod collection;
mod distribution;
mod engines;
mod error;
mod health;
mod listen;
mod log;
mod metrics;
mod openapi;
mod patience;
mod peer;
mod pieces;
mod pki;
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
