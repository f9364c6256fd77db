//! The findings that rule a migration out, as an error's cause.

use std::fmt;

use fm_judge::Finding;
use fm_remedy::Remedy;

/// The findings that rule a migration out.
#[derive(Debug)]
pub struct Refusal(Vec<Finding>);

impl Refusal {
    /// What the judge found.
    pub(crate) const fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    /// The findings, the one that QEMU would meet first in front.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// What to do about the first of them that something can be done about.
    #[must_use]
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.iter().find_map(|finding| finding.remedy.as_ref())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", finding.code, finding.subject)?;
            if let (Some(source), Some(destination)) = (&finding.source, &finding.destination) {
                write!(
                    f,
                    " is {} at the source and {} at the destination",
                    source.value, destination.value
                )?;
            }
            write!(f, " ({})", finding.why)?;
            if let Some(message) = &finding.qemu_message {
                write!(f, ". QEMU would say: {message}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
