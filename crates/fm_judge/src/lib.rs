//! Facts to verdict: what a firmware change does to a guest, phase by phase.
