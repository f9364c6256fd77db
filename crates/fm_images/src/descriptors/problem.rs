//! What may be wrong with a descriptor.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `unreadable`, `malformed`, `missing-file`, `wrong-format`, `not-firmware`, `damaged`, `wrong-role`,
    /// `wrong-architecture`, `wrong-machine`, `feature-contradicted`, `size-mismatch`, `hidden`.
    pub code: String,
    /// In a sentence.
    pub message: String,
}

/// A problem of the kind `code`, in the words of `message`.
pub(super) fn problem(code: &str, message: String) -> Problem {
    Problem {
        code: code.into(),
        message,
    }
}

/// A descriptor names a file that is not there.
pub(super) fn missing(file: &Path) -> Problem {
    problem(
        "missing-file",
        format!("it names {}, which does not exist", file.display()),
    )
}
