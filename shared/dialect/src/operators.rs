//! Operators between expressions: the types that they take and give in Trino.
//!
//! The rewritten tree has a custom operator wherever Trino's operator may differ from the
//! planner's: its text is the operator with its place in the statement ([`marked`]). It reaches
//! [`TrinoOperators`] with its operands planned, so that types are known and errors have a place.
//! Number literals come the same way ([`LITERAL`]).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions::core::coalesce;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use datafusion::sql::sqlparser::tokenizer::Location;
use waterbear_functions::arithmetic::{Operation, negate};
use waterbear_functions::cast::{Target, can_cast, cast_function};
use waterbear_functions::coercion::{
    common_type, decimal, decimal_digits, is_float, is_integer, is_number, is_text,
};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};
use waterbear_types::TrinoType;

use crate::lexer::{failure_at, place};

/// Stands around the place in a custom operator. Not allowed in a statement's operators.
const MARK: char = '\u{1e}';

/// The operator that makes a number of the text in front of it.
pub(crate) const LITERAL: &str = "$literal";

/// The minus sign in front of the first operand.
pub(crate) const NEGATE: &str = "$negate";

/// CAST of the first operand; the type's name follows.
pub(crate) const CAST: &str = "$cast ";

/// TRY_CAST of the first operand; the type's name follows.
pub(crate) const TRY_CAST: &str = "$try_cast ";

/// A column of USING: the first operand, which has a value wherever one has.
pub(crate) const USING: &str = "$using";

/// A column of USING where either operand may be the only one with a value.
pub(crate) const USING_EITHER: &str = "$using either";

/// `operator` with its place.
pub(crate) fn marked(operator: &str, at: Location) -> BinaryOperator {
    BinaryOperator::Custom(format!("{MARK}{}:{}{MARK}{operator}", at.line, at.column))
}

/// The operator and the place of a custom operator.
fn unmarked(text: &str) -> Option<(&str, Option<ErrorLocation>)> {
    let (numbers, operator) = text.strip_prefix(MARK)?.split_once(MARK)?;
    let (line, column) = numbers.split_once(':')?;
    let at = Location::new(line.parse().ok()?, column.parse().ok()?);
    Some((operator, place(at)))
}

/// The text of a rewritten expression without places: of equal expressions it is equal.
pub(crate) fn without_places(text: &str) -> String {
    text.split(MARK).step_by(2).collect()
}

/// Plans Trino's operators.
#[derive(Debug)]
pub(crate) struct TrinoOperators;

impl ExprPlanner for TrinoOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let BinaryOperator::Custom(text) = &expr.op else {
            return Ok(PlannerResult::Original(expr));
        };
        let Some((operator, at)) = unmarked(text) else {
            return Ok(PlannerResult::Original(expr));
        };
        let planning = Planning { operator, at, schema };
        if let Some(kind) = operator.strip_prefix(LITERAL) {
            return Ok(PlannerResult::Planned(planning.literal(&expr.left, kind)?));
        }
        if operator == NEGATE {
            return Ok(PlannerResult::Planned(planning.negate(expr.left)?));
        }
        if let Some(to) = operator.strip_prefix(CAST) {
            return Ok(PlannerResult::Planned(planning.cast(expr.left, to, false)?));
        }
        if let Some(to) = operator.strip_prefix(TRY_CAST) {
            return Ok(PlannerResult::Planned(planning.cast(expr.left, to, true)?));
        }
        if matches!(operator, USING | USING_EITHER) {
            return Ok(PlannerResult::Planned(planning.using(expr.left, expr.right)?));
        }
        let (native, planned) = match operator {
            "+" => (BinaryOperator::Plus, Operation::Add.into()),
            "-" => (BinaryOperator::Minus, Operation::Subtract.into()),
            "*" => (BinaryOperator::Multiply, Operation::Multiply.into()),
            "/" => (BinaryOperator::Divide, Operation::Divide.into()),
            "%" => (BinaryOperator::Modulo, Operation::Modulus.into()),
            "=" => (BinaryOperator::Eq, Kind::Comparison(Operator::Eq)),
            "<>" => (BinaryOperator::NotEq, Kind::Comparison(Operator::NotEq)),
            "<" => (BinaryOperator::Lt, Kind::Comparison(Operator::Lt)),
            "<=" => (BinaryOperator::LtEq, Kind::Comparison(Operator::LtEq)),
            ">" => (BinaryOperator::Gt, Kind::Comparison(Operator::Gt)),
            ">=" => (BinaryOperator::GtEq, Kind::Comparison(Operator::GtEq)),
            "IS DISTINCT FROM" => {
                (BinaryOperator::NotEq, Kind::Comparison(Operator::IsDistinctFrom))
            }
            "IS NOT DISTINCT FROM" => {
                (BinaryOperator::Eq, Kind::Comparison(Operator::IsNotDistinctFrom))
            }
            "||" => (BinaryOperator::StringConcat, Kind::Concatenation),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let planned = match planned {
            Kind::Arithmetic(operation) => {
                planning.arithmetic(operation, &expr.left, &expr.right)?
            }
            Kind::Comparison(comparison) => {
                planning.comparison(comparison, &expr.left, &expr.right)?
            }
            Kind::Concatenation => planning.concatenation(&expr.left, &expr.right)?,
        };
        Ok(match planned {
            Some(planned) => PlannerResult::Planned(planned),
            // Dates, arrays and the like: other planners and DataFusion know them.
            None => PlannerResult::Original(RawBinaryExpr { op: native, ..expr }),
        })
    }
}

enum Kind {
    Arithmetic(Operation),
    Comparison(Operator),
    Concatenation,
}

impl From<Operation> for Kind {
    fn from(operation: Operation) -> Self {
        Self::Arithmetic(operation)
    }
}

/// One operator that is being planned.
struct Planning<'a> {
    operator: &'a str,
    at: Option<ErrorLocation>,
    schema: &'a DFSchema,
}

impl Planning<'_> {
    fn failure(&self, code: ErrorCode, message: impl std::fmt::Display) -> DataFusionError {
        raise(failure_at(self.at, code, message))
    }

    /// The value of a number's text; `kind` is ` decimal` where it has no other choice.
    fn literal(&self, text: &Expr, kind: &str) -> Result<Expr> {
        let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = text else {
            return Err(self.failure(ErrorCode::GENERIC_INTERNAL_ERROR, "a literal without text"));
        };
        let (value, message) = if kind.is_empty() {
            (number(text), format!("Invalid numeric literal: {text}"))
        } else {
            let trimmed = text.trim();
            let point = if trimmed.contains('.') { "" } else { "." };
            let value = number(&format!("{trimmed}{point}"));
            let value = value.filter(|value| matches!(value, ScalarValue::Decimal128(..)));
            (value, format!("'{text}' is not a valid DECIMAL literal"))
        };
        let value = value.map(|value| Expr::Literal(value, None));
        value.ok_or_else(|| self.failure(ErrorCode::INVALID_LITERAL, message))
    }

    fn negate(&self, operand: Expr) -> Result<Expr> {
        let data_type = operand.get_type(self.schema)?;
        if is_integer(&data_type) {
            return call(negate(), vec![operand]);
        }
        if is_text(&data_type) || data_type == DataType::Boolean {
            let message = format!("Cannot negate {}", type_name(&operand, self.schema));
            return Err(self.failure(ErrorCode::TYPE_MISMATCH, message));
        }
        Ok(Expr::Negative(Box::new(operand)))
    }

    /// A column of USING has the type that its two have in common.
    fn using(&self, one: Expr, other: Expr) -> Result<Expr> {
        let types = (one.get_type(self.schema)?, other.get_type(self.schema)?);
        let Some(common) = common_type(&types.0, &types.1) else {
            let names = [&one, &other].map(|side| type_name(side, self.schema));
            let message = format!("Column types of USING cannot be compared: {}", names.join(", "));
            return Err(self.failure(ErrorCode::TYPE_MISMATCH, message));
        };
        let one = coerce(one, &common, self.schema)?;
        match self.operator {
            USING => Ok(one),
            _ => Ok(coalesce().call(vec![one, coerce(other, &common, self.schema)?])),
        }
    }

    fn cast(&self, operand: Expr, to: &str, lenient: bool) -> Result<Expr> {
        let Some(target) = Target::parse(to) else {
            return Err(self.failure(ErrorCode::GENERIC_INTERNAL_ERROR, "a cast to no type"));
        };
        let field = operand.to_field(self.schema)?.1;
        let (from, wanted) = (field.data_type(), target.data_type());
        let annotated = TrinoType::of_field(&field).ok().filter(|_| is_text(from));
        if let Some(TrinoType::Plain(special)) = &annotated {
            let message = format!("A cast of {special} to {to} is not supported");
            return Err(self.failure(ErrorCode::NOT_SUPPORTED, message));
        }
        if !can_cast(from, &target) {
            let message = format!("Cannot cast {} to {to}", type_name(&operand, self.schema));
            return Err(self.failure(ErrorCode::TYPE_MISMATCH, message));
        }
        let cut = matches!(target, Target::Varchar(Some(_)) | Target::Char(_));
        let char = matches!(annotated, Some(TrinoType::Char(_)));
        if !cut && !char {
            // What needs no conversion keeps its form, by which sources can leave rows out; a text is
            // still of another type than before.
            let common = common_type(from, &wanted).as_ref() == Some(&wanted);
            if !is_text(&wanted) && common && has_room(from, &wanted) {
                return coerce(operand, &wanted, self.schema);
            }
        }
        Ok(cast_call(operand, to, lenient))
    }

    fn mismatch(&self, left: &Expr, right: &Expr) -> DataFusionError {
        let (l, r) = (type_name(left, self.schema), type_name(right, self.schema));
        let message = format!("Cannot apply operator: {l} {} {r}", self.operator);
        self.failure(ErrorCode::TYPE_MISMATCH, message)
    }

    fn arithmetic(&self, operation: Operation, left: &Expr, right: &Expr) -> Result<Option<Expr>> {
        if operators_below(left) >= MOST_OPERATORS {
            let message = format!(
                "Query exceeded the compiler's limit: more than {MOST_OPERATORS} operators in a row"
            );
            return Err(self.failure(ErrorCode::QUERY_EXCEEDED_COMPILER_LIMIT, message));
        }
        let (l, r) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        let (l, r) = match (&l, &r) {
            (DataType::Null, other) | (other, DataType::Null) => (other.clone(), other.clone()),
            _ => (l, r),
        };
        if l == DataType::Null {
            return Ok(Some(Expr::Literal(ScalarValue::Null, None)));
        }
        if is_float(&l) && is_number(&r) || is_number(&l) && is_float(&r) {
            let Some(common) = common_type(&l, &r) else { return Err(self.mismatch(left, right)) };
            let operator = match operation {
                Operation::Add => Operator::Plus,
                Operation::Subtract => Operator::Minus,
                Operation::Multiply => Operator::Multiply,
                Operation::Divide => Operator::Divide,
                Operation::Modulus => Operator::Modulo,
            };
            return self.binary(left, operator, right, &common).map(Some);
        }
        if let (Some((p1, s1)), Some((p2, s2))) = (decimal_digits(&l), decimal_digits(&r)) {
            let (l, r) = match common_type(&l, &r) {
                Some(common) if is_integer(&common) => (common.clone(), common),
                _ => (decimal(p1, s1), decimal(p2, s2)),
            };
            let left = coerce(left.clone(), &l, self.schema)?;
            let right = coerce(right.clone(), &r, self.schema)?;
            return call(operation.function(), vec![left, right]).map(Some);
        }
        let never = |data_type: &DataType| is_text(data_type) || *data_type == DataType::Boolean;
        if never(&l) || never(&r) {
            return Err(self.mismatch(left, right));
        }
        Ok(None)
    }

    fn comparison(&self, operator: Operator, left: &Expr, right: &Expr) -> Result<Option<Expr>> {
        let (l, r) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        let distinct = matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
        if l.is_nested() && r.is_nested() && !distinct {
            return Ok(None);
        }
        let Some(common) = common_type(&l, &r) else { return Err(self.mismatch(left, right)) };
        if is_plain(&common) {
            return self.binary(left, operator, right, &common).map(Some);
        }
        // These two have no form of the parser's, by which other planners would know them.
        if !matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) {
            return Ok(None);
        }
        let compared = BinaryExpr::new(Box::new(left.clone()), operator, Box::new(right.clone()));
        Ok(Some(Expr::BinaryExpr(compared)))
    }

    fn concatenation(&self, left: &Expr, right: &Expr) -> Result<Option<Expr>> {
        let (l, r) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        let plain = |data_type: &DataType| is_number(data_type) || *data_type == DataType::Boolean;
        let nested = l.is_nested() || r.is_nested();
        if !nested && (plain(&l) || plain(&r) || common_type(&l, &r).is_none()) {
            let types = [type_name(left, self.schema), type_name(right, self.schema)].join(", ");
            let message = format!(
                "Unexpected parameters ({types}) for function concat. Expected: concat(char(x), char(y)), concat(array(E), E) E, concat(E, array(E)) E, concat(array(E)) E, concat(varbinary), concat(varchar)"
            );
            return Err(self.failure(ErrorCode::FUNCTION_NOT_FOUND, message));
        }
        Ok(None)
    }

    fn binary(
        &self,
        left: &Expr,
        operator: Operator,
        right: &Expr,
        common: &DataType,
    ) -> Result<Expr> {
        let left = coerce(left.clone(), common, self.schema)?;
        let right = coerce(right.clone(), common, self.schema)?;
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))))
    }
}

/// How long a chain of arithmetic may be. The planner asks each operator for its type again and
/// again, and each builds the name of all below it: the time grows with the third power.
const MOST_OPERATORS: usize = 250;

/// How many operators the first operands of an expression are.
fn operators_below(expr: &Expr) -> usize {
    let mut below = 0;
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::BinaryExpr(binary) => &binary.left,
            Expr::ScalarFunction(call) => match call.args.first() {
                Some(first) => first,
                None => return below,
            },
            Expr::Cast(cast) => &cast.expr,
            _ => return below,
        };
        below += 1;
    }
}

/// The call of an operator; over literals its value, so that long sums of them do not grow deep. What
/// fails is called when the query runs: a CASE may never come to it.
fn call(function: Arc<ScalarUDF>, operands: Vec<Expr>) -> Result<Expr> {
    let value = |operand: &Expr| match operand {
        Expr::Literal(value, None) => Some(value.clone()),
        _ => None,
    };
    let values: Option<Vec<ScalarValue>> = operands.iter().map(value).collect();
    if let Some(values) = values
        && let Ok(folded) = compute(&function, &values)
    {
        return Ok(Expr::Literal(folded, None));
    }
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, operands)))
}

fn compute(function: &ScalarUDF, values: &[ScalarValue]) -> Result<ScalarValue> {
    let field =
        |value: &ScalarValue| Arc::new(Field::new("operand", value.data_type(), value.is_null()));
    let arg_fields: Vec<_> = values.iter().map(field).collect();
    let scalars: Vec<_> = values.iter().map(Some).collect();
    let return_field = function.return_field_from_args(ReturnFieldArgs {
        arg_fields: &arg_fields,
        scalar_arguments: &scalars,
    })?;
    let computed = function.invoke_with_args(ScalarFunctionArgs {
        args: values.iter().cloned().map(ColumnarValue::Scalar).collect(),
        arg_fields,
        number_rows: 1,
        return_field,
        config_options: Arc::default(),
    })?;
    match computed {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
    }
}

/// A type whose values need nothing but to be of the same type to be compared.
fn is_plain(data_type: &DataType) -> bool {
    is_number(data_type)
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(_, None)
        )
}

/// Whether a decimal has as many digits before its point as values of a type may have: the common
/// type of an integer and a decimal of 38 digits may have fewer.
fn has_room(from: &DataType, to: &DataType) -> bool {
    let DataType::Decimal128(precision, scale) = to else { return true };
    let needed = match from {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 19,
        DataType::Decimal128(precision, scale) => i16::from(*precision) - i16::from(*scale),
        _ => return true,
    };
    needed <= i16::from(*precision) - i16::from(*scale)
}

/// `CAST(operand AS to)`, or TRY_CAST.
fn cast_call(operand: Expr, to: &str, lenient: bool) -> Expr {
    let to = Expr::Literal(ScalarValue::from(to), None);
    Expr::ScalarFunction(ScalarFunction::new_udf(cast_function(lenient), vec![operand, to]))
}

/// A text as a varchar of any length: a literal alone has its own.
pub(crate) fn varchar(text: String) -> Expr {
    cast_call(Expr::Literal(ScalarValue::from(text), None), "varchar", false)
}

fn raise(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}

/// The value that the text of a number stands for: with an exponent a double, with a point a
/// decimal of as many digits as are written, else the first of integer, bigint and decimal that
/// it fits.
pub(crate) fn number(text: &str) -> Option<ScalarValue> {
    if text.contains(['e', 'E']) {
        return text.parse().ok().map(|value| ScalarValue::Float64(Some(value)));
    }
    if let Ok(value) = text.parse::<i32>() {
        return Some(ScalarValue::Int32(Some(value)));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(value)));
    }
    if !text.contains('.') {
        return None;
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.')?;
    let whole = whole.trim_start_matches('0');
    let scale = u8::try_from(fraction.len()).ok()?;
    let precision = u8::try_from(whole.len() + fraction.len()).ok()?.max(1);
    if precision > 38 {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let value: i128 = if all.is_empty() { 0 } else { all.parse().ok()? };
    let scale = i8::try_from(scale).ok()?;
    Some(ScalarValue::Decimal128(Some(sign * value), precision, scale))
}

/// `expr` as a value of another type that holds all of its values. Literals are computed at once,
/// so that a comparison of a column with one stays plain.
pub(crate) fn coerce(expr: Expr, to: &DataType, schema: &DFSchema) -> Result<Expr> {
    if let Expr::Literal(value, _) = &expr {
        return Ok(Expr::Literal(value.cast_to(to)?, None));
    }
    if expr.get_type(schema)? == *to {
        return Ok(expr);
    }
    Ok(Expr::Cast(Cast::new(Box::new(expr), to.clone())))
}

/// The Trino type of an expression, for messages.
pub(crate) fn type_name(expr: &Expr, schema: &DFSchema) -> String {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr {
        return format!("varchar({})", text.chars().count());
    }
    let named = match expr.to_field(schema) {
        Ok((_, field)) => TrinoType::of_field(&field),
        Err(_) => return "unknown".to_owned(),
    };
    named.map_or_else(|failure| failure.message, |named| named.listing())
}

/// The planner, to stand before all others.
pub(crate) fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(TrinoOperators)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn literals_have_trinos_types() {
        for (text, data_type, value) in [
            ("2147483647", "Int32", "2147483647"),
            ("2147483648", "Int64", "2147483648"),
            ("-2147483648", "Int32", "-2147483648"),
            ("-9223372036854775808", "Int64", "-9223372036854775808"),
            ("0.05", "Decimal128(2, 2)", "0.05"),
            ("-1.10", "Decimal128(3, 2)", "-1.10"),
            ("0.", "Decimal128(1, 0)", "0"),
            (".5", "Decimal128(1, 1)", "0.5"),
            ("1e0", "Float64", "1"),
            ("1.5E-3", "Float64", "0.0015"),
        ] {
            let found = number(text).unwrap();
            assert_eq!(found.data_type().to_string(), data_type, "{text}");
            assert_eq!(found.to_string(), value, "{text}");
        }
        assert_eq!(number("9223372036854775808"), None);
        assert_eq!(number(&format!("{}.0", "9".repeat(38))), None);
    }

    #[test]
    fn operators_carry_their_place() {
        let BinaryOperator::Custom(text) = marked("<=", Location::new(3, 14)) else {
            panic!("not custom");
        };
        let (operator, at) = unmarked(&text).unwrap();
        assert_eq!((operator, at.unwrap().column_number), ("<=", 14));
        assert_eq!(without_places(&format!("a {text} b")), "a <= b");
    }
}
