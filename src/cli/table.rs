//! A table with a head, for the commands that list.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::columns::{Cell, Column, Columns};
use super::style::DIM;

/// The names of the columns, and how they fit the terminal.
#[derive(Debug)]
pub(super) struct Table {
    names: Vec<&'static str>,
    columns: Columns,
}

/// What follows below the first line of an entry stands further right.
const INDENT: usize = 4;

impl Table {
    /// The first `fixed` columns are always on the first line.
    pub(super) fn new(
        columns: &[(&'static str, Column)],
        fixed: usize,
        width: Option<usize>,
    ) -> Self {
        let widths: Vec<Column> = columns.iter().map(|(_, column)| *column).collect();
        Self {
            names: columns.iter().map(|(name, _)| *name).collect(),
            columns: Columns::new(&widths, fixed, INDENT, width),
        }
    }

    pub(super) fn head(&self) -> String {
        let cells: Vec<Cell> = self.names.iter().map(|name| Cell::new(name, DIM)).collect();
        self.columns.line(&cells)
    }

    pub(super) fn line(&self, cells: &[Cell]) -> String {
        self.columns.line(cells)
    }
}

/// The width of a time in a column.
pub(super) const TIME_WIDTH: usize = 25;

/// Day and time here, to the second, and how far from UTC: RFC 3339 with a blank for its `T`.
pub(super) fn local_time(time: Timestamp) -> String {
    let local = time.to_zoned_datetime(TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
}
