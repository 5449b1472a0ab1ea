//! DataFusion's errors as Trino's failures.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use waterbear_protocol::{ErrorCode, Failure};

/// The failure that a client shall see for an error of planning or execution: one of ours if it
/// is anywhere inside, else Trino's nearest code with DataFusion's text.
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
        DataFusionError::ResourcesExhausted(text) if text.contains("disk space") => {
            Failure::new(ErrorCode::EXCEEDED_SPILL_LIMIT, text)
        }
        DataFusionError::ResourcesExhausted(text) => {
            Failure::new(ErrorCode::EXCEEDED_LOCAL_MEMORY_LIMIT, text)
        }
        DataFusionError::NotImplemented(text) => Failure::new(ErrorCode::NOT_SUPPORTED, text),
        DataFusionError::Execution(text) => failure_of_execution(text),
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
        ArrowError::CastError(_) | ArrowError::ParseError(_) => ErrorCode::INVALID_CAST_ARGUMENT,
        ArrowError::InvalidArgumentError(_) => ErrorCode::INVALID_FUNCTION_ARGUMENT,
        ArrowError::NotYetImplemented(_) => ErrorCode::NOT_SUPPORTED,
        _ => ErrorCode::GENERIC_INTERNAL_ERROR,
    };
    Failure::new(code, text)
}

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
    } else if lower.contains("overflow") {
        ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("cast") || lower.contains("error parsing") {
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

    #[test]
    fn bad_values_are_user_errors() {
        let cases = [
            (ArrowError::DivideByZero, ErrorCode::DIVISION_BY_ZERO),
            (ArrowError::ArithmeticOverflow("x".into()), ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE),
            (ArrowError::CastError("x".into()), ErrorCode::INVALID_CAST_ARGUMENT),
        ];
        for (error, code) in cases {
            assert_eq!(failure_of(&DataFusionError::ArrowError(Box::new(error), None)).code, code);
        }
    }
}
