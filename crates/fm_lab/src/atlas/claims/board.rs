//! Which board something was observed on.

use super::Observation;

/// Whether it is `virt`, the board that all architectures but x86 have.
pub(super) fn is_virt(observation: &Observation) -> bool {
    observation.source.machine.starts_with("virt")
}
