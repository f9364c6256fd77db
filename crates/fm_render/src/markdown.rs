//! A page of the documentation on a terminal: heads in bold, paragraphs as wide as there is room, commands as they are.

use super::{Output, STRONG};

/// Prints `page`.
pub fn page(output: &Output, page: &str) {
    let (mut paragraph, mut is_code) = (String::new(), false);
    let mut heads = Vec::new();
    for line in page.trim_end().lines() {
        if line.starts_with("```") {
            flush(output, &mut paragraph);
            is_code = !is_code;
        } else if is_code {
            output.whole_line(format_args!("  {line}"));
        } else if line.starts_with('|') {
            flush(output, &mut paragraph);
            row(output, line, &mut heads);
        } else if let Some(head) = line
            .trim_start_matches('#')
            .strip_prefix(' ')
            .filter(|_| line.starts_with('#'))
        {
            flush(output, &mut paragraph);
            output.line(format_args!("{STRONG}{}{STRONG:#}", inline(head)));
        } else if line.trim().is_empty() {
            flush(output, &mut paragraph);
            heads.clear();
            output.line("");
        } else {
            if is_item(line) {
                flush(output, &mut paragraph);
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(if paragraph.is_empty() {
                line
            } else {
                line.trim_start()
            });
        }
    }
    flush(output, &mut paragraph);
}

/// A row of a table: its first field, and below it the others with their heads. No terminal is as wide as a page.
fn row(output: &Output, line: &str, heads: &mut Vec<String>) {
    let fields: Vec<String> = line
        .trim_matches('|')
        .split('|')
        .map(|field| inline(field.trim()))
        .collect();
    if heads.is_empty() {
        *heads = fields;
        return;
    }
    if fields
        .iter()
        .all(|field| field.chars().all(|letter| "-: ".contains(letter)))
    {
        return;
    }
    for (at, (head, field)) in heads.iter().zip(&fields).enumerate() {
        match at {
            0 => output.line(format_args!("  {head}: {STRONG}{field}{STRONG:#}")),
            _ => output.line(format_args!("    {head}: {field}")),
        }
    }
}

fn flush(output: &Output, paragraph: &mut String) {
    if !paragraph.is_empty() {
        output.line(inline(paragraph));
        paragraph.clear();
    }
}

/// Whether a line begins a point of a list.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let number = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    line.starts_with("- ")
        || line.starts_with("* ")
        || (number.len() < line.len() && number.starts_with(". "))
}

/// Commands and what is stressed in bold, links by their text.
fn inline(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, from) = rest.split_at(at);
        shown.push_str(before);
        let mark = if from.starts_with("**") { "**" } else { &from[..1] };
        let inner = &from[mark.len()..];
        let end = if mark == "[" { "]" } else { mark };
        let found = inner
            .split_once(end)
            .filter(|(word, _)| !word.is_empty() && mark != "*");
        match found {
            Some((word, behind)) if mark == "[" => {
                shown.push_str(word);
                rest = match behind.strip_prefix('(').and_then(|link| link.split_once(')')) {
                    Some((_, behind)) => behind,
                    None => behind,
                };
            }
            Some((word, behind)) => {
                shown.push_str(&format!("{STRONG}{word}{STRONG:#}"));
                rest = behind;
            }
            None => {
                shown.push_str(mark);
                rest = inner;
            }
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_weight_and_links_their_text() {
        let plain = |text: &str| anstream::adapter::strip_str(&inline(text)).to_string();
        assert_eq!(
            plain("run `flashmoor ps`, **now**, see [the page](x.md)"),
            "run flashmoor ps, now, see the page"
        );
        assert_eq!(plain("2 * 3, a lone ` and [0]"), "2 * 3, a lone ` and 0");
        assert!(inline("`a`").contains('\u{1b}'));
        assert!(is_item("- a") && is_item("12. a") && !is_item("7.2 is") && !is_item("a"));
    }
}
