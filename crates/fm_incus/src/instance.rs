//! Which instance is meant.

/// A virtual machine of Incus's.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its project.
    pub project: &'a str,
}
