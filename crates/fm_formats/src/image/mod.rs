//! What a flash image is: architecture, layout, features, identity.

mod facts;
mod feature;
mod known;
mod layout;
mod measured;
mod names;
mod reset_vector;
mod version;

/// No flash device of QEMU is larger: the largest real ones have 64 MiB, on Arm; four times that for whatever comes.
pub const MAX_FLASH_BYTES: u64 = 256 << 20;
/// The most files of one build, wherever it is kept: CODE, a descriptor, and as many templates as its guests were made from.
pub const MAX_BUILD_FILE_COUNT: usize = 256;
/// All files of one build together.
pub const MAX_BUILD_BYTES: u64 = 3 * MAX_FLASH_BYTES;

pub use crate::arch::{Arch, ParseArchError};
pub use facts::{CpuMode, ImageFacts, NotFirmware, Role, RunsFrom, runs_from};
pub use feature::{Feature, ParseFeatureError};
pub use known::{DXEFV, PEIFV};
pub use layout::{Layout, ParseLayoutError};
pub use measured::{is_measured, measures_volumes};
pub use names::name_of;
pub use reset_vector::{Entry as ResetVectorEntry, Range, ResetVector, Technology};
pub use version::version_string;
