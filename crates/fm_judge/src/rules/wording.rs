//! Words that many rules use: what is missing, a file, a size, any value that has a text.

use alloc::string::{String, ToString};

use crate::Known;
use crate::finding::Told;

/// What a rule says when facts that it needs are missing on one side or both.
pub(super) fn missing(subject: &'static str, at_source: bool, at_destination: bool) -> Told {
    let side = match (at_source, at_destination) {
        (true, true) => "on either side",
        (true, false) => "at the source",
        _ => "at the destination",
    };
    Told::about(
        subject,
        alloc::format!("not known {side}: {subject}; nothing is promised without it"),
    )
}

/// A file as a shell takes it: by its path, or by a word that says which file is meant.
pub(super) fn named(path: &Known<String>, word: &str) -> String {
    let Some(path) = path.value() else {
        return String::from(word);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if path.chars().all(plain) && !path.starts_with('-') {
        path.clone()
    } else {
        alloc::format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// A size as QEMU's messages print it.
pub(super) fn hex(size_bytes: &u64) -> String {
    alloc::format!("{size_bytes:#x}")
}

/// Any value that has a text.
pub(super) fn text(value: &impl ToString) -> String {
    value.to_string()
}
