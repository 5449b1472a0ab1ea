//! What all functions of this family share: a name, a rule for the type, and a loop over rows.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::value::{Column, Kind};

/// The type that a call has.
pub(super) type Typing = fn(&Call<'_>) -> Result<DataType, Failure>;
/// The values of a call.
pub(super) type Evaluation = fn(&Rows<'_>) -> Result<ArrayRef, Failure>;

/// A function over dates, times and intervals.
#[derive(Debug)]
pub(super) struct TemporalFunction {
    name: &'static str,
    signature: Signature,
    typing: Typing,
    evaluation: Evaluation,
}

// There is one function of each name.
impl PartialEq for TemporalFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for TemporalFunction {}
impl Hash for TemporalFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A function of this name.
pub(super) fn function(
    name: &'static str,
    typing: Typing,
    evaluation: Evaluation,
) -> Arc<ScalarUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(ScalarUDF::from(TemporalFunction { name, signature, typing, evaluation }))
}

/// A failure as DataFusion carries it.
pub(super) fn raise(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

/// `INVALID_FUNCTION_ARGUMENT`.
pub(super) fn bad_argument(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::INVALID_FUNCTION_ARGUMENT, message)
}

/// `NOT_SUPPORTED`.
pub(super) fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::NOT_SUPPORTED, message)
}

impl ScalarUDFImpl for TemporalFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let constants = vec![None; types.len()];
        let call = Call { name: self.name, types: types.iter().collect(), constants: &constants };
        (self.typing)(&call).map_err(raise)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|field| field.data_type()).collect();
        let call = Call { name: self.name, types, constants: args.scalar_arguments };
        let data_type = (self.typing)(&call).map_err(raise)?;
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let columns: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(count)).collect::<Result<_>>()?;
        let rows = Rows { columns: &columns, count, result: args.return_field.data_type() };
        let values = (self.evaluation)(&rows).map_err(raise)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

/// A call as it is typed: the types of its arguments, and those that are constants.
pub(super) struct Call<'a> {
    name: &'static str,
    types: Vec<&'a DataType>,
    constants: &'a [Option<&'a ScalarValue>],
}

impl Call<'_> {
    /// How many arguments there are.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// What an argument is, in time; `None` for all else.
    pub fn kind(&self, at: usize) -> Option<Kind> {
        self.types.get(at).and_then(|data_type| Kind::of(data_type))
    }

    /// The argument is a plain NULL.
    pub fn is_null(&self, at: usize) -> bool {
        self.types.get(at).is_some_and(|data_type| data_type.is_null())
    }

    /// The argument is a varchar.
    pub fn is_text(&self, at: usize) -> bool {
        use DataType::{LargeUtf8, Null, Utf8, Utf8View};
        matches!(self.types.get(at), Some(Utf8 | LargeUtf8 | Utf8View | Null))
    }

    /// The argument is a number that needs no rounding.
    pub fn is_integer(&self, at: usize) -> bool {
        self.types.get(at).is_some_and(|data_type| data_type.is_integer() || data_type.is_null())
    }

    /// The argument is a number.
    pub fn is_number(&self, at: usize) -> bool {
        self.types.get(at).is_some_and(|data_type| data_type.is_numeric() || data_type.is_null())
    }

    /// The text of a constant argument.
    pub fn text(&self, at: usize) -> Option<&str> {
        self.constants.get(at).copied().flatten()?.try_as_str().flatten()
    }

    /// The number of a constant argument.
    pub fn integer(&self, at: usize) -> Option<i64> {
        let value = self.constants.get(at).copied().flatten()?;
        match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number,
            _ => None,
        }
    }

    /// The type of an argument as Trino writes it.
    pub fn listing(&self, at: usize) -> String {
        self.types.get(at).map_or_else(String::new, |data_type| listing(data_type))
    }

    /// Trino's refusal of arguments of these types.
    pub fn mismatch(&self) -> Failure {
        let types: Vec<String> = self.types.iter().map(|data_type| listing(data_type)).collect();
        let message =
            format!("Unexpected parameters ({}) for function {}", types.join(", "), self.name);
        Failure::new(ErrorCode::FUNCTION_NOT_FOUND, message)
    }
}

/// A type as Trino writes it.
pub(super) fn listing(data_type: &DataType) -> String {
    TrinoType::of(data_type).map_or_else(|_| data_type.to_string(), |found| found.listing())
}

/// The rows that a call is evaluated for.
pub(super) struct Rows<'a> {
    columns: &'a [ArrayRef],
    /// How many rows.
    pub count: usize,
    /// The type of the call.
    pub result: &'a DataType,
}

impl Rows<'_> {
    fn column(&self, at: usize, wanted: &DataType) -> Result<ArrayRef, Failure> {
        let column = self.columns.get(at).ok_or_else(|| {
            Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, "an argument is missing")
        })?;
        cast(column, wanted).map_err(|error| {
            Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, format!("argument {at}: {error}"))
        })
    }

    /// An argument in time. A NULL of no type is a NULL of `default`.
    pub fn temporal(&self, at: usize, default: &Kind) -> Result<Column, Failure> {
        let data_type = self.columns.get(at).map_or(&DataType::Null, |column| column.data_type());
        if data_type.is_null() {
            return Column::new(&new_null_array(&default.data_type(), self.count));
        }
        match self.columns.get(at) {
            Some(column) => Column::new(column),
            None => Column::new(&new_null_array(&default.data_type(), self.count)),
        }
    }

    /// An argument as text.
    pub fn text(&self, at: usize) -> Result<StringArray, Failure> {
        let column = self.column(at, &DataType::Utf8)?;
        Ok(StringArray::from(column.to_data()))
    }

    /// An argument as integers.
    pub fn integers(&self, at: usize) -> Result<Int64Array, Failure> {
        let column = self.column(at, &DataType::Int64)?;
        Ok(Int64Array::from(column.to_data()))
    }

    /// An argument as doubles.
    pub fn doubles(&self, at: usize) -> Result<Float64Array, Failure> {
        let column = self.column(at, &DataType::Float64)?;
        Ok(Float64Array::from(column.to_data()))
    }

    /// The argument is text.
    pub fn is_text(&self, at: usize) -> bool {
        self.columns.get(at).is_some_and(|column| column.data_type().is_string())
    }

    /// The argument is of an integer type.
    pub fn is_integer(&self, at: usize) -> bool {
        self.columns.get(at).is_some_and(|column| column.data_type().is_integer())
    }

    /// The text of an argument that is the same in all rows; `None` if it is NULL.
    pub fn constant(&self, at: usize) -> Result<Option<String>, Failure> {
        let column = self.text(at)?;
        let first =
            if column.is_empty() || column.is_null(0) { None } else { Some(column.value(0)) };
        Ok(first.map(str::to_owned))
    }

    /// The result of one value or NULL for each row, in ticks of the call's type.
    pub fn ticks(
        &self,
        value: impl FnMut(usize) -> Result<Option<i64>, Failure>,
    ) -> Result<ArrayRef, Failure> {
        let ticks: Int64Array = (0..self.count).map(value).collect::<Result<_, _>>()?;
        match Kind::of(self.result) {
            Some(kind) => kind.array(&ticks),
            None => Ok(Arc::new(ticks)),
        }
    }

    /// The result of one text or NULL for each row.
    pub fn texts(
        &self,
        value: impl FnMut(usize) -> Result<Option<String>, Failure>,
    ) -> Result<ArrayRef, Failure> {
        let texts: StringArray = (0..self.count).map(value).collect::<Result<_, _>>()?;
        Ok(Arc::new(texts))
    }
}
