//! What a flash image is: architecture, layout, features, identity.

mod arch;
mod feature;
mod layout;

pub use arch::{Arch, ParseArchError};
pub use feature::{Feature, ParseFeatureError};
pub use layout::{Layout, ParseLayoutError};
