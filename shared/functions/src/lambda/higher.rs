//! Functions with lambdas as rows of a table.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array, new_empty_array};
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda,
    Volatility,
};

use crate::nested::{cast, unexpected};

/// An argument before its lambda is known.
pub(super) type Planned = ValueOrLambda<FieldRef, Option<FieldRef>>;

/// An argument whose lambda's result is known.
pub(super) type Known = ValueOrLambda<FieldRef, FieldRef>;

/// The parameters of each lambda of a call.
pub(super) type Parameters = Vec<Vec<FieldRef>>;

/// Finds the parameters of a function's lambdas for the arguments of a call. None when it does
/// not take such arguments; false as the second when they may still change when the lambdas'
/// results are known better; the number is that of the attempt, from 0.
pub(super) type Infer = fn(usize, &[Planned]) -> Option<(Parameters, bool)>;

/// A function with lambdas.
pub(super) struct Def {
    pub name: &'static str,
    /// The parameters of its lambdas.
    pub parameters: Infer,
    /// The result's field.
    pub result: fn(&[Known]) -> Option<FieldRef>,
    pub invoke: fn(&Call) -> Result<ArrayRef>,
}

/// The functions of a table.
pub(super) fn family(defs: &'static [Def]) -> Vec<Arc<HigherOrderUDF>> {
    let signature = HigherOrderSignature::variadic_any(Volatility::Immutable);
    let function = |def| Higher { def, signature: signature.clone() };
    defs.iter().map(|def| Arc::new(HigherOrderUDF::new_from_impl(function(def)))).collect()
}

/// A field of this type.
pub(super) fn field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("result", data_type, true))
}

/// A call with its values.
pub(super) struct Call {
    arguments: Vec<ValueOrLambda<ArrayRef, LambdaArgument>>,
    known: Vec<Known>,
    pub result: FieldRef,
    pub rows: usize,
}

impl Call {
    /// The values of an argument, as this type.
    ///
    /// # Errors
    /// When the argument is a lambda, or a value does not fit the type.
    pub fn value(&self, position: usize, data_type: &DataType) -> Result<ArrayRef> {
        match self.arguments.get(position) {
            Some(ValueOrLambda::Value(array)) => cast(array, data_type),
            _ => Err(internal_datafusion_err!("argument {position} is no value")),
        }
    }

    /// The type of an argument, or of a lambda's result.
    ///
    /// # Errors
    /// When there is no such argument.
    pub fn data_type(&self, position: usize) -> Result<&DataType> {
        match self.known.get(position) {
            Some(ValueOrLambda::Value(field) | ValueOrLambda::Lambda(field)) => {
                Ok(field.data_type())
            }
            None => Err(internal_datafusion_err!("there is no argument {position}")),
        }
    }

    /// A lambda's results for these parameters; `rows` are those of the call that they belong to.
    ///
    /// # Errors
    /// The lambda's.
    pub fn lambda(
        &self,
        position: usize,
        parameters: &[ArrayRef],
        rows: &UInt64Array,
    ) -> Result<ArrayRef> {
        let Some(ValueOrLambda::Lambda(lambda)) = self.arguments.get(position) else {
            return Err(internal_datafusion_err!("argument {position} is no lambda"));
        };
        if rows.is_empty() {
            return Ok(new_empty_array(self.data_type(position)?));
        }
        let closures: Vec<_> =
            parameters.iter().map(|values| move || Ok(Arc::clone(values))).collect();
        let closures: Vec<&dyn Fn() -> Result<ArrayRef>> =
            closures.iter().map(|closure| closure as _).collect();
        let spread = |captured: &[ArrayRef]| Ok(take_arrays(captured, rows, None)?);
        lambda.evaluate(&closures, spread)?.into_array(rows.len())
    }
}

struct Higher {
    def: &'static Def,
    signature: HigherOrderSignature,
}

impl std::fmt::Debug for Higher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.def.name)
    }
}

impl PartialEq for Higher {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name
    }
}

impl Eq for Higher {}

impl Hash for Higher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl Higher {
    fn refused<'a>(
        &self,
        fields: impl Iterator<Item = Option<&'a FieldRef>>,
    ) -> datafusion::error::DataFusionError {
        let types: Vec<DataType> =
            fields.flatten().map(|field| field.data_type().clone()).collect();
        unexpected(self.def.name.trim_start_matches('$'), &types)
    }
}

impl HigherOrderUDFImpl for Higher {
    fn name(&self) -> &str {
        self.def.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        step: usize,
        fields: &[Planned],
    ) -> Result<LambdaParametersProgress> {
        let values = || {
            fields.iter().map(|field| match field {
                ValueOrLambda::Value(field) => Some(field),
                ValueOrLambda::Lambda(_) => None,
            })
        };
        let (parameters, complete) =
            (self.def.parameters)(step, fields).ok_or_else(|| self.refused(values()))?;
        let known =
            fields.iter().all(|field| !matches!(field, ValueOrLambda::Lambda(None))) && step == 0;
        if complete || known {
            return Ok(LambdaParametersProgress::Complete(parameters));
        }
        Ok(LambdaParametersProgress::Partial(parameters.into_iter().map(Some).collect()))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let fields = || {
            args.arg_fields.iter().map(|field| match field {
                ValueOrLambda::Value(field) | ValueOrLambda::Lambda(field) => Some(field),
            })
        };
        (self.def.result)(args.arg_fields).ok_or_else(|| self.refused(fields()))
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let arguments = args
            .args
            .into_iter()
            .map(|argument| match argument {
                ValueOrLambda::Value(value) => {
                    Ok(ValueOrLambda::Value(value.into_array(args.number_rows)?))
                }
                ValueOrLambda::Lambda(lambda) => Ok(ValueOrLambda::Lambda(lambda)),
            })
            .collect::<Result<Vec<_>>>()?;
        let (result, rows) = (args.return_field, args.number_rows);
        let call = Call { arguments, known: args.arg_fields, result, rows };
        let array = (self.def.invoke)(&call)?;
        Ok(ColumnarValue::Array(cast(&array, call.result.data_type())?))
    }
}
