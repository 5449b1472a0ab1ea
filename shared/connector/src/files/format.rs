//! What kind of files a table is made of, and what columns they have.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;

use super::{sample, stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Parquet,
    Csv,
    Json,
}

/// What a file's extension says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    form: Form,
    gzip: bool,
}

impl Kind {
    /// Returns the kind of a file, or `None` for one that holds no rows.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let form = match name.rsplit_once('.')?.1 {
            "parquet" if !gzip => Form::Parquet,
            "csv" => Form::Csv,
            "json" | "jsonl" | "ndjson" => Form::Json,
            _ => return None,
        };
        Some(Self { form, gzip })
    }

    /// Returns what DataFusion reads such files with.
    pub(super) fn format(self) -> Arc<dyn FileFormat> {
        match self.form {
            Form::Parquet => Arc::new(ParquetFormat::default()),
            // A line break inside of quotes belongs to its value: a file that may have some can
            // only be read from its start.
            Form::Csv => {
                Arc::new(CsvFormat::default().with_has_header(true).with_newlines_in_values(true))
            }
            Form::Json => Arc::new(JsonFormat::default()),
        }
    }

    /// Reads the columns of a file off its first rows; `None` for files whose footer has them.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another kind.
    pub(super) fn sample(self, file: &Path) -> Option<Result<SchemaRef, String>> {
        match self.form {
            Form::Parquet => None,
            Form::Csv => Some(sample::csv(file)),
            Form::Json => Some(sample::json(file)),
        }
    }

    /// Returns the columns of a file as they are read, given those that it has.
    ///
    /// # Errors
    /// The name of a column whose type SQL lacks.
    pub(super) fn read_as(self, schema: SchemaRef) -> Result<SchemaRef, String> {
        match self.form {
            Form::Parquet => stored::read_as(&schema),
            Form::Csv | Form::Json => Ok(schema),
        }
    }

    /// Whether such files are compressed as a whole, which cannot be read yet.
    pub(super) fn is_compressed(self) -> bool {
        self.gzip
    }

    /// Returns the columns of all files together, given those of each.
    ///
    /// # Errors
    /// The index of the first file that does not fit, and how it differs.
    pub(super) fn merge(self, schemas: &[SchemaRef]) -> Result<SchemaRef, (usize, String)> {
        let Some(first) = schemas.first() else {
            return Ok(Arc::new(Schema::empty()));
        };
        let mut fields: Vec<Field> =
            first.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (index, schema) in schemas.iter().enumerate().skip(1) {
            let difference = match self.form {
                Form::Parquet => typed_difference(first, schema),
                Form::Csv => order_difference(first, schema),
                Form::Json => None,
            };
            if let Some(difference) = difference {
                return Err((index, difference));
            }
            if self.form != Form::Parquet {
                add_sampled(&mut fields, schema).map_err(|reason| (index, reason))?;
            }
        }
        if self.form != Form::Parquet {
            fields = fields.iter().map(settle).collect::<Result<_, _>>().map_err(|e| (0, e))?;
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Says how the columns of two files differ in name or type, if they do; their order is free.
fn typed_difference(first: &Schema, other: &Schema) -> Option<String> {
    for expected in first.fields() {
        match other.field_with_name(expected.name()) {
            Err(_) => return Some(format!("it has no column {}", expected.name())),
            Ok(actual) if actual.data_type() != expected.data_type() => {
                return Some(format!(
                    "column {} is {}, not {}",
                    expected.name(),
                    actual.data_type(),
                    expected.data_type()
                ));
            }
            Ok(_) => {}
        }
    }
    let mut names = other.fields().iter().map(|field| field.name());
    names.find(|name| first.field_with_name(name).is_err()).map(|name| format!("it has {name}"))
}

/// Says how two headers differ: their columns are read by their place.
fn order_difference(first: &Schema, other: &Schema) -> Option<String> {
    if first.fields().len() != other.fields().len() {
        let (found, expected) = (other.fields().len(), first.fields().len());
        return Some(format!("its header has {found} columns, not {expected}"));
    }
    let mut pairs = first.fields().iter().zip(other.fields()).enumerate();
    pairs.find(|(_, (first, other))| first.name() != other.name()).map(|(index, (first, other))| {
        format!("column {} of its header is {}, not {}", index + 1, other.name(), first.name())
    })
}

/// Widens columns to what another file's sample shows, and adds those that are new.
fn add_sampled(fields: &mut Vec<Field>, other: &Schema) -> Result<(), String> {
    for sampled in other.fields() {
        match fields.iter_mut().find(|field| field.name() == sampled.name()) {
            Some(field) => {
                let data_type = sample::wider(field.data_type(), sampled.data_type())
                    .map_err(|reason| format!("column {} has {reason}", field.name()))?;
                *field = Field::new(field.name(), data_type, true);
            }
            None => fields.push(sampled.as_ref().clone()),
        }
    }
    Ok(())
}

/// Texts stay texts where their meaning is not certain: what looks like a timestamp may name a
/// time zone, which the type that was guessed would drop.
fn settle(field: &Field) -> Result<Field, String> {
    let inner = |field: &FieldRef| settle(field).map(Arc::new);
    let data_type = match field.data_type() {
        DataType::Null | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => {
            DataType::Utf8
        }
        DataType::List(item) => DataType::List(inner(item)?),
        DataType::Struct(fields) if fields.is_empty() => {
            return Err(format!("{} has only objects without keys", field.name()));
        }
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(inner).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    };
    Ok(Field::new(field.name(), data_type, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        Kind::of(Path::new(name)).unwrap()
    }

    #[test]
    fn extensions_say_what_a_file_is() {
        assert_eq!(kind("/x/a.parquet").form, Form::Parquet);
        assert_eq!(kind("/x/a.b.csv.gz"), Kind { form: Form::Csv, gzip: true });
        assert_eq!(kind("/x/a.ndjson"), kind("b.jsonl"));
        for other in ["/x/a.txt", "/x/csv", "/x/a.parquet.gz", "/x/a.csv.zst", "/x/a.CSV"] {
            assert_eq!(Kind::of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn samples_are_merged_in_the_order_of_the_files() {
        let schema = |fields: &[(&str, DataType)]| -> SchemaRef {
            let field = |(name, t): &(&str, DataType)| Field::new(*name, t.clone(), true);
            Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
        };
        let one = schema(&[("a", DataType::Int64), ("b", DataType::Null), ("c", DataType::Date32)]);
        let two =
            schema(&[("a", DataType::Float64), ("b", DataType::Boolean), ("c", DataType::Int64)]);
        let merged = kind("a.csv").merge(&[Arc::clone(&one), two]).unwrap();
        let types: Vec<_> = merged.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Float64, DataType::Boolean, DataType::Utf8]);

        let swapped =
            schema(&[("b", DataType::Null), ("a", DataType::Int64), ("c", DataType::Date32)]);
        let (index, reason) = kind("a.csv").merge(&[Arc::clone(&one), swapped]).unwrap_err();
        assert_eq!((index, reason.as_str()), (1, "column 1 of its header is b, not a"));

        let more = schema(&[("d", DataType::Null)]);
        let merged = kind("a.json").merge(&[one, more]).unwrap();
        let names: Vec<_> = merged.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(merged.field(3).data_type(), &DataType::Utf8);
    }
}
