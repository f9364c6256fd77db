//! Tables for spreadsheets: RFC 4180, and no cell that a spreadsheet would take for a formula.

use super::words::shown;

/// Adds a line.
pub(super) fn push_line<'a>(to: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (number, text) in cells.into_iter().enumerate() {
        if number > 0 {
            to.push(',');
        }
        push_cell(to, text);
    }
    to.push_str("\r\n");
}

/// Each cell is quoted. What steers a terminal is written out; what starts a formula gets an apostrophe before it,
/// which spreadsheets take for text.
fn push_cell(to: &mut String, text: &str) {
    to.push('"');
    if text.trim_start().starts_with([
        '=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]) {
        to.push('\'');
    }
    to.push_str(&shown(text).replace('"', "\"\""));
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_leaves_its_quotes() {
        let line = |cells: &[&str]| {
            let mut text = String::new();
            push_line(&mut text, cells.iter().copied());
            text
        };
        assert_eq!(line(&["a", "", "b,c"]), "\"a\",\"\",\"b,c\"\r\n");
        assert_eq!(line(&["a\"b\r\nc"]), "\"a\"\"b\\r\\nc\"\r\n");
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            " =1",
            "\t=1",
            "\u{a0}=1",
            "\u{ff1d}1",
        ] {
            assert!(line(&[text]).starts_with("\"'"), "{text:?}");
        }
    }
}
