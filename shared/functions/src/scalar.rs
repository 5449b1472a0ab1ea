//! What all scalar functions of this crate share: arguments checked and coerced by the registry's
//! signatures, strings of every layout read alike, literals read once.
//!
//! Nothing may look at the metadata of fields while it computes: on workers the fields of
//! intermediate results have none. What hangs on a Trino type is decided in the plan.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, BooleanArray,
    LargeBinaryArray, LargeStringArray, PrimitiveArray, StringArray, StringBuilder,
    StringViewArray,
};
use arrow::array::{BinaryBuilder, GenericListArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::functions::scalar_function;
use crate::signature::{Texts, arrow_type, resolve};

/// What a value is, or why there is none.
pub(crate) type Evaluated<T> = std::result::Result<T, Failure>;

/// Computes a function for all rows of a call.
pub(crate) type Evaluate = fn(&Call<'_>) -> Result<ArrayRef>;

/// The type of a result that the registry's line does not say.
pub(crate) type ResultType = fn(&[TrinoType]) -> Option<TrinoType>;

/// Trino's INVALID_FUNCTION_ARGUMENT.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::INVALID_FUNCTION_ARGUMENT, message)
}

/// Trino's NUMERIC_VALUE_OUT_OF_RANGE.
pub(crate) fn out_of_range(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// A failure as DataFusion carries it.
pub(crate) fn raise(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

/// A scalar function whose signatures stand in the registry.
#[derive(Debug)]
pub(crate) struct TrinoFunction {
    name: &'static str,
    signature: Signature,
    evaluate: Evaluate,
    result: Option<ResultType>,
    strict: bool,
    /// The function that takes over where an argument is an array.
    arrays: Option<(&'static str, OnceLock<Option<Arc<ScalarUDF>>>)>,
}

impl PartialEq for TrinoFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TrinoFunction {}

impl Hash for TrinoFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl TrinoFunction {
    /// A function that gives NULL when an argument is NULL.
    pub fn new(name: &'static str, evaluate: Evaluate) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, signature, evaluate, result: None, strict: true, arrays: None }
    }

    /// With a result whose type hangs on the arguments' types.
    pub fn of_type(mut self, result: ResultType) -> Self {
        self.result = Some(result);
        self
    }

    /// Not the same at each call.
    pub fn volatile(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Volatile);
        self
    }

    /// With arrays for arguments another function of this crate is meant.
    pub fn arrays_by(mut self, name: &'static str) -> Self {
        self.arrays = Some((name, OnceLock::new()));
        self
    }

    /// The function that is meant if there are arrays among arguments of these types.
    fn of_arrays<'t>(
        &self,
        mut types: impl Iterator<Item = &'t DataType>,
    ) -> Option<&Arc<ScalarUDF>> {
        let (name, found) = self.arrays.as_ref()?;
        let is_array = |given: &DataType| matches!(given, DataType::List(_));
        match types.any(is_array) {
            true => found.get_or_init(|| scalar_function(name)).as_ref(),
            false => None,
        }
    }

    /// Checks arguments by their fields, when casts among them have got their meaning.
    ///
    /// # Errors
    /// FUNCTION_NOT_FOUND.
    pub fn check(&self, arguments: &[FieldRef]) -> Result<()> {
        if self.of_arrays(arguments.iter().map(|field| field.data_type())).is_some() {
            return Ok(());
        }
        let types: Vec<TrinoType> =
            arguments.iter().map(|field| trino_type(field)).collect::<Result<_>>()?;
        resolve(self.name, &types, Texts::AreVarchar).map(|_| ())
    }

    /// A NULL argument may give a value.
    pub fn nulls_count(mut self) -> Self {
        self.strict = false;
        self
    }

    /// As DataFusion registers it.
    pub fn shared(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

/// The commonest case: a name and how it is computed.
pub(crate) fn function(name: &'static str, evaluate: Evaluate) -> Arc<ScalarUDF> {
    TrinoFunction::new(name, evaluate).shared()
}

fn trino_type(field: &Field) -> Result<TrinoType> {
    TrinoType::of_field(field).map_err(raise)
}

/// A field's type, where casts that only the analysis takes away may still say JSON or UUID.
fn text_type(field: &Field) -> Result<TrinoType> {
    Ok(match trino_type(field)? {
        TrinoType::Plain("json" | "uuid") => TrinoType::Varchar(None),
        other => other,
    })
}

/// The Arrow type to which an argument is cast: its own when it carries the wanted type already.
fn target(given: &DataType, wanted: &TrinoType) -> Result<DataType> {
    let unsigned = given.is_unsigned_integer();
    match TrinoType::of(given) {
        Ok(own) if !unsigned && same_layout(&own, wanted) => Ok(given.clone()),
        _ => arrow_type(wanted),
    }
}

/// Texts are all alike for Arrow.
fn same_layout(own: &TrinoType, wanted: &TrinoType) -> bool {
    use TrinoType::{Array, Char, Map, Plain, Varchar};
    match (own, wanted) {
        (
            Varchar(_) | Char(_) | Plain("json" | "uuid"),
            Varchar(_) | Char(_) | Plain("json" | "uuid"),
        ) => true,
        (Array(own), Array(wanted)) => same_layout(own, wanted),
        (Map(key, value), Map(wanted_key, wanted_value)) => {
            same_layout(key, wanted_key) && same_layout(value, wanted_value)
        }
        (own, wanted) => own == wanted,
    }
}

impl ScalarUDFImpl for TrinoFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        datafusion::common::internal_err!("the type of {} hangs on fields", self.name)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if self.of_arrays(given.iter()).is_some() {
            // It casts by itself.
            return Ok(given.to_vec());
        }
        let types: Vec<TrinoType> =
            given.iter().map(|given| TrinoType::of(given).map_err(raise)).collect::<Result<_>>()?;
        // Without the fields every text may be JSON; `check` is strict.
        let resolved = resolve(self.name, &types, Texts::AreAnything)?;
        given.iter().zip(&resolved.arguments).map(|(given, wanted)| target(given, wanted)).collect()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(other) = self.of_arrays(args.arg_fields.iter().map(|field| field.data_type())) {
            return other.return_field_from_args(args);
        }
        let types: Vec<TrinoType> =
            args.arg_fields.iter().map(|field| text_type(field)).collect::<Result<_>>()?;
        let resolved = resolve(self.name, &types, Texts::AreAnything)?;
        let computed = self.result.and_then(|result| result(&resolved.arguments));
        let Some(result) = computed.or(resolved.result) else {
            return datafusion::common::internal_err!("{} has no result type", self.name);
        };
        let field = Field::new(self.name, arrow_type(&result)?, true);
        Ok(Arc::new(result.annotate(field)))
    }

    fn is_strict(&self) -> bool {
        self.strict
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(other) = self.of_arrays(args.arg_fields.iter().map(|field| field.data_type())) {
            return other.invoke_with_args(args);
        }
        let constant = self.signature.volatility != Volatility::Volatile
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let array = (self.evaluate)(&Call { args: &args, rows })?;
        let array = match array.data_type() == args.return_type() {
            true => array,
            false => cast(&array, args.return_type())?,
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// One call: its arguments and how many rows there are.
pub(crate) struct Call<'a> {
    args: &'a ScalarFunctionArgs,
    /// Rows to compute.
    pub rows: usize,
}

impl<'a> Call<'a> {
    /// How many arguments there are.
    pub fn arity(&self) -> usize {
        self.args.args.len()
    }

    /// The result's Arrow type.
    pub fn result_type(&self) -> &DataType {
        self.args.return_type()
    }

    /// An argument as an array: of one row if it is a literal.
    pub fn array(&self, index: usize) -> Result<(ArrayRef, bool)> {
        match &self.args.args[index] {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(value) => Ok((value.to_array_of_size(1)?, true)),
        }
    }

    /// A text argument; `char(n)` comes with its padding (see [`crate::PadCharacters`]).
    pub fn text(&self, index: usize) -> Result<TextArgument> {
        let (array, constant) = self.array(index)?;
        Ok(TextArgument { values: TextArray::new(&array)?, constant })
    }

    /// A text argument where a call may leave it out.
    pub fn optional_text(&self, index: usize) -> Result<Option<TextArgument>> {
        if index < self.arity() { self.text(index).map(Some) } else { Ok(None) }
    }

    /// Bytes.
    pub fn bytes(&self, index: usize) -> Result<Bytes> {
        let (array, constant) = self.array(index)?;
        Ok(Bytes { values: ByteArray::new(&array)?, constant })
    }

    /// Numbers of one type.
    pub fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Result<Numbers<T>> {
        let (array, constant) = self.array(index)?;
        let array =
            if array.data_type() == &T::DATA_TYPE { array } else { cast(&array, &T::DATA_TYPE)? };
        Ok(Numbers { values: array.as_primitive::<T>().clone(), constant })
    }

    /// Integers, as bigint.
    pub fn integers(&self, index: usize) -> Result<Numbers<Int64Type>> {
        self.numbers(index)
    }

    /// Integers where a call may leave them out.
    pub fn optional_integers(&self, index: usize) -> Result<Option<Numbers<Int64Type>>> {
        if index < self.arity() { self.integers(index).map(Some) } else { Ok(None) }
    }

    /// Doubles.
    pub fn doubles(&self, index: usize) -> Result<Numbers<Float64Type>> {
        self.numbers(index)
    }

    /// An array argument.
    pub fn lists(&self, index: usize) -> Result<Lists> {
        let (array, constant) = self.array(index)?;
        let DataType::List(_) = array.data_type() else {
            return datafusion::common::not_impl_err!("an array laid out as {}", array.data_type());
        };
        Ok(Lists { values: array.as_list::<i32>().clone(), constant })
    }

    /// Texts, one for each row.
    pub fn make_texts<S: AsRef<str>>(
        &self,
        mut row: impl FnMut(usize) -> Option<Evaluated<S>>,
    ) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for index in 0..self.rows {
            builder.append_option(row(index).transpose().map_err(raise)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Byte strings, one for each row.
    pub fn make_bytes<B: AsRef<[u8]>>(
        &self,
        mut row: impl FnMut(usize) -> Option<Evaluated<B>>,
    ) -> Result<ArrayRef> {
        let mut builder = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        for index in 0..self.rows {
            builder.append_option(row(index).transpose().map_err(raise)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// Numbers, one for each row.
    pub fn make_numbers<T: ArrowPrimitiveType>(
        &self,
        mut row: impl FnMut(usize) -> Option<Evaluated<T::Native>>,
    ) -> Result<ArrayRef> {
        let values: PrimitiveArray<T> = (0..self.rows)
            .map(|index| row(index).transpose().map_err(raise))
            .collect::<Result<_>>()?;
        Ok(Arc::new(values))
    }

    /// Integers, one for each row.
    pub fn make_integers(
        &self,
        row: impl FnMut(usize) -> Option<Evaluated<i64>>,
    ) -> Result<ArrayRef> {
        self.make_numbers::<Int64Type>(row)
    }

    /// Doubles, one for each row.
    pub fn make_doubles(
        &self,
        row: impl FnMut(usize) -> Option<Evaluated<f64>>,
    ) -> Result<ArrayRef> {
        self.make_numbers::<Float64Type>(row)
    }

    /// Truth values, one for each row.
    pub fn make_booleans(
        &self,
        mut row: impl FnMut(usize) -> Option<Evaluated<bool>>,
    ) -> Result<ArrayRef> {
        let values: BooleanArray = (0..self.rows)
            .map(|index| row(index).transpose().map_err(raise))
            .collect::<Result<_>>()?;
        Ok(Arc::new(values))
    }
}

/// Texts of any layout.
pub(crate) enum TextArray {
    Plain(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
    /// The type of a bare NULL.
    Nothing,
}

impl TextArray {
    pub fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Plain(array.as_string().clone()),
            DataType::LargeUtf8 => Self::Large(array.as_string().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            DataType::Null => Self::Nothing,
            _ => Self::Plain(cast(array, &DataType::Utf8)?.as_string().clone()),
        })
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Plain(array) => array.len(),
            Self::Large(array) => array.len(),
            Self::View(array) => array.len(),
            Self::Nothing => 0,
        }
    }

    pub fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Nothing => None,
        }
    }
}

/// A text argument.
pub(crate) struct TextArgument {
    values: TextArray,
    constant: bool,
}

impl TextArgument {
    /// A row's text.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.values.get(if self.constant { 0 } else { row })
    }

    /// The text that all rows have, if the argument is a literal; `Some(None)` is NULL.
    pub fn constant(&self) -> Option<Option<&str>> {
        self.constant.then(|| self.values.get(0))
    }
}

enum ByteArray {
    Plain(BinaryArray),
    Large(LargeBinaryArray),
    View(BinaryViewArray),
    Nothing,
}

impl ByteArray {
    fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Binary => Self::Plain(array.as_binary().clone()),
            DataType::LargeBinary => Self::Large(array.as_binary().clone()),
            DataType::BinaryView => Self::View(array.as_binary_view().clone()),
            DataType::Null => Self::Nothing,
            _ => Self::Plain(cast(array, &DataType::Binary)?.as_binary().clone()),
        })
    }
}

/// An argument of bytes.
pub(crate) struct Bytes {
    values: ByteArray,
    constant: bool,
}

impl Bytes {
    /// A row's bytes.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let row = if self.constant { 0 } else { row };
        match &self.values {
            ByteArray::Plain(array) => array.is_valid(row).then(|| array.value(row)),
            ByteArray::Large(array) => array.is_valid(row).then(|| array.value(row)),
            ByteArray::View(array) => array.is_valid(row).then(|| array.value(row)),
            ByteArray::Nothing => None,
        }
    }
}

/// An argument of numbers.
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: PrimitiveArray<T>,
    constant: bool,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// The numbers of an array that has one row if the argument is a literal.
    pub fn of(values: PrimitiveArray<T>, constant: bool) -> Self {
        Self { values, constant }
    }

    /// A row's number.
    pub fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// An argument of arrays.
pub(crate) struct Lists {
    values: GenericListArray<i32>,
    constant: bool,
}

impl Lists {
    /// A row's elements.
    pub fn get(&self, row: usize) -> Option<ArrayRef> {
        let row = if self.constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}
