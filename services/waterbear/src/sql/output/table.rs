//! Formats for people: a table, or a value on each line.

use unicode_width::UnicodeWidthStr;
use waterbear_protocol::client::Column;

use super::value;
use crate::sql::protocol::Value;

/// Rows that are looked at for the widths of the columns; more rows keep these widths.
const MEASURED_ROWS: usize = 10_000;

/// A table whose columns are as wide as their widest value.
#[derive(Debug, Default)]
pub struct Aligned {
    /// Rows that wait for the widths.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    printed: usize,
    /// What is wider than this is printed as records.
    within: Option<usize>,
    records: Option<Vertical>,
}

impl Aligned {
    /// A table for so many columns of a terminal: a wider one becomes [`Vertical`].
    pub fn within(columns: usize) -> Self {
        Self { within: Some(columns), ..Self::default() }
    }

    /// The next rows.
    pub fn rows(&mut self, columns: &[Column], rows: &[Vec<Value>], text: &mut String) {
        if let Some(records) = &mut self.records {
            return records.rows(columns, rows, text);
        }
        self.waiting.extend(rows.iter().map(|row| value::shown_row(columns, row)));
        if self.waiting.len() >= MEASURED_ROWS || self.widths.is_some() {
            self.print_waiting(columns, text);
        }
    }

    /// All rows were given.
    pub fn finish(&mut self, columns: &[Column], text: &mut String) {
        self.print_waiting(columns, text);
        if self.records.is_some() {
            return;
        }
        let rows = if self.printed == 1 { "row" } else { "rows" };
        text.push_str(&format!("({} {rows})\n\n", self.printed));
    }

    fn print_waiting(&mut self, columns: &[Column], text: &mut String) {
        let rows = std::mem::take(&mut self.waiting);
        if let (None, Some(within)) = (&self.widths, self.within)
            && widths(columns, &rows).iter().map(|width| width + 3).sum::<usize>() > within + 1
        {
            self.records.get_or_insert_default().shown(columns, &rows, text);
            return;
        }
        let widths = self.widths.get_or_insert_with(|| {
            let widths = widths(columns, &rows);
            push_header(columns, &widths, text);
            widths
        });
        self.printed += rows.len();
        for row in &rows {
            push_row(columns, widths, row, text);
        }
    }
}

/// Columns of a terminal that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

/// The text with blanks before (`right`) or after it, as wide as `to`.
pub(super) fn pad(text: &str, to: usize, right: bool) -> String {
    let blanks = " ".repeat(to.saturating_sub(text.width()));
    if right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

fn widths(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |(number, column): (usize, &Column)| {
        let values = rows.iter().filter_map(|row| row.get(number));
        values.map(|value| width(value)).chain([width(&column.name)]).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(widest).collect()
}

fn push_header(columns: &[Column], widths: &[usize], text: &mut String) {
    let centred = |(column, width): (&Column, &usize)| {
        let left = width.saturating_sub(column.name.width()) / 2;
        format!(" {} ", pad(&format!("{}{}", " ".repeat(left), column.name), *width, false))
    };
    let names = columns.iter().zip(widths).map(centred);
    text.push_str(&names.collect::<Vec<_>>().join("|"));
    text.push('\n');
    let rules: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    text.push_str(&rules.join("+"));
    text.push('\n');
}

/// A row takes as many lines as its highest value; a `+` says that a value goes on below.
fn push_row(columns: &[Column], widths: &[usize], row: &[String], text: &mut String) {
    let values: Vec<Vec<&str>> = row.iter().map(|value| value.split('\n').collect()).collect();
    let height = values.iter().map(Vec::len).max().unwrap_or(1);
    for line in 0..height {
        for (number, (value, width)) in values.iter().zip(widths).enumerate() {
            if number > 0 {
                text.push('|');
            }
            let part = value.get(line).copied().unwrap_or_default();
            let goes_on = if line + 1 < value.len() { '+' } else { ' ' };
            let right = columns.get(number).is_some_and(is_numeric);
            text.push_str(&format!(" {}{goes_on}", pad(part, *width, right)));
        }
        text.push('\n');
    }
}

pub(super) fn is_numeric(column: &Column) -> bool {
    let base = column.type_name.split('(').next().unwrap_or_default();
    matches!(
        base,
        "bigint" | "integer" | "smallint" | "tinyint" | "real" | "double" | "decimal" | "number"
    )
}

/// A value on each line, after the number of its row.
#[derive(Debug, Default)]
pub struct Vertical {
    printed: usize,
}

impl Vertical {
    /// The next rows.
    pub fn rows(&mut self, columns: &[Column], rows: &[Vec<Value>], text: &mut String) {
        let rows: Vec<_> = rows.iter().map(|row| value::shown_row(columns, row)).collect();
        self.shown(columns, &rows, text);
    }

    /// The next rows, as texts.
    fn shown(&mut self, columns: &[Column], rows: &[Vec<String>], text: &mut String) {
        let name_width = columns.iter().map(|column| width(&column.name)).max().unwrap_or(0);
        for row in rows {
            self.printed += 1;
            text.push_str(&format!("-[ RECORD {} ]\n", self.printed));
            for (column, value) in columns.iter().zip(row) {
                let mut name = column.name.as_str();
                for line in value.split('\n') {
                    text.push_str(&format!("{} | {line}\n", pad(name, name_width, false)));
                    name = "";
                }
            }
        }
    }
}
