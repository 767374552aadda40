//! Columns that fit the terminal.
//!
//! A line holds as many columns as fit; what does not follows on lines below, indented. Where there
//! is no terminal everything is on one line and nothing is cut, so that `grep` and `awk` find it.

use anstyle::Style;

use super::style::printable;

/// A column: how wide it is at least, and how wide it may become where there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    least: usize,
    most: usize,
    is_right: bool,
}

impl Column {
    /// Of one width.
    pub(super) const fn fixed(width: usize) -> Self {
        Self::flexible(width, width)
    }

    pub(super) const fn flexible(least: usize, most: usize) -> Self {
        Self {
            least,
            most,
            is_right: false,
        }
    }

    /// Its text stands at its right end.
    pub(super) const fn right(self) -> Self {
        Self {
            is_right: true,
            ..self
        }
    }
}

/// What stands in a column, and how.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>, style: Style) -> Self {
        let text = printable(text.as_ref());
        Self { text, style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Blanks between columns.
const GAP: usize = 2;
/// No terminal is narrower.
const NARROWEST: usize = 40;

/// The columns of all lines of a command.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// Of those on the first line.
    first: Vec<Column>,
    indent: usize,
    /// Of the terminal; `None` where there is none.
    width: Option<usize>,
}

impl Columns {
    /// The first `fixed` columns are always on the first line.
    pub(super) fn new(
        columns: &[Column],
        fixed: usize,
        indent: usize,
        width: Option<usize>,
    ) -> Self {
        let Some(width) = width else {
            return Self {
                first: columns.to_vec(),
                indent,
                width: None,
            };
        };
        let width = width.max(NARROWEST);
        let mut used = 0;
        let fits = |column: &&Column| {
            used += column.least + if used == 0 { 0 } else { GAP };
            used <= width
        };
        let count = columns.iter().take_while(fits).count().max(fixed);
        let mut first = columns[..count.min(columns.len())].to_vec();
        let least: usize = first.iter().map(|column| column.least).sum();
        let mut spare = width.saturating_sub(least + GAP * first.len().saturating_sub(1));
        for column in &mut first {
            let more = spare.min(column.most.saturating_sub(column.least));
            column.least += more;
            spare -= more;
        }
        Self {
            first,
            indent,
            width: Some(width),
        }
    }

    /// The cells as one line, or as several where they do not fit.
    pub(super) fn line(&self, cells: &[Cell]) -> String {
        let count = self.first.len().min(cells.len());
        let mut first: Vec<(String, Style)> = Vec::new();
        for (column, cell) in self.first.iter().zip(cells) {
            first.push((self.fitted(cell, *column), cell.style));
        }
        // Blanks at the end of a line only make it wrap.
        let last = first.iter().rposition(|(text, _)| !text.trim().is_empty());
        first.truncate(last.map_or(1, |last| last + 1));
        if let Some((text, _)) = first.last_mut() {
            text.truncate(text.trim_end().len());
        }
        let mut lines = painted(&first, "  ");
        for below in self.below(&cells[count..]) {
            lines.push('\n');
            lines.push_str(&" ".repeat(self.indent));
            lines.push_str(&painted(&below, "  "));
        }
        lines
    }

    /// What follows the first line: as much on each line as fits.
    fn below(&self, cells: &[Cell]) -> Vec<Vec<(String, Style)>> {
        let room = self.width.unwrap_or(usize::MAX).saturating_sub(self.indent);
        let mut lines: Vec<Vec<(String, Style)>> = Vec::new();
        let mut used = 0;
        for cell in cells.iter().filter(|cell| !cell.text.trim().is_empty()) {
            let width = cell.width().min(room);
            let shown = (cut(cell.text.trim(), room), cell.style);
            match lines.last_mut() {
                Some(line) if used + GAP + width <= room => {
                    line.push(shown);
                    used += GAP + width;
                }
                Some(_) | None => {
                    lines.push(vec![shown]);
                    used = width;
                }
            }
        }
        lines
    }

    fn fitted(&self, cell: &Cell, column: Column) -> String {
        let width = column.least;
        let text = match self.width {
            Some(_) => cut(&cell.text, width),
            None => cell.text.clone(),
        };
        if column.is_right {
            format!("{text:>width$}")
        } else {
            format!("{text:<width$}")
        }
    }
}

fn painted(cells: &[(String, Style)], between: &str) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|(text, style)| format!("{style}{text}{style:#}"))
        .collect();
    cells.join(between)
}

/// At most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::fixed(5),
        Column::flexible(10, 20),
        Column::fixed(6).right(),
        Column::fixed(30),
    ];

    fn shown(width: Option<usize>, texts: [&str; 4]) -> String {
        let cells = texts.map(|text| Cell::new(text, Style::new()));
        Columns::new(&COLUMNS, 1, 4, width).line(&cells)
    }

    #[test]
    fn what_does_not_fit_follows_below() {
        let texts = ["one", "a text of some length", "8 ms", "the last"];
        assert_eq!(
            shown(Some(70), texts),
            "one    a text of some leng…    8 ms  the last"
        );
        assert_eq!(
            shown(Some(40), texts),
            "one    a text of some leng…    8 ms\n    the last"
        );
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let long = "x".repeat(300);
        let line = shown(None, ["one", &long, "8 ms", &long]);
        assert!(
            !line.contains('\n') && line.matches(&long).count() == 2,
            "{line}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "word ".repeat(60);
        for width in 40..200 {
            for line in shown(Some(width), [&long, &long, &long, &long]).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_line_has_no_blanks_at_its_end() {
        assert_eq!(shown(Some(70), ["one", "", "", ""]), "one");
        assert_eq!(shown(None, ["one", "two", "", ""]), "one    two");
    }
}
