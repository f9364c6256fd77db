//! What the files of a build are called where builds travel.

pub(super) const CODE: &str = "application/vnd.flashmoor.code.v1";
pub(super) const VARS_TEMPLATE: &str = "application/vnd.flashmoor.vars-template.v1";
pub(super) const DESCRIPTOR: &str = "application/vnd.flashmoor.descriptor.v1+json";
