//! Who asks the fleet's server and what he may, how a request is read, and how it is refused.
//!
//! ```text
//! admission  who asks: a certificate or a bearer token, looked up in the records at each request
//! ledger     tokens, certificates and revocations in the records
//! request    what comes in, read within its bounds
//! problem    what is answered when a request is refused
//! ```

#![forbid(unsafe_code)]

mod admission;
mod clock;
mod ledger;
mod problem;
pub mod request;

pub use admission::{Principal, Shown, ShownCertificate};
pub use clock::{display, now_s};
pub use ledger::{FoundToken, Issued, Ledger, Spent, Token, hex};
pub use problem::{Problem, Refusal};
