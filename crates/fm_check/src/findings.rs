//! The pages that explain findings, for `explain`.

pub use fm_judge::{codes, page};
