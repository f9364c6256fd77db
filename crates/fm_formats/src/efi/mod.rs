//! What well-known variables hold: signature lists, authenticated updates, device paths, boot entries.
//!
//! Not virtfw-libefi's parsers: 0.7.1 panics on a signature list that is shorter than its header says
//! (`EfiSigList::new_from_bytes` splits without a check), keeps only the first certificate of a list when
//! merging, and its device paths lose values on the way to text (`MAC()`, `PciRoot()`). Its certificates and
//! revocation lists are used.

mod device_path;
mod load_option;
mod name;
mod node;
mod signature;
mod time;

pub use device_path::DevicePath;
pub use load_option::LoadOption;
pub use name::{Name, ParseNameError};
pub use signature::{AuthenticatedUpdate, Signature, SignatureKind, SignatureList, SignatureLists};
pub use time::Time;
