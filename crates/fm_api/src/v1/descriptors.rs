//! `flashmoor/descriptors/1`: what is wrong with firmware descriptors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Schema, document, words};

/// What is wrong with firmware descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorsDocument {
    /// `flashmoor/descriptors/1`.
    pub schema: Schema<DescriptorsDocument>,
    /// Each descriptor, in the order in which a management stack tries them.
    pub descriptors: Vec<DescriptorDocument>,
}

document!(DescriptorsDocument = "flashmoor/descriptors/1");

impl DescriptorsDocument {
    /// Whether something is wrong with one. That one hides another is how folders are meant to work.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        let mut problems = self
            .descriptors
            .iter()
            .flat_map(|descriptor| &descriptor.problems);
        problems.any(|problem| problem.code != DescriptorProblemCode::Hidden)
    }
}

/// One descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorDocument {
    /// Its file.
    pub path: String,
    /// What it says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Architectures it is for.
    pub architectures: Vec<String>,
    /// Features it claims.
    pub features: Vec<String>,
    /// Digest of the code that it names, where that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_sha256: Option<String>,
    /// What is wrong with it; empty if nothing is.
    pub problems: Vec<DescriptorProblem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorProblem {
    /// Which kind of problem.
    pub code: DescriptorProblemCode,
    /// In a sentence.
    pub message: String,
}

words! {
    /// What can be wrong with a descriptor.
    DescriptorProblemCode {
        /// It, or a file that it names, cannot be read.
        Unreadable = "unreadable",
        /// It is no descriptor that QEMU and libvirt would take.
        Malformed = "malformed",
        /// A file that it names is not there.
        MissingFile = "missing-file",
        /// A file is encoded in another way than it says.
        WrongFormat = "wrong-format",
        /// A file is no firmware.
        NotFirmware = "not-firmware",
        /// A file is damaged.
        Damaged = "damaged",
        /// A file is not what it is named as.
        WrongRole = "wrong-role",
        /// The binary is for another architecture.
        WrongArchitecture = "wrong-architecture",
        /// The binary does not run on a machine that it names.
        WrongMachine = "wrong-machine",
        /// The binary has a feature that it does not claim, or the other way round.
        FeatureContradicted = "feature-contradicted",
        /// The sizes of its files do not go together.
        SizeMismatch = "size-mismatch",
        /// Another takes its place.
        Hidden = "hidden",
    }
}
