//! What Arrow carries as text and is more: `char(n)`, which is stored without its padding that
//! most functions see all the same, and JSON, which a cast does not take for its text.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, FieldRef};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use crate::functions::{Functions, scalar_function};
use crate::scalar::{TextArray, TrinoFunction, raise};

pub(crate) fn functions() -> Functions {
    Functions::of_scalars(vec![Arc::clone(&PAD)])
}

static PAD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Pad::default())));

static JSON_TO_VARCHAR: LazyLock<Option<Arc<ScalarUDF>>> =
    LazyLock::new(|| scalar_function("$json_to_varchar"));

static UUID_TO_VARCHAR: LazyLock<Option<Arc<ScalarUDF>>> =
    LazyLock::new(|| scalar_function("$uuid_to_varchar"));

/// Functions that make an array or a row of their arguments. Inside of one nobody knows that a text
/// was a `char(n)`.
const CONSTRUCTORS: &[&str] = &["make_array", "$array", "row"];

/// Aggregates whose result has the values of their arguments inside of it, or is one of them.
const COLLECTING: &[&str] = &[
    "$max_by_n",
    "$min_by_n",
    "array_agg",
    "histogram",
    "map_agg",
    "max_by",
    "min_by",
    "multimap_agg",
];

/// Gives arguments of type `char(n)` their padding where a function of this crate reads them. On
/// workers nobody knows any more what was a `char(n)`, so that the plan must say it.
#[derive(Debug)]
pub struct PadCharacters;

impl AnalyzerRule for PadCharacters {
    fn name(&self) -> &str {
        "pad_characters"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let padded = expr.transform_up(|expr| match expr {
                    Expr::Cast(Cast { expr: inner, field }) => cast_text(*inner, field, &schema),
                    Expr::AggregateFunction(mut call) if COLLECTING.contains(&call.func.name()) => {
                        let args = pad_all(call.params.args, &schema)?;
                        call.params.args = args.data;
                        let call = Expr::AggregateFunction(call);
                        Ok(Transformed::new_transformed(call, args.transformed))
                    }
                    Expr::WindowFunction(mut call) if COLLECTING.contains(&call.fun.name()) => {
                        let args = pad_all(call.params.args, &schema)?;
                        call.params.args = args.data;
                        let call = Expr::WindowFunction(call);
                        Ok(Transformed::new_transformed(call, args.transformed))
                    }
                    expr => pad_arguments(expr, &schema),
                })?;
                Ok(padded.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(rewritten.data)
    }
}

fn pad_arguments(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let args = match func.name() {
        "$cast" | "$try_cast" => match cast_call(args, schema)? {
            Ok(cast) => return Ok(Transformed::yes(cast)),
            Err(args) => args,
        },
        _ => args,
    };
    let reads = match func.inner().downcast_ref::<TrinoFunction>() {
        Some(function) => {
            let fields = args.iter().map(|arg| arg.to_field(schema).map(|(_, field)| field));
            function.check(&fields.collect::<Result<Vec<_>>>()?)?;
            true
        }
        None => CONSTRUCTORS.contains(&func.name()),
    };
    let count = args.len();
    let mut changed = false;
    let mut padded = Vec::with_capacity(count);
    for (index, arg) in args.into_iter().enumerate() {
        // What changes letters or trims needs no padding; a concatenation's last part neither.
        let plain = match func.name() {
            "lower" | "upper" | "trim" | "ltrim" | "rtrim" => true,
            "concat" => index + 1 == count,
            _ => false,
        };
        let arg = if reads && !plain { pad_one(arg, schema)? } else { Transformed::no(arg) };
        changed |= arg.transformed;
        padded.push(arg.data);
    }
    let expr = Expr::ScalarFunction(ScalarFunction { func, args: padded });
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn pad_one(arg: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match char_length(&arg, schema)? {
        Some(length) => Transformed::yes(PAD.call(vec![arg, lit(i64::from(length))])),
        None => Transformed::no(arg),
    })
}

fn pad_all(args: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let mut changed = false;
    let mut padded = Vec::with_capacity(args.len());
    for arg in args {
        let arg = pad_one(arg, schema)?;
        changed |= arg.transformed;
        padded.push(arg.data);
    }
    Ok(Transformed::new_transformed(padded, changed))
}

/// A JSON string loses its quotes when it becomes a varchar; a UUID is one no more.
fn cast_text(inner: Expr, to: FieldRef, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (from, function) = match text_type(&inner, schema)? {
        Some(TrinoType::Plain("json")) => ("json", &JSON_TO_VARCHAR),
        Some(TrinoType::Plain("uuid")) => ("uuid", &UUID_TO_VARCHAR),
        _ => {
            let cast = Cast::new_from_field(Box::new(inner), to);
            return Ok(Transformed::no(Expr::Cast(cast)));
        }
    };
    match (to.data_type(), function.as_ref()) {
        (data_type, Some(function)) if crate::coercion::is_text(data_type) => {
            Ok(Transformed::yes(function.call(vec![inner])))
        }
        (other, _) => Err(no_cast(from, &other.to_string())),
    }
}

fn no_cast(from: &str, to: &str) -> DataFusionError {
    let message = format!("Cast of {from} to {to} is not supported");
    raise(Failure::new(ErrorCode::NOT_SUPPORTED, message))
}

/// The same for casts that are calls: a value and the name of a type.
fn cast_call(
    mut args: Vec<Expr>,
    schema: &DFSchema,
) -> Result<std::result::Result<Expr, Vec<Expr>>> {
    let (Some(value), Some(Expr::Literal(to, _))) = (args.first(), args.get(1)) else {
        return Ok(Err(args));
    };
    let (from, function) = match text_type(value, schema)? {
        Some(TrinoType::Plain("json")) => ("json", &JSON_TO_VARCHAR),
        Some(TrinoType::Plain("uuid")) => ("uuid", &UUID_TO_VARCHAR),
        _ => return Ok(Err(args)),
    };
    let to = to.try_as_str().flatten().unwrap_or_default();
    match function.as_ref() {
        Some(function) if to == "varchar" => Ok(Ok(function.call(vec![args.swap_remove(0)]))),
        _ => Err(no_cast(from, to)),
    }
}

fn char_length(expr: &Expr, schema: &DFSchema) -> Result<Option<u32>> {
    Ok(match text_type(expr, schema)? {
        Some(TrinoType::Char(length)) => Some(length),
        _ => None,
    })
}

/// The Trino type of what Arrow carries as text.
fn text_type(expr: &Expr, schema: &DFSchema) -> Result<Option<TrinoType>> {
    if !matches!(expr.get_type(schema)?, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    {
        return Ok(None);
    }
    let (_, field) = expr.to_field(schema)?;
    Ok(TrinoType::of_field(&field).ok())
}

/// `$pad(text, length)`: spaces behind a text, up to a length. Its type is its argument's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pad {
    signature: Signature,
}

impl Default for Pad {
    fn default() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Pad {
    fn name(&self) -> &str {
        "$pad"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = args.arg_fields[0].as_ref().clone();
        Ok(Arc::new(field.with_data_type(DataType::Utf8)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let length = match &args.args[1] {
            ColumnarValue::Scalar(datafusion::scalar::ScalarValue::Int64(Some(length))) => {
                usize::try_from(*length).unwrap_or(0)
            }
            _ => return datafusion::common::internal_err!("$pad needs a length"),
        };
        let array = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(pad(&array, length)?))
    }
}

fn pad(array: &ArrayRef, length: usize) -> Result<ArrayRef> {
    let texts = TextArray::new(array)?;
    let padded: StringArray = (0..array.len())
        .map(|row| {
            let text = texts.get(row)?;
            let missing = length.saturating_sub(text.chars().count());
            Some(format!("{text}{}", " ".repeat(missing)))
        })
        .collect();
    Ok(Arc::new(padded))
}
