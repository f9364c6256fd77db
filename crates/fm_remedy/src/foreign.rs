//! Text that somebody else chose: it is shown, and steers nothing that it is written to.

use alloc::string::{String, ToString as _};
use core::fmt::{self, Write as _};

/// A guest's name, a path, what QEMU or a peer said: anything whose letters we did not choose.
///
/// It has no way out but an escaped one. [`fmt::Display`] is for lines of a terminal, a log or a table: a line stays one
/// line, nothing moves the cursor, and nothing turns the direction of writing. [`Foreign::markup`] is for HTML and SVG,
/// [`Foreign::label`] for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign<'a>(pub &'a str);

impl Foreign<'_> {
    /// As the text of an element or the value of a quoted attribute.
    #[must_use]
    pub fn markup(self) -> String {
        let mut shown = String::with_capacity(self.0.len());
        for letter in self.0.chars() {
            match letter {
                '&' => shown.push_str("&amp;"),
                '<' => shown.push_str("&lt;"),
                '>' => shown.push_str("&gt;"),
                '"' => shown.push_str("&quot;"),
                '\'' => shown.push_str("&#39;"),
                letter => push(letter, &mut shown),
            }
        }
        shown
    }

    /// As the value of a label in the text form of metrics, without the quotes around it.
    #[must_use]
    pub fn label(self) -> String {
        let mut value = String::with_capacity(self.0.len());
        for letter in self.0.chars() {
            match letter {
                '\\' => value.push_str("\\\\"),
                '"' => value.push_str("\\\""),
                '\n' => value.push_str("\\n"),
                // What no name needs would be kept by a collector, and shown by whoever asks it.
                letter if steers(letter) => {
                    value.push('\\');
                    push(letter, &mut value);
                }
                letter => value.push(letter),
            }
        }
        value
    }

    /// As a line of text.
    #[must_use]
    pub fn line(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.chars().any(steers) {
            return f.pad(self.0);
        }
        let mut shown = String::with_capacity(self.0.len());
        self.0.chars().for_each(|letter| push(letter, &mut shown));
        f.pad(&shown)
    }
}

fn push(letter: char, shown: &mut String) {
    if steers(letter) {
        // writing to a text cannot fail
        let _ = write!(shown, "{}", letter.escape_default());
    } else {
        shown.push(letter);
    }
}

/// Whether a letter does something to what shows it: control characters of both sets, ends of lines and paragraphs, what
/// turns the direction of writing (Unicode standard annex 9, table 4), and what is never seen.
#[must_use]
pub fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_not_obeyed() {
        let shown = |text: &str| Foreign(text).to_string();
        assert_eq!(shown("web-1 \u{e9}\u{1f600}"), "web-1 \u{e9}\u{1f600}");
        assert_eq!(shown("a\u{1b}[31mred\nb\u{9b}2J"), "a\\u{1b}[31mred\\nb\\u{9b}2J");
        assert_eq!(shown("evil\u{202e}txt.exe"), "evil\\u{202e}txt.exe");
    }

    #[test]
    fn no_text_leaves_an_element_an_attribute_or_a_label() {
        let hostile = "<a href='x'>&\"\\\n\u{1b}";
        assert_eq!(
            Foreign(hostile).markup(),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\\\n\\u{1b}"
        );
        assert_eq!(Foreign(hostile).label(), "<a href='x'>&\\\"\\\\\\n\\\\u{1b}");
    }

    #[test]
    fn the_letters_that_steer_begin_and_end_where_unicode_has_them() {
        for (before, first, last, behind) in [
            ('\u{7e}', '\u{7f}', '\u{9f}', '\u{a0}'),
            ('\u{61b}', '\u{61c}', '\u{61c}', '\u{61d}'),
            ('\u{200a}', '\u{200b}', '\u{200f}', '\u{2010}'),
            ('\u{2027}', '\u{2028}', '\u{202e}', '\u{202f}'),
            ('\u{205f}', '\u{2060}', '\u{206f}', '\u{2070}'),
            ('\u{fefe}', '\u{feff}', '\u{feff}', '\u{ff00}'),
            ('\u{fff8}', '\u{fff9}', '\u{fffb}', '\u{fffc}'),
            ('\u{dffff}', '\u{e0000}', '\u{e007f}', '\u{e0080}'),
        ] {
            let seen = [before, first, last, behind].map(steers);
            assert_eq!(seen, [false, true, true, false], "{first:?}");
        }
        assert!(steers('\0') && steers('\u{1f}') && !steers(' '));
        // Read back, the doubled backslash is one.
        assert_eq!(Foreign("a\u{200b}b").label(), r"a\\u{200b}b");
        assert_eq!(Foreign("a\u{200b}b").markup(), "a\\u{200b}b");
        assert_eq!(Foreign("a\nb").line(), "a\\nb");
        assert_eq!(
            alloc::format!("{:>4}|{:>4}|", Foreign("a"), Foreign("\n")),
            "   a|  \\n|"
        );
    }
}
