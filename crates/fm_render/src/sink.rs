//! The last step before a terminal or a log: what is not ours to send does not get there, whoever forgot to ask.
//!
//! Names that somebody else chose are written as [`fm_remedy::Foreign`] where they are put into a line. This is for those
//! that are not: a line stays one line, and of escape sequences only those pass that bring colour or weight.

use std::borrow::Cow;

use fm_remedy::steers;

/// What one line of ours comes to. Empty lines before it stay.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    let start = text.len() - text.trim_start_matches('\n').len();
    clean(text, |at| at < start)
}

/// The same of a text of several lines, which are all ours: a table, a page.
pub(super) fn block(text: &str) -> Cow<'_, str> {
    clean(text, |_| true)
}

/// A JSON document with what a terminal would obey as JSON's own escapes. The document is the same.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    let is_meant = |letter: char| letter == '\n' || !steers(letter);
    if text.chars().all(is_meant) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_meant(letter) {
            clean.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                clean += &format!("\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(clean)
}

fn clean(text: &str, is_our_break: impl Fn(usize) -> bool) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let at = text.len() - rest.len();
        let passes = match letter {
            '\u{1b}' => style(rest),
            '\t' => 1,
            '\n' if is_our_break(at) => 1,
            letter if !steers(letter) => letter.len_utf8(),
            _ => 0,
        };
        if passes == 0 {
            clean.extend(letter.escape_default());
            rest = &rest[letter.len_utf8()..];
        } else {
            clean.push_str(&rest[..passes]);
            rest = &rest[passes..];
        }
    }
    Cow::Owned(clean)
}

/// The length of a sequence at the start of `text` that selects a colour or a weight; 0 if it is another. One that
/// hides text is another (ECMA-48, 8.3.117).
fn style(text: &str) -> usize {
    const MAX_BYTES: usize = 24;
    let Some(parameters) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let Some((parameters, _)) = parameters.split_once('m') else {
        return 0;
    };
    let is_meant = |word: &str| {
        let is_number = word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number && !matches!(word.trim_start_matches('0'), "8" | "6")
    };
    let is_colour = parameters.starts_with("38;5;") || parameters.starts_with("48;5;");
    let words = parameters.split(';').skip(if is_colour { 3 } else { 0 });
    let ends = parameters.len() + 3;
    if ends <= MAX_BYTES
        && words.into_iter().all(is_meant)
        && parameters
            .bytes()
            .all(|byte| byte == b';' || byte.is_ascii_digit())
    {
        ends
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BAD, STRONG};

    #[test]
    fn our_colours_pass_and_nothing_else_does() {
        let ours = format!("{BAD}error{BAD:#}: {STRONG}x{STRONG:#}");
        assert_eq!(line(&ours), ours);
        assert_eq!(line("\u{1b}[38;5;8mgrey\u{1b}[0m"), "\u{1b}[38;5;8mgrey\u{1b}[0m");
        for hostile in [
            "\u{1b}]0;title\u{7}",
            "\u{1b}[2J",
            "\u{1b}[8mhidden",
            "\u{9b}31m",
            "\u{1b}",
            "\u{1b}[",
            "\r",
            "\u{202e}",
        ] {
            let shown = line(hostile);
            assert!(!shown.chars().any(steers), "{hostile:?}: {shown:?}");
        }
    }

    #[test]
    fn a_line_stays_one_line_and_a_block_has_its_own() {
        assert_eq!(line("\n\nvolumes\nFORGED"), "\n\nvolumes\\nFORGED");
        assert_eq!(block("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn a_document_says_the_same_and_steers_nothing() {
        let document = serde_json::json!({ "name": "a\u{9b}2J\u{202e}b\u{e0001}\u{1b}" });
        let text = serde_json::to_string_pretty(&document).unwrap();
        let shown = json(&text);
        assert!(
            shown.chars().all(|letter| letter == '\n' || !steers(letter)),
            "{shown:?}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            document
        );
    }
}
