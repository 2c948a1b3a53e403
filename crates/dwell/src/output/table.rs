//! Columns of text.

use super::Style;

/// Rows under a heading, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    state: Option<usize>,
}

impl Table {
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new(), state: None }
    }

    /// Colours the words of this column as states.
    pub(crate) fn states(mut self, column: usize) -> Self {
        self.state = Some(column);
        self
    }

    /// Adds a row; empty cells show as `-`.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(dash).collect());
    }

    /// The table as lines; columns in which no row has anything are left out.
    pub(crate) fn render(&self, style: Style) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let empty = !self.rows.is_empty()
                && self.rows.iter().all(|row| row.get(column).is_none_or(|cell| cell == "-"));
            let heading = self.heading.get(column).map_or(0, |heading| heading.len());
            (!empty).then_some(widest.max(heading))
        };
        let widths: Vec<Option<usize>> = (0..self.heading.len()).map(width).collect();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        let heading: Vec<String> = self.heading.iter().map(|h| (*h).to_owned()).collect();
        lines.push(line(&heading, &widths, |_, text| style.bold(text)));
        for row in &self.rows {
            lines.push(line(row, &widths, |column, text| {
                if self.state == Some(column) { style.state(text) } else { text.to_owned() }
            }));
        }
        lines.join("")
    }
}

fn line(
    cells: &[String],
    widths: &[Option<usize>],
    paint: impl Fn(usize, &str) -> String,
) -> String {
    let shown: Vec<(usize, &String, usize)> = cells
        .iter()
        .zip(widths)
        .enumerate()
        .filter_map(|(column, (cell, width))| width.map(|width| (column, cell, width)))
        .collect();
    let mut text = String::new();
    for (place, (column, cell, width)) in shown.iter().enumerate() {
        text.push_str(&paint(*column, cell));
        if place + 1 < shown.len() {
            let gap = width.saturating_sub(cell.chars().count()) + 2;
            text.push_str(&" ".repeat(gap));
        }
    }
    text.push('\n');
    text
}
