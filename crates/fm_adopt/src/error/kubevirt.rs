//! Why an instance of KubeVirt's does not get its build.

use std::path::PathBuf;

use fm_libvirt::AdoptError;

/// What can fail between KubeVirt and us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubevirtError {
    /// What KubeVirt says of the instance is no JSON, or has annotations of another form.
    #[error("the instance cannot be read")]
    Instance(#[source] serde_json::Error),
    /// The domain's definition cannot be edited, or starts from no flash.
    #[error("the domain's definition cannot be changed")]
    Definition(#[source] AdoptError),
    /// The build lies outside the store's folder.
    #[error("{} is not in the store's folder", path.display())]
    Elsewhere {
        /// Where it is.
        path: PathBuf,
    },
}
