//! DataFusion's errors as Trino's failures.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use waterbear_protocol::{ErrorCode, Failure};

/// The failure that a client shall see for an error of planning or execution: one of ours if it
/// is anywhere inside, else Trino's nearest code with DataFusion's text.
///
/// A user error ends its query even where tasks run again. So only what is known to be the fault of
/// the statement or of its values is one; all else, damaged spill files above all, is internal.
pub fn failure_of(error: &DataFusionError) -> Failure {
    match error {
        DataFusionError::External(source) => failure_of_source(source.as_ref(), error),
        DataFusionError::ArrowError(arrow, _) => failure_of_arrow(arrow),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            failure_of(inner)
        }
        DataFusionError::Shared(inner) => failure_of(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => failure_of(first),
            None => internal(error),
        },
        DataFusionError::ResourcesExhausted(text) => {
            Failure::new(ErrorCode::EXCEEDED_LOCAL_MEMORY_LIMIT, text)
        }
        DataFusionError::NotImplemented(text) => Failure::new(ErrorCode::NOT_SUPPORTED, text),
        DataFusionError::Execution(text) => failure_of_execution(text),
        DataFusionError::IoError(source) => failure_of_storage(source, error.strip_backtrace()),
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) => {
            failure_inside(error).unwrap_or_else(|| internal(error))
        }
        DataFusionError::Plan(text) if text.starts_with("Invalid window frame") => {
            Failure::new(ErrorCode::INVALID_WINDOW_FRAME, text)
        }
        DataFusionError::Plan(text) => Failure::new(ErrorCode::GENERIC_USER_ERROR, text),
        _ => internal(error),
    }
}

/// One of ours that a reader of files has wrapped.
fn failure_inside(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    let inner = error.source()?;
    inner.downcast_ref::<Failure>().cloned().or_else(|| failure_inside(inner))
}

fn failure_of_source(
    source: &(dyn std::error::Error + Send + Sync + 'static),
    whole: &DataFusionError,
) -> Failure {
    if let Some(failure) = source.downcast_ref::<Failure>() {
        return failure.clone();
    }
    if let Some(inner) = source.downcast_ref::<DataFusionError>() {
        return failure_of(inner);
    }
    if let Some(inner) = source.downcast_ref::<ArrowError>() {
        return failure_of_arrow(inner);
    }
    internal(whole)
}

fn failure_of_arrow(error: &ArrowError) -> Failure {
    let text = error.to_string();
    let code = match error {
        ArrowError::IoError(_, source) => return failure_of_storage(source, text),
        ArrowError::ExternalError(source) => {
            if let Some(failure) = source.downcast_ref::<Failure>() {
                return failure.clone();
            }
            if let Some(inner) = source.downcast_ref::<DataFusionError>() {
                return failure_of(inner);
            }
            ErrorCode::GENERIC_INTERNAL_ERROR
        }
        ArrowError::DivideByZero => {
            return Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero");
        }
        ArrowError::ArithmeticOverflow(_) => ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE,
        ArrowError::CastError(_) => ErrorCode::INVALID_CAST_ARGUMENT,
        ArrowError::ParseError(text) if has_any(text, &PARSED_VALUES) => {
            ErrorCode::INVALID_CAST_ARGUMENT
        }
        ArrowError::InvalidArgumentError(text) if has_any(text, &UNFIT_VALUES) => {
            ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE
        }
        ArrowError::InvalidArgumentError(text) if has_any(text, &WRONG_ARGUMENTS) => {
            ErrorCode::INVALID_FUNCTION_ARGUMENT
        }
        ArrowError::NotYetImplemented(text) if !text.starts_with(UNKNOWN_COMPRESSION) => {
            ErrorCode::NOT_SUPPORTED
        }
        _ => ErrorCode::GENERIC_INTERNAL_ERROR,
    };
    Failure::new(code, text)
}

/// What arrow's parsers say of a value. Its reader of spill files has the same kind of error for
/// bytes that are none of its own.
const PARSED_VALUES: [&str; 8] = [
    "Error parsing ",
    "Failed to parse '",
    "can't parse the string value",
    "parse decimal overflow",
    "interval",
    "Invalid timezone",
    "Unable to represent",
    "would overflow",
];

/// What arrow says of a decimal that its type cannot hold.
const UNFIT_VALUES: [&str; 2] = ["to store in a Decimal", "Value overflows"];

/// What arrow says of arguments that a statement gives. Most others are of arrays that do not fit
/// together: a fault of the engine, or bytes that are not what was written.
const WRONG_ARGUMENTS: [&str; 5] =
    ["decimal format", "interval", "Cannot convert", "LIKE pattern", "Unable to represent"];

/// What arrow's reader says when the name of a compression is not one.
const UNKNOWN_COMPRESSION: &str = "compression type";

fn has_any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

/// What the node's disk did. Another node may have more of it.
fn failure_of_storage(error: &std::io::Error, text: String) -> Failure {
    if is_full(error) {
        let text = format!("No free space available for spill: {text}");
        return Failure::new(ErrorCode::OUT_OF_SPILL_SPACE, text);
    }
    // DataFusion's writer of spill files has no error of its own for its limit.
    let limit = text.contains("used disk space") && text.contains("allowable limit");
    let code = match limit {
        true => ErrorCode::EXCEEDED_SPILL_LIMIT,
        false => ErrorCode::GENERIC_INTERNAL_ERROR,
    };
    Failure::new(code, text)
}

/// True when a device or a quota is full, under whatever the error was wrapped in.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind;
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
        || error.source().is_some_and(is_full)
}

/// Overflows of the engine's own structures: batches that are too large, not values.
const INNER_OVERFLOWS: [&str; 3] = ["offset overflow", "usize overflow", "overflows run-ends"];

/// What is said of values that a cast does not take; "broadcast" and "downcast" have the word too.
const FAILED_CASTS: [&str; 5] =
    ["cannot cast", "can't cast", "could not cast", "unable to cast", "error parsing"];

/// DataFusion reports many kinds of bad values as plain text.
fn failure_of_execution(text: &str) -> Failure {
    let lower = text.to_ascii_lowercase();
    let code = if lower.contains("more than one row") || lower.contains("more than 1 row") {
        return Failure::new(
            ErrorCode::SUBQUERY_MULTIPLE_ROWS,
            "Scalar sub-query has returned multiple rows",
        );
    } else if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Failure::new(ErrorCode::DIVISION_BY_ZERO, "Division by zero");
    } else if lower.contains("overflow") && !has_any(&lower, &INNER_OVERFLOWS) {
        ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE
    } else if has_any(&lower, &FAILED_CASTS) {
        ErrorCode::INVALID_CAST_ARGUMENT
    } else {
        ErrorCode::GENERIC_INTERNAL_ERROR
    };
    Failure::new(code, text)
}

fn internal(error: &DataFusionError) -> Failure {
    Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.strip_backtrace())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::buffer::Buffer;
    use arrow::ipc::reader::StreamDecoder;
    use arrow::ipc::writer::StreamWriter;
    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    #[test]
    fn our_own_failure_is_found_under_any_wrapping() {
        let ours = Failure::new(ErrorCode::REMOTE_HOST_GONE, "worker w1 is gone");
        let external = DataFusionError::External(Box::new(ours.clone()));
        let arrow = ArrowError::ExternalError(Box::new(external));
        let wrapped = DataFusionError::ArrowError(Box::new(arrow), None).context("while joining");
        assert_eq!(failure_of(&wrapped), ours);
    }

    #[test]
    fn our_own_failure_is_found_inside_of_a_readers_error() {
        let ours = Failure::new(ErrorCode::GENERIC_USER_ERROR, "The file /x changed");
        let source = Box::new(ours.clone());
        let store = datafusion::object_store::Error::Generic { store: "files", source };
        let parquet = datafusion::parquet::errors::ParquetError::External(Box::new(store));
        assert_eq!(failure_of(&DataFusionError::ParquetError(Box::new(parquet))), ours);
    }

    fn code_of(error: ArrowError) -> ErrorCode {
        failure_of(&DataFusionError::ArrowError(Box::new(error), None)).code
    }

    #[test]
    fn bad_values_are_user_errors() {
        let parsed = "Error parsing timestamp from 'x': error parsing date";
        let large = "12345 is too large to store in a Decimal128 of precision 2. Max is 99";
        let cases = [
            (ArrowError::DivideByZero, ErrorCode::DIVISION_BY_ZERO),
            (ArrowError::ArithmeticOverflow("x".into()), ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE),
            (ArrowError::CastError("x".into()), ErrorCode::INVALID_CAST_ARGUMENT),
            (ArrowError::ParseError(parsed.into()), ErrorCode::INVALID_CAST_ARGUMENT),
            (ArrowError::InvalidArgumentError(large.into()), ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE),
            (
                ArrowError::InvalidArgumentError("Invalid decimal format: \"x\"".into()),
                ErrorCode::INVALID_FUNCTION_ARGUMENT,
            ),
            (ArrowError::NotYetImplemented("x".into()), ErrorCode::NOT_SUPPORTED),
        ];
        for (error, code) in cases {
            let text = error.to_string();
            assert_eq!(code_of(error), code, "{text}");
        }
    }

    #[test]
    fn words_that_only_contain_cast_or_overflow_are_internal() {
        let code = |text: &str| failure_of(&DataFusionError::Execution(text.to_owned())).code;
        for text in [
            "failed to downcast array to StringArray",
            "the broadcast side of a join ended",
            "offset overflow, buffer size > 2147483647",
            "Spill file schema mismatch: expected a, got b",
        ] {
            assert_eq!(code(text), ErrorCode::GENERIC_INTERNAL_ERROR, "{text}");
        }
        assert_eq!(code("Cannot cast string 'a' to Int64"), ErrorCode::INVALID_CAST_ARGUMENT);
        assert_eq!(code("Arithmetic overflow in avg: x"), ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE);
    }

    /// Reads a stream of batches with the decoder that DataFusion reads its spill files with.
    fn read_spill(bytes: Vec<u8>) -> Result<(), ArrowError> {
        let mut decoder = StreamDecoder::new();
        let mut bytes = Buffer::from(bytes);
        while !bytes.is_empty() {
            decoder.decode(&mut bytes)?;
        }
        decoder.finish()
    }

    #[test]
    fn a_damaged_spill_file_is_no_fault_of_the_user() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let mut file = Vec::new();
        let mut writer = StreamWriter::try_new(&mut file, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        read_spill(file.clone()).unwrap();
        // The schema's message starts behind a marker and its length.
        let damaged = |at: usize| {
            let mut file = file.clone();
            file[at] ^= 0xff;
            file
        };
        let mut noticed = Vec::new();
        for file in [file[..file.len() / 2].to_vec(), damaged(8), damaged(9), damaged(24)] {
            let error = read_spill(file).unwrap_err();
            noticed.push(error.to_string());
            assert_eq!(code_of(error), ErrorCode::GENERIC_INTERNAL_ERROR, "{noticed:?}");
        }
        // Arrow has the same variant for a value that is no timestamp.
        assert!(noticed.iter().any(|text| text.starts_with("Parser error")), "{noticed:?}");
    }

    #[test]
    fn a_spill_over_its_limit_is_want_of_resources() {
        let disk = DiskManagerBuilder::default().with_max_temp_directory_size(100).build();
        let file = Arc::new(disk.unwrap()).create_tmp_file("a test").unwrap();
        let error = file.open_writer().unwrap().write_all(&[0; 200]).unwrap_err();
        // As arrow's writer hands it on.
        assert_eq!(code_of(error.into()), ErrorCode::EXCEEDED_SPILL_LIMIT);
    }

    #[test]
    fn a_full_disk_is_seen_under_any_wrapping() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let wrapped = std::io::Error::other(DataFusionError::IoError(full()));
        for error in [
            DataFusionError::IoError(full()),
            ArrowError::IoError(full().to_string(), full()).into(),
            ArrowError::IoError(wrapped.to_string(), wrapped).into(),
        ] {
            let failure = failure_of(&error.context("while sorting"));
            assert_eq!(failure.code, ErrorCode::OUT_OF_SPILL_SPACE, "{failure}");
        }
        let other = DataFusionError::IoError(std::io::Error::other("device error"));
        assert_eq!(failure_of(&other).code, ErrorCode::GENERIC_INTERNAL_ERROR);
    }
}
