//! Tables: columns aligned by what a terminal shows, as many of them as there is room for.

use anstyle::Style;

use fm_remedy::Foreign;

use super::wrap;

/// Between two columns.
const GAP: usize = 2;
/// A column that flows is not made narrower than this while another one can be left out.
const MIN_FLOW_COLUMNS: usize = 24;

/// A column: its head, and what becomes of it where there is little room.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    head: &'static str,
    is_right: bool,
    drops: Option<u8>,
    flows: bool,
    most: Option<usize>,
}

impl Column {
    /// One that is always shown, as wide as what is in it.
    pub const fn new(head: &'static str) -> Self {
        Self {
            head,
            is_right: false,
            drops: None,
            flows: false,
            most: None,
        }
    }

    /// For numbers.
    pub const fn right(mut self) -> Self {
        self.is_right = true;
        self
    }

    /// Left out where there is no room; the smallest `turn` goes first.
    pub(crate) const fn drops(mut self, turn: u8) -> Self {
        self.drops = Some(turn);
        self
    }

    /// The same, never left out.
    pub const fn stays(mut self) -> Self {
        self.drops = None;
        self
    }

    /// Gets the room that the others leave, and as many lines as its words need then.
    pub const fn flows(mut self) -> Self {
        self.flows = true;
        self
    }

    /// What is wider has a line of its own, and the rest of its row comes below.
    pub const fn most(mut self, columns: usize) -> Self {
        self.most = Some(columns);
        self
    }
}

/// What stands in one field.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// In a colour or weight.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: Foreign(text.as_ref()).line(),
            style,
        }
    }

    /// Text of ours with colours inside; whatever is not ours in it was made plain before.
    pub fn ours(text: String) -> Self {
        Self {
            text,
            style: Style::new(),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows of fields below heads.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A table for a width.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) lines: Vec<String>,
    /// Heads of the columns that there was no room for.
    pub(crate) dropped: Vec<&'static str>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a field for each column.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The table in `width` columns.
    pub(crate) fn render(&self, width: usize) -> Rendered {
        let natural: Vec<usize> = (0..self.columns.len()).map(|at| self.natural(at)).collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let needs = |shown: &[usize]| -> usize {
            let of = |at: &usize| match self.columns[*at].flows {
                true => natural[*at].min(MIN_FLOW_COLUMNS),
                false => natural[*at],
            };
            shown.iter().map(of).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        while needs(&shown) > width {
            let next = shown
                .iter()
                .filter_map(|at| Some((self.columns[*at].drops?, *at)))
                .min();
            let Some((_, next)) = next else { break };
            shown.retain(|at| *at != next);
        }
        let mut widths = natural.clone();
        let others: usize = shown
            .iter()
            .filter(|at| !self.columns[**at].flows)
            .map(|at| natural[*at])
            .sum();
        let room = width.saturating_sub(others + GAP * shown.len().saturating_sub(1));
        for at in &shown {
            if self.columns[*at].flows {
                widths[*at] = natural[*at].min(room.max(1));
            }
        }
        let heads = self.columns.iter();
        let heads: Vec<Cell> = heads
            .map(|column| Cell::styled(column.head, super::STRONG))
            .collect();
        let mut lines = Vec::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            self.lines_of(row, &shown, &widths, &mut lines);
        }
        let dropped = (0..self.columns.len()).filter(|at| !shown.contains(at));
        Rendered {
            lines,
            dropped: dropped.map(|at| self.columns[at].head).collect(),
        }
    }

    /// The width of a column's widest field, without those that get a line of their own.
    fn natural(&self, at: usize) -> usize {
        let most = self.columns[at].most.unwrap_or(usize::MAX);
        let fields = self.rows.iter().filter_map(|row| row.get(at));
        let widths = fields
            .map(|cell| wrap::columns(&cell.text))
            .filter(|width| *width <= most);
        widths.max().unwrap_or(0).max(self.columns[at].head.len())
    }

    fn lines_of(&self, row: &[Cell], shown: &[usize], widths: &[usize], lines: &mut Vec<String>) {
        let empty = Cell::ours(String::new());
        let mut fields: Vec<(Vec<String>, &Cell)> = Vec::new();
        let mut indent = 0;
        for at in shown {
            let cell = row.get(*at).unwrap_or(&empty);
            let width = wrap::columns(&cell.text);
            if self.columns[*at].flows {
                let mut field = wrap::wrap_cell(&cell.text, widths[*at]);
                // What is too wide begins early, in a line of its own.
                if field
                    .first()
                    .is_some_and(|first| wrap::columns(first) > widths[*at])
                {
                    field.insert(0, String::new());
                }
                fields.push((field, cell));
            } else if width > widths[*at] && self.columns[*at].most.is_some() {
                let style = cell.style;
                lines.push(format!("{:indent$}{style}{}{style:#}", "", cell.text));
                fields.push((vec![String::new()], cell));
            } else {
                fields.push((vec![cell.text.clone()], cell));
            }
            indent += widths[*at] + GAP;
        }
        let height = fields.iter().map(|(field, _)| field.len()).max().unwrap_or(0);
        for level in 0..height {
            let mut line = String::new();
            let mut owed = 0;
            for (at, (field, cell)) in shown.iter().zip(&fields) {
                let text = field.get(level).map_or("", String::as_str);
                let missing = widths[*at].saturating_sub(wrap::columns(text));
                let (before, after) = match self.columns[*at].is_right {
                    true => (missing, 0),
                    false => (0, missing),
                };
                if text.is_empty() {
                    owed += widths[*at] + GAP;
                    continue;
                }
                let excess = match line.is_empty() {
                    true => wrap::columns(text).saturating_sub(widths[*at]),
                    false => 0,
                };
                line.extend(std::iter::repeat_n(' ', (owed + before).saturating_sub(excess)));
                let style = cell.style;
                line.push_str(&format!("{style}{text}{style:#}"));
                owed = after + GAP;
            }
            lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([
            Column::new("NAME").most(12),
            Column::new("SIZE").right(),
            Column::new("ARCH").drops(1),
            Column::new("MEANING").flows(),
        ]);
        let meaning = "certificates of two makers, and a hash of an image";
        table.row(["db", "3143", "x86_64", meaning].map(Cell::from));
        table.row(["AVeryLongNameOfAVariable", "1", "x86_64", "日本 off"].map(Cell::from));
        table
    }

    #[test]
    fn a_table_is_as_wide_as_it_may_be_and_loses_columns_in_their_order() {
        let wide = sample().render(100);
        assert!(wide.dropped.is_empty() && wide.lines.len() == 4, "{wide:#?}");
        let narrow = sample().render(42);
        assert_eq!(narrow.dropped, ["ARCH"]);
        let is_within = |line: &String| wrap::columns(line) <= 42;
        assert!(narrow.lines.iter().all(is_within), "{narrow:#?}");
        let bare = anstream::adapter::strip_str(&narrow.lines.join("\n")).to_string();
        assert!(bare.contains("of two makers"), "{bare}");
    }

    #[test]
    fn a_name_too_long_for_its_column_has_a_line_of_its_own() {
        let lines = sample().render(100).lines;
        assert!(
            lines.iter().any(|line| line.trim() == "AVeryLongNameOfAVariable"),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_word_that_is_wider_than_its_field_begins_early_and_keeps_the_width() {
        let mut table = Table::new([Column::new("NAME"), Column::new("MEANING").flows()]);
        let wide = "Fv(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)";
        table.row(["Boot0000OfAGuest", &format!("{wide}/{wide}, hidden")].map(Cell::from));
        let lines = table.render(50).lines;
        assert!(lines.iter().all(|line| wrap::columns(line) <= 50), "{lines:#?}");
        let bare: Vec<_> = lines.iter().map(|line| line.trim()).collect();
        let rest = [&format!("{wide}/"), &format!("{wide},"), "hidden"];
        assert_eq!(
            bare[1..],
            [&["Boot0000OfAGuest"], &rest[..]].concat(),
            "{lines:#?}"
        );
    }

    #[test]
    fn what_others_named_cannot_break_a_row() {
        let mut table = Table::new([Column::new("NAME")]);
        table.row([Cell::from("a\u{1b}[2J\nb")]);
        assert_eq!(table.render(80).lines[1], "a\\u{1b}[2J\\nb");
    }
}
