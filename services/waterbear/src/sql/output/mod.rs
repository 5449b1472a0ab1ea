//! Prints rows in the formats of Trino's CLI.
//!
//! Layout: [`Printer`] chooses; [`value`] makes a value's text, [`delimited`] the formats with a
//! row on a line, [`table`] those for people.

mod delimited;
mod markdown;
mod table;
mod value;

use std::io::{self, Write};

use clap::ValueEnum;
use waterbear_protocol::client::Column;

use self::delimited::Delimiter;
use self::markdown::Markdown;
use self::table::{Aligned, Vertical};
use super::protocol::Value;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    #[value(name = "ALIGNED")]
    Aligned,
    /// A value on each line, for people with wide tables.
    #[value(name = "VERTICAL")]
    Vertical,
    /// Comma-separated, every value in quotes.
    #[value(name = "CSV")]
    Csv,
    /// The same after a line with the columns' names.
    #[value(name = "CSV_HEADER")]
    CsvHeader,
    /// Comma-separated, quotes only where they are needed.
    #[value(name = "CSV_UNQUOTED")]
    CsvUnquoted,
    /// The same after a line with the columns' names.
    #[value(name = "CSV_HEADER_UNQUOTED")]
    CsvHeaderUnquoted,
    /// Tab-separated.
    #[value(name = "TSV")]
    Tsv,
    /// The same after a line with the columns' names.
    #[value(name = "TSV_HEADER")]
    TsvHeader,
    /// A JSON object on each line.
    #[value(name = "JSON")]
    Json,
    /// A table of Markdown.
    #[value(name = "MARKDOWN")]
    Markdown,
    /// ALIGNED where that fits the terminal, else VERTICAL.
    #[value(name = "AUTO")]
    Auto,
    /// Nothing.
    #[value(name = "NULL")]
    Null,
}

/// Characters in a line of the terminal.
fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).max(20))
}

/// Prints one result.
pub struct Printer<W> {
    out: W,
    style: Style,
    columns: Option<Vec<Column>>,
}

enum Style {
    Delimited { delimiter: Delimiter, header: bool },
    Json,
    Aligned(Aligned),
    Vertical(Vertical),
    Markdown(Markdown),
    Nothing,
}

impl<W: Write> Printer<W> {
    /// Prints to `out`.
    pub fn new(format: OutputFormat, out: W) -> Self {
        let delimited = |delimiter, header| Style::Delimited { delimiter, header };
        let style = match format {
            OutputFormat::Aligned => Style::Aligned(Aligned::default()),
            OutputFormat::Auto => Style::Aligned(Aligned::within(terminal_width())),
            OutputFormat::Markdown => Style::Markdown(Markdown::default()),
            OutputFormat::Vertical => Style::Vertical(Vertical::default()),
            OutputFormat::Csv => delimited(Delimiter::QuotedComma, false),
            OutputFormat::CsvHeader => delimited(Delimiter::QuotedComma, true),
            OutputFormat::CsvUnquoted => delimited(Delimiter::Comma, false),
            OutputFormat::CsvHeaderUnquoted => delimited(Delimiter::Comma, true),
            OutputFormat::Tsv => delimited(Delimiter::Tab, false),
            OutputFormat::TsvHeader => delimited(Delimiter::Tab, true),
            OutputFormat::Json => Style::Json,
            OutputFormat::Null => Style::Nothing,
        };
        Self { out, style, columns: None }
    }

    /// The columns of the rows to come; told again, they change nothing.
    pub fn columns(&mut self, columns: &[Column]) -> io::Result<()> {
        if self.columns.is_some() {
            return Ok(());
        }
        self.columns = Some(columns.to_vec());
        match &mut self.style {
            Style::Delimited { delimiter, header: true } => {
                let names = columns.iter().map(|column| column.name.clone());
                writeln!(self.out, "{}", delimiter.line(names))?;
                self.out.flush()
            }
            _ => Ok(()),
        }
    }

    /// The next rows.
    pub fn rows(&mut self, rows: &[Vec<Value>]) -> io::Result<()> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut text = String::new();
        match &mut self.style {
            Style::Delimited { delimiter, .. } => {
                for row in rows {
                    text.push_str(&delimiter.line(value::texts(columns, row)));
                    text.push('\n');
                }
            }
            Style::Json => {
                for row in rows {
                    let names = columns.iter().map(|column| column.name.as_str());
                    text.push_str(&value::object(names.zip(row.iter().map(|v| v.get()))));
                    text.push('\n');
                }
            }
            Style::Aligned(table) => table.rows(columns, rows, &mut text),
            Style::Vertical(records) => records.rows(columns, rows, &mut text),
            Style::Markdown(table) => table.rows(columns, rows),
            Style::Nothing => {}
        }
        self.write(&text)
    }

    /// All rows were given.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut text = String::new();
        match (&mut self.style, &self.columns) {
            (Style::Aligned(table), Some(columns)) => table.finish(columns, &mut text),
            (Style::Markdown(table), Some(columns)) => table.finish(columns, &mut text),
            _ => {}
        }
        self.write(&text)
    }

    /// The statement was no query: what it did instead.
    pub fn update(&mut self, what: &str, count: Option<u64>) -> io::Result<()> {
        self.write(&match count {
            None => format!("{what}\n"),
            Some(1) => format!("{what}: 1 row\n"),
            Some(rows) => format!("{what}: {rows} rows\n"),
        })
    }

    /// Rows are seen as soon as they are there.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_protocol::client::TypeSignature;

    use super::*;

    fn column(name: &str, type_name: &str) -> Column {
        Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            type_signature: TypeSignature::plain(type_name),
        }
    }

    fn printed(format: OutputFormat, columns: &[Column], rows: &str) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(format, &mut out);
        printer.columns(columns).unwrap();
        printer.rows(&serde_json::from_str::<Vec<Vec<Value>>>(rows).unwrap()).unwrap();
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    const ROWS: &str =
        r#"[[9223372036854775807,"a \"b\"",1.0E10],[-1,null,0.1],[2,"x,\ty","NaN"]]"#;

    fn columns() -> [Column; 3] {
        [column("n", "bigint"), column("text", "varchar"), column("d", "double")]
    }

    #[test]
    fn csv_quotes_every_value_and_keeps_numbers_as_sent() {
        assert_eq!(
            printed(OutputFormat::Csv, &columns(), ROWS),
            "\"9223372036854775807\",\"a \"\"b\"\"\",\"1.0E10\"\n\"-1\",\"\",\"0.1\"\n\"2\",\"x,\ty\",\"NaN\"\n"
        );
        let header = printed(OutputFormat::CsvHeader, &columns(), "[]");
        assert_eq!(header, "\"n\",\"text\",\"d\"\n");
        assert_eq!(
            printed(OutputFormat::CsvUnquoted, &columns(), ROWS),
            "9223372036854775807,\"a \"\"b\"\"\",1.0E10\n-1,,0.1\n2,\"x,\ty\",NaN\n"
        );
    }

    #[test]
    fn tsv_escapes_what_would_break_a_line() {
        let rows = r#"[[1,"a\tb\nc\\d",2]]"#;
        let text = printed(OutputFormat::TsvHeader, &columns(), rows);
        assert_eq!(text, "n\ttext\td\n1\ta\\tb\\nc\\\\d\t2\n");
    }

    #[test]
    fn json_has_an_object_on_each_line_with_values_as_sent() {
        let text =
            printed(OutputFormat::Json, &columns(), r#"[[1.50,"a",null],[2,"ä",[1,{"k":2}]]]"#);
        assert_eq!(
            text,
            "{\"n\":1.50,\"text\":\"a\",\"d\":null}\n{\"n\":2,\"text\":\"ä\",\"d\":[1,{\"k\":2}]}\n"
        );
    }

    #[test]
    fn aligned_puts_numbers_right_and_text_left_with_a_count() {
        let rows = r#"[[1,"a",2.5],[1000,null,10]]"#;
        let expected = "  n   | text |  d  \n\
                        ------+------+-----\n\
                        \u{20}   1 | a    | 2.5 \n\
                        \u{20}1000 | NULL |  10 \n\
                        (2 rows)\n\n";
        assert_eq!(printed(OutputFormat::Aligned, &columns(), rows), expected);
        let empty = printed(OutputFormat::Aligned, &[column("x", "bigint")], "[]");
        assert_eq!(empty, " x \n---\n(0 rows)\n\n");
    }

    #[test]
    fn aligned_continues_values_of_several_lines() {
        let text = printed(OutputFormat::Aligned, &[column("v", "varchar")], r#"[["a\nbc"]]"#);
        assert_eq!(text, " v  \n----\n a +\n bc \n(1 row)\n\n");
    }

    #[test]
    fn vertical_puts_each_value_on_a_line() {
        let columns = [column("n", "bigint"), column("text", "varchar")];
        let text = printed(OutputFormat::Vertical, &columns, r#"[[1,"a"],[2,null]]"#);
        assert_eq!(
            text,
            "-[ RECORD 1 ]\nn    | 1\ntext | a\n-[ RECORD 2 ]\nn    | 2\ntext | NULL\n"
        );
    }

    #[test]
    fn markdown_is_a_table_whose_cells_keep_to_themselves() {
        let columns = [column("n", "bigint"), column("text", "varchar")];
        let text = printed(OutputFormat::Markdown, &columns, r#"[[1,"a|b"],[200,null]]"#);
        assert_eq!(text, "|   n | text |\n| ---:| ---- |\n|   1 | a\\|b |\n| 200 | NULL |\n");
    }

    #[test]
    fn null_prints_nothing() {
        assert_eq!(printed(OutputFormat::Null, &columns(), ROWS), "");
    }

    #[test]
    fn arrays_and_maps_read_as_in_trinos_cli() {
        let rows = r#"[[[1,null,"a"],{"k":[true],"l":null},0]]"#;
        let text = printed(OutputFormat::Tsv, &columns(), rows);
        assert_eq!(text, "[1, NULL, a]\t{k=[true], l=NULL}\t0\n");
    }

    #[test]
    fn rows_have_names_and_varbinaries_are_hexadecimal() {
        let types = [
            r#"{"rawType":"row","arguments":[
                {"kind":"NAMED_TYPE","value":{"fieldName":{"name":"x"},"typeSignature":{"rawType":"bigint"}}},
                {"kind":"NAMED_TYPE","value":{"typeSignature":{"rawType":"varbinary"}}}]}"#,
            r#"{"rawType":"varbinary"}"#,
        ];
        let columns = types.map(|signature| Column {
            type_signature: serde_json::from_str(signature).unwrap(),
            ..column("c", "unknown")
        });
        let rows = r#"[[[1,"AP8="],"AAECAwQFBgcICQoLDA0ODxA="],[null,null]]"#;
        let line = "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f";
        let text = printed(OutputFormat::Tsv, &columns, rows);
        assert_eq!(text, format!("{{x=1, 00 ff}}\t{line} 10\n\t\n"));
        let text = printed(OutputFormat::Vertical, &columns, rows);
        assert!(text.contains(&format!("c | {{x=1, 00 ff}}\nc | {line}\n  | 10\n")), "{text}");
    }
}
