//! What every verb that writes variables says at its end.

use fm_api::v1::vars::VarsChange;

use super::{Context, Result, Status};

/// Prints `change`, as text or as its document.
pub(super) fn changed(context: &Context, change: &VarsChange) -> Result {
    if context.output.wants_json() {
        context.output.json(change);
    } else {
        fm_render::vars::change(&context.output, change);
    }
    Ok(Status::Done)
}
