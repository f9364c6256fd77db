//! Holds firmware descriptors against the files that they name: descriptors can lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fm_host::descriptor::{Descriptor, Mapping};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inspect::{self, Catalogue, InspectDocument, Request};
use crate::{Error, Result};

/// What is wrong with firmware descriptors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorsDocument {
    /// `flashmoor/descriptors/1`.
    pub schema: String,
    /// Each descriptor, in the order in which a management stack tries them.
    pub descriptors: Vec<DescriptorDocument>,
}

/// One descriptor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `unreadable`, `malformed`, `missing-file`, `wrong-format`, `not-firmware`, `wrong-role`,
    /// `wrong-architecture`, `feature-contradicted`, `size-mismatch`, `hidden`.
    pub code: String,
    /// In a sentence.
    pub message: String,
}

/// The regular files directly in a folder, by name.
///
/// # Errors
/// If it cannot be read.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::File {
        action: "read",
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Judges every descriptor in `paths`: files, and folders in the order in which a later one hides an earlier.
///
/// # Errors
/// If a folder cannot be read.
pub fn lint(paths: &[PathBuf]) -> Result<DescriptorsDocument> {
    let catalogue = Catalogue::open(None)?;
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
            files.extend(files_in(path)?.into_iter().filter(json));
        } else {
            files.push(path.clone());
        }
    }
    // By base name; of equal names the last folder's counts.
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    let mut winners = BTreeMap::new();
    for file in &files {
        winners.insert(file.file_name().map(ToOwned::to_owned), file.clone());
    }
    let mut seen = BTreeMap::new();
    let descriptors = files
        .iter()
        .map(|file| {
            let mut document = judge(file, &catalogue, &mut seen);
            let winner = winners.get(&file.file_name().map(ToOwned::to_owned));
            if let Some(winner) = winner.filter(|winner| *winner != file) {
                document
                    .problems
                    .push(problem("hidden", format!("{} takes its place", winner.display())));
            }
            document
        })
        .collect();
    Ok(DescriptorsDocument {
        schema: "flashmoor/descriptors/1".into(),
        descriptors,
    })
}

/// Several descriptors name the same files; each is looked at once.
type Seen = BTreeMap<PathBuf, Result<InspectDocument, String>>;

fn problem(code: &str, message: String) -> Problem {
    Problem {
        code: code.into(),
        message,
    }
}

fn judge(path: &Path, catalogue: &Catalogue, seen: &mut Seen) -> DescriptorDocument {
    let mut document = DescriptorDocument {
        path: path.display().to_string(),
        description: None,
        architectures: Vec::new(),
        features: Vec::new(),
        code_sha256: None,
        problems: Vec::new(),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            let message = "it is empty: it hides descriptors of its name in more general folders";
            document.problems.push(problem("hidden", message.into()));
            return document;
        }
        Ok(text) => text,
        Err(error) => {
            document.problems.push(problem("unreadable", error.to_string()));
            return document;
        }
    };
    let descriptor = match Descriptor::parse(&text) {
        Ok(descriptor) => descriptor,
        Err(error) => {
            document.problems.push(problem("malformed", error.to_string()));
            return document;
        }
    };
    document.description = Some(descriptor.description.clone());
    document.architectures = descriptor
        .targets
        .iter()
        .map(|target| target.architecture.clone())
        .collect();
    document.features.clone_from(&descriptor.features);
    let mut sizes = Vec::new();
    for (file, format, variables) in descriptor.files() {
        if !file.exists() {
            let message = format!("it names {}, which does not exist", file.display());
            document.problems.push(problem("missing-file", message));
            continue;
        }
        let request = Request {
            path: file.to_owned(),
            ..Request::default()
        };
        let looked = seen
            .entry(file.to_owned())
            .or_insert_with(|| inspect::inspect_with(&request, catalogue).map_err(|error| error.to_string()));
        match looked {
            Ok(found) => {
                if !variables {
                    document.code_sha256.clone_from(&found.sha256);
                    sizes.extend(layout_of(found));
                    document.problems.extend(features_against(&descriptor, found));
                } else {
                    sizes.extend(layout_of(found));
                }
                document
                    .problems
                    .extend(file_against(&descriptor, file, format, variables, found));
            }
            Err(error) => document.problems.push(problem("unreadable", error.clone())),
        }
    }
    if let [code, vars] = &sizes[..] {
        // The stores of 1M and 2M are the same.
        let same = |a: &str, b: &str| a == b || matches!((a, b), ("1M", "2M"));
        if !same(code, vars) {
            let message = format!("its code has layout {code} and its variables have layout {vars}");
            document.problems.push(problem("size-mismatch", message));
        }
    }
    document
}

fn layout_of(found: &InspectDocument) -> Option<String> {
    found.image.as_ref()?.layout.clone()
}

fn file_against(
    descriptor: &Descriptor,
    file: &Path,
    format: &str,
    variables: bool,
    found: &InspectDocument,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = file.display();
    if let Some(actual) = found.format.as_deref().filter(|actual| *actual != format) {
        problems.push(problem(
            "wrong-format",
            format!("{name} is {actual}, not {format}"),
        ));
    }
    let Some(image) = &found.image else {
        let why = found.reason.as_deref().unwrap_or(&found.kind);
        problems.push(problem("not-firmware", format!("{name}: {why}")));
        return problems;
    };
    let combined = matches!(&descriptor.mapping, Mapping::Flash { mode, .. } if mode != "split");
    let expected: &[&str] = match (variables, combined) {
        (true, _) => &["vars"],
        (false, true) => &["combined", "code"],
        (false, false) if matches!(descriptor.mapping, Mapping::Flash { .. }) => &["code"],
        _ => &["code", "combined"],
    };
    if !expected.contains(&found.kind.as_str()) {
        let message = format!(
            "{name} is {}, where {} is needed",
            found.kind,
            expected.join(" or ")
        );
        problems.push(problem("wrong-role", message));
    }
    if let Some(arch) = image
        .arch
        .as_ref()
        .and_then(|arch| arch.parse::<fm_formats::image::Arch>().ok())
    {
        let fits = |target: &str| {
            // A 64-bit machine runs 32-bit firmware as well.
            target == arch.qemu_name() || (arch.qemu_name() == "i386" && target == "x86_64")
        };
        if !descriptor.targets.iter().any(|target| fits(&target.architecture)) {
            let message = format!("{name} is for {}, which no target is", arch.qemu_name());
            problems.push(problem("wrong-architecture", message));
        }
    }
    problems
}

/// Descriptor features that a binary can contradict, both ways where both mean harm.
fn features_against(descriptor: &Descriptor, found: &InspectDocument) -> Vec<Problem> {
    let Some(image) = &found.image else {
        return Vec::new();
    };
    let claims = |feature: &str| descriptor.features.iter().any(|claimed| claimed == feature);
    let shows = |feature: &str| image.features.iter().any(|shown| shown == feature);
    let mut problems = Vec::new();
    for (claimed, shown, both_ways) in [
        ("secure-boot", "secure-boot", false),
        ("requires-smm", "smm", true),
        ("amd-sev", "sev", false),
        ("amd-sev-es", "sev-es", false),
        ("amd-sev-snp", "sev-snp", false),
        ("intel-tdx", "tdx", false),
        ("host-uefi-vars", "pv-vars", true),
    ] {
        if claims(claimed) && !shows(shown) {
            let message = format!("it claims {claimed}, and the binary lacks what {shown} needs");
            problems.push(problem("feature-contradicted", message));
        } else if both_ways && shows(shown) && !claims(claimed) {
            let message = format!("the binary shows {shown}, and it does not claim {claimed}");
            problems.push(problem("feature-contradicted", message));
        }
    }
    problems
}
