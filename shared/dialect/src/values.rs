//! Numbers in VALUES: the planner makes a decimal of a column of decimals and doubles.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, SetExpr, UnaryOperator, Value, ValueWithSpan,
};

/// Decimals beside a double become doubles, and beside a real reals, where both are literals.
pub(super) fn meet(body: &mut SetExpr) {
    let SetExpr::Values(values) = body else { return };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    for column in 0..width {
        let types = values.rows.iter().filter_map(|row| float(row.content.get(column)?));
        let Some(wanted) =
            types.reduce(|one, other| if one == DataType::Real { other } else { one })
        else {
            continue;
        };
        let cells = values.rows.iter_mut().filter_map(|row| row.content.get_mut(column));
        for cell in cells.filter(|cell| is_decimal(cell)) {
            let inner = Box::new(std::mem::replace(cell, Expr::Value(Value::Null.into())));
            *cell = Expr::Cast {
                kind: CastKind::Cast,
                expr: inner,
                data_type: wanted.clone(),
                array: false,
                format: None,
            };
        }
    }
}

/// The type of what is written as a double or a real.
fn float(expr: &Expr) -> Option<DataType> {
    let double = || Some(DataType::Double(ExactNumberInfo::None));
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            text.contains(['e', 'E']).then(double)?
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } | Expr::Nested(expr) => float(expr),
        Expr::TypedString(typed) => float_type(&typed.data_type),
        Expr::Cast { data_type, .. } => float_type(data_type),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            matches!(name.as_str(), "nan" | "infinity").then(double)?
        }
        _ => None,
    }
}

fn float_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Double(_) | DataType::DoublePrecision | DataType::Real => Some(data_type.clone()),
        _ => None,
    }
}

fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            text.contains('.') && !text.contains(['e', 'E'])
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } | Expr::Nested(expr) => is_decimal(expr),
        Expr::TypedString(typed) => is_decimal_type(&typed.data_type),
        Expr::Cast { data_type, .. } => is_decimal_type(data_type),
        _ => false,
    }
}

const fn is_decimal_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal(_) | DataType::Dec(_) | DataType::Numeric(_))
}
