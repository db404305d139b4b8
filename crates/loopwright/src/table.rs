//! Aligned tables for terminals.

use crate::units::width;
use std::fmt;

/// Rows under a head. A column whose head begins with `>` is aligned to the right, as numbers want it.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(head: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('>') {
            Some(name) => (name.to_uppercase(), true),
            None => (name.to_uppercase(), false),
        };
        Self { head: head.iter().map(column).collect(), rows: Vec::new() }
    }

    /// A table with a row for each record.
    pub fn of<T, const N: usize>(head: [&str; N], records: &[T], row: impl Fn(&T) -> [String; N]) -> Self {
        let mut table = Self::new(&head);
        records.iter().for_each(|record| table.row(row(record)));
        table
    }

    /// Adds a row with as many cells as the head has columns. Line breaks become spaces.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| cell.replace(['\n', '\r', '\t'], " ")).collect();
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = self.head.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let names: Vec<String> = self.head.iter().map(|(name, _)| name.clone()).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, widest), (_, to_right)) in row.iter().zip(&widths).zip(&self.head) {
                let space = " ".repeat(widest - width(cell));
                let (before, after) = if *to_right { (space.as_str(), "") } else { ("", space.as_str()) };
                line.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, the values aligned.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name}{}  {value}\n", " ".repeat(widest - width(name)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let table =
            Table::of(["name", ">n"], &[("é", 5), ("longer", 12)], |(name, n)| [name.to_string(), n.to_string()]);
        assert_eq!(table.to_string(), "NAME     N\né        5\nlonger  12\n");
    }

    #[test]
    fn a_cell_stays_on_its_line() {
        let mut table = Table::new(&["a"]);
        table.row(["b\nc".into()]);
        assert_eq!(table.to_string(), "A\nb c\n");
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&[("a", "1".into()), ("bcd", "2".into())]), "a    1\nbcd  2\n");
    }
}
