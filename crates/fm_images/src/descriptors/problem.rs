//! What may be wrong with a descriptor.

use std::path::Path;

use fm_api::v1::descriptors::{DescriptorProblem, DescriptorProblemCode};

/// A problem of the kind `code`, in the words of `message`.
pub(super) fn problem(code: DescriptorProblemCode, message: String) -> DescriptorProblem {
    DescriptorProblem { code, message }
}

/// A descriptor names a file that is not there.
pub(super) fn missing(file: &Path) -> DescriptorProblem {
    problem(
        DescriptorProblemCode::MissingFile,
        format!("it names {}, which does not exist", file.display()),
    )
}
