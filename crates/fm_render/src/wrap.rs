//! Lines as wide as there is room for: broken between words, never within one.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar as _;

/// What follows a label is set below itself if the label leaves at least this much of the line.
const MAX_LABEL_COLUMNS: usize = 30;

/// The columns that a text takes on a terminal, in which colours take none.
pub(super) fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text)
        .flat_map(str::chars)
        .filter_map(unicode_width::UnicodeWidthChar::width)
        .sum()
}

/// `text`, each of its lines no wider than `width` columns unless a word is. What goes to a next line is set in: below
/// what stands behind a label and two spaces, else two columns from the start.
pub(super) fn wrap(text: &str, width: usize) -> Cow<'_, str> {
    if text.lines().all(|line| columns(line) <= width) {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len() + text.len() / 8);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            whole.push('\n');
        }
        whole.push_str(&wrap_line(line, width, hang(line, width)).join("\n"));
    }
    Cow::Owned(whole)
}

/// Where a word may go on in the next line: behind the parts of a path or list, but not within their parentheses.
fn part_ends(word: &str) -> impl Iterator<Item = usize> {
    let mut depth = 0_usize;
    word.char_indices().filter_map(move |(at, letter)| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0 && matches!(letter, '/' | ',')).then_some(at + 1)
    })
}

/// The lines of a field of a table. A path that is wider than the field goes on behind one of its parts.
pub(super) fn wrap_cell(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrap_line(text, width, 0) {
        let mut rest = line.as_str();
        while columns(rest) > width {
            let fits = |at: &usize| columns(&rest[..*at]) <= width;
            let end = part_ends(rest).take_while(fits).last();
            // A part that is too wide by itself stays whole.
            let end = end.or_else(|| part_ends(rest).next());
            let Some(end) = end.filter(|end| *end < rest.len()) else {
                break;
            };
            lines.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// One line as several; every one but the first is set in by `hang` columns.
pub(super) fn wrap_line(line: &str, width: usize, hang: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    // Columns of `current`, and whether a word stands in it.
    let (mut used, mut has_word) = (0, false);
    for piece in pieces(line) {
        let (gap, word) = piece;
        let (gap_columns, word_columns) = (gap.len(), columns(word));
        if has_word && used + gap_columns + word_columns > width {
            lines.push(std::mem::take(&mut current));
            // A word that is too wide there at least begins early.
            used = if hang + word_columns > width {
                hang.min(2)
            } else {
                hang
            };
            current.extend(std::iter::repeat_n(' ', used));
        } else {
            current.push_str(gap);
            used += gap_columns;
        }
        current.push_str(word);
        used += word_columns;
        has_word = true;
    }
    lines.push(current);
    lines
}

/// The words of a line, each with the spaces before it.
fn pieces(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word_at = rest.len() - rest.trim_start_matches(' ').len();
        let (gap, from_word) = rest.split_at(word_at);
        let word_ends = from_word.find(' ').unwrap_or(from_word.len());
        let (word, behind) = from_word.split_at(word_ends);
        rest = behind;
        Some((gap, word))
    })
}

/// How far the lines that go on are set in.
fn hang(line: &str, width: usize) -> usize {
    let bare = anstream::adapter::strip_str(line).to_string();
    let start = bare.len() - bare.trim_start_matches(' ').len();
    let mut used = start;
    for (at, letter) in bare.char_indices().skip(start) {
        if bare[at..].starts_with("  ") {
            let text = bare[at..].trim_start_matches(' ');
            let column = used + bare.len() - at - text.len();
            if column <= MAX_LABEL_COLUMNS && column < width / 2 && !text.is_empty() {
                return column;
            }
            break;
        }
        used += letter.width().unwrap_or(0);
    }
    // Behind `what to do:` or a dash the text goes on a little further in; a paragraph goes on as it began.
    let text = &bare[start..];
    let is_led = text.find(": ").is_some_and(|at| at <= MAX_LABEL_COLUMNS) || text.starts_with("- ");
    if is_led { start + 2 } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_it_may_be_and_no_word_is_lost_or_split() {
        let text = "  why      one two three four five six seven eight nine ten eleven twelve thirteen";
        for width in [20, 40, 60] {
            let wrapped = wrap(text, width);
            assert!(wrapped.lines().all(|line| columns(line) <= width), "{wrapped}");
            let words: Vec<_> = wrapped.split_whitespace().collect();
            assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
        }
        assert!(
            wrap(text, 40)
                .lines()
                .skip(1)
                .all(|line| line.starts_with("           "))
        );
    }

    #[test]
    fn a_word_wider_than_the_line_stays_whole_and_colours_count_nothing() {
        let path = "/a/very/long/path/that/does/not/fit/anywhere.fd";
        assert!(
            wrap(&format!("written: {path}"), 20)
                .lines()
                .any(|line| line.trim() == path)
        );
        let coloured = format!("\u{1b}[31m{}\u{1b}[0m", "x".repeat(20));
        assert_eq!((columns(&coloured), columns("日本")), (20, 4));
        assert_eq!(wrap(&coloured, 20), coloured);
    }

    #[test]
    fn a_field_breaks_long_paths_behind_their_parts_and_a_paragraph_goes_on_as_it_began() {
        let path = "PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0x0,0xffff,0x0)";
        let lines = wrap_cell(path, 28);
        assert!(lines.len() == 2 && lines.concat() == path, "{lines:?}");
        let parts = [
            "Fv(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/",
            "Uart(115200,8,N,1),",
            "Sata(0x0,0xffff,0x0)",
        ];
        assert_eq!(wrap_cell(&parts.concat(), 24), parts);
        assert_eq!(wrap("  one two three", 9), "  one two\n  three");
        assert_eq!(wrap("  why: two three", 10), "  why: two\n    three");
    }
}
