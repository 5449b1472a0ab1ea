//! A table of Markdown.

use waterbear_protocol::client::Column;

use super::table::{is_numeric, pad, width};
use super::value;
use crate::sql::protocol::Value;

/// A table that is printed when all its rows are known: its columns have equal widths.
#[derive(Debug, Default)]
pub struct Markdown {
    rows: Vec<Vec<String>>,
}

impl Markdown {
    /// The next rows.
    pub fn rows(&mut self, columns: &[Column], rows: &[Vec<Value>]) {
        let cell = |text: String| {
            let text = text.replace('\\', "\\\\").replace('|', "\\|");
            text.replace("\r\n", "<br>").replace('\n', "<br>")
        };
        let cells =
            |row: &Vec<Value>| value::shown_row(columns, row).into_iter().map(cell).collect();
        self.rows.extend(rows.iter().map(cells));
    }

    /// All rows were given.
    pub fn finish(&mut self, columns: &[Column], text: &mut String) {
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(number, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(number));
                cells.map(|cell| width(cell)).chain([width(&column.name), 3]).max().unwrap_or(3)
            })
            .collect();
        let names = columns.iter().map(|column| column.name.as_str());
        push_line(columns, &widths, names, text);
        text.push('|');
        for (column, width) in columns.iter().zip(&widths) {
            match is_numeric(column) {
                true => text.push_str(&format!(" {}:|", "-".repeat(*width))),
                false => text.push_str(&format!(" {} |", "-".repeat(*width))),
            }
        }
        text.push('\n');
        for row in std::mem::take(&mut self.rows) {
            push_line(columns, &widths, row.iter().map(String::as_str), text);
        }
    }
}

fn push_line<'a>(
    columns: &[Column],
    widths: &[usize],
    cells: impl Iterator<Item = &'a str>,
    text: &mut String,
) {
    text.push('|');
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        text.push_str(&format!(" {} |", pad(cell, *width, is_numeric(column))));
    }
    text.push('\n');
}
