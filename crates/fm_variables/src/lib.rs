//! Variable stores without loss: list, change, convert, repair.
//!
//! Every writing verb parses what it read, changes a list of variables, emits a fresh store, writes it to a
//! new file, reads that back and compares, and only then puts it in place; the old file stays as a backup. A block device
//! is written where it lies, by the [`Journal`].

mod backups;
mod certdb;
mod certificate;
mod change;
mod convert;
mod describe;
mod document;
mod error;
mod forecast;
mod hex;
mod in_flash;
mod journal;
mod json;
mod limits;
mod names;
mod namespaces;
mod qcow2;
mod read;
mod repair;
mod report;
mod revocation;
mod save;
mod secure_boot;
mod source;
mod stdin;
mod store_target;
mod target;
mod trust;

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub use backups::{BackupsRequest, backups};
pub use change::{DeleteRequest, ImportRequest, SetRequest, delete, import, set};
pub use convert::{ConvertRequest, ConvertTarget, ExportRequest, FileFormat, convert, export};
pub use document::attribute_names;
pub use error::{Error, ProgramFailure};
pub use forecast::forecast;
pub use hex::{decode as hex_bytes, encode as hex_text};
pub use journal::{Journal, PendingWrite, Settled, SettledDevice};
pub use namespaces::{namespace, namespace_alias, namespace_aliases};
pub use qcow2::pack_qcow2;
pub use read::{Selection, Shown, diff, get, list, show};
pub use repair::{RestoreRequest, compact, repair, restore};
pub use secure_boot::{Enrolment, Keys, enroll, enroll_to, unenroll};
pub use store_target::StoreTarget;
pub use trust::{status, status_of_guests, statuses};
