//! Words that many rules use: what is missing, a file, a size, any value that has a text.

use alloc::string::{String, ToString};

use fm_remedy::{Input, Remedy};

use crate::Known;
use crate::finding::FindingDraft;

/// What a rule says when facts that it needs are missing on one side or both.
pub(super) fn missing(subject: &'static str, at_source: bool, at_destination: bool) -> FindingDraft {
    let side = match (at_source, at_destination) {
        (true, true) => "on either side",
        (true, false) => "at the source",
        _ => "at the destination",
    };
    FindingDraft::about(
        subject,
        alloc::format!("not known {side}: {subject}; nothing is promised without it"),
    )
}

/// The path, as the subject of an action.
pub(super) fn subject(path: &Known<String>) -> Option<String> {
    path.value().cloned()
}

/// What to do where the digests, sizes or kinds of firmware are not known.
pub(super) fn name_firmware() -> Remedy {
    Remedy::give("name the firmware", [Input::SourceCode, Input::DestinationCode])
}

/// A size as QEMU's messages print it.
pub(super) fn hex(size_bytes: &u64) -> String {
    alloc::format!("{size_bytes:#x}")
}

/// Any value that has a text.
pub(super) fn text(value: &impl ToString) -> String {
    value.to_string()
}
