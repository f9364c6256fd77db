//! Files without loss: replace one whole, keep backups, see who has it open, read no more than is sensible.
//!
//! Every folder is opened once ([`Folder`]), and what lies in it is reached through that, never through a link:
//! who may write to one folder cannot lead us to another. A file appears under its name when it is on disk
//! ([`NewFile`]), and one that is replaced is compared, at that moment, with the one that was read ([`Identity`]).

#![forbid(unsafe_code)]

pub mod backup;
mod bounded;
mod device_id;
pub mod digest_cache;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod fault;
#[cfg(not(any(test, feature = "faults")))]
mod fault;
mod folder;
mod identity;
mod image_lock;
mod in_place;
pub mod in_use;
mod links;
mod lock;
mod names;
mod new_file;
pub mod output;
mod place;
mod private;
mod quote;
mod regular;
mod replace;
mod sparse;

pub use bounded::read_bounded;
pub use error::{Error, io_remedy};
pub use folder::{Entry, Folder, create_folders};
pub use identity::Identity;
pub use image_lock::ImageLock;
pub use in_place::InPlace;
pub use new_file::{Exchanged, NewFile, is_unfinished};
pub use place::Place;
pub use quote::quote;
pub use regular::{open_regular, regular};
pub use replace::{Keep, Replace};
pub use sparse::copy_sparse;

/// What every operation on files returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
