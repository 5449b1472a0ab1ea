//! `avg(decimal(p,s))` is `decimal(p,s)` in Trino, rounded half up. DataFusion has four more
//! digits, cut off; the digit after the last one decides the rounding, so that cutting off behind
//! it does no harm.
//!
//! The rule runs before type coercion, which then sees the types that it leaves.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, cast,
};
use datafusion::optimizer::AnalyzerRule;

/// The rule.
#[derive(Debug)]
pub struct TrinoDecimals;

impl AnalyzerRule for TrinoDecimals {
    fn name(&self) -> &str {
        "trino_decimals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| Ok(Transformed::yes(rewrite(plan)?)))?.data)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let input = merge_schema(&plan.inputs());
    round_averages(plan.recompute_schema()?, &input)
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _))
}

/// Puts a projection above an aggregation or a window that casts its averages.
fn round_averages(plan: LogicalPlan, input: &DFSchema) -> Result<LogicalPlan> {
    let (computed, first) = match &plan {
        LogicalPlan::Aggregate(aggregate) => {
            let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            (&aggregate.aggr_expr, groups)
        }
        LogicalPlan::Window(window) => {
            (&window.window_expr, window.schema.fields().len() - window.window_expr.len())
        }
        _ => return Ok(plan),
    };
    let mut averages = Vec::with_capacity(computed.len());
    for expr in computed {
        averages.push(average_type(expr, input)?);
    }
    if averages.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(index, (qualifier, field))| {
            let column = Expr::from((qualifier, field));
            let average = index.checked_sub(first).and_then(|index| averages[index].clone());
            match average {
                Some(wanted) => {
                    cast(column, wanted).alias_qualified(qualifier.cloned(), field.name())
                }
                None => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The type that Trino gives an average of decimals; `None` for all else.
fn average_type(expr: &Expr, input: &DFSchema) -> Result<Option<DataType>> {
    let argument = match expr {
        Expr::Alias(alias) => return average_type(&alias.expr, input),
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "avg" => {
            params.args.first()
        }
        Expr::WindowFunction(window) => match window.as_ref() {
            WindowFunction { fun: WindowFunctionDefinition::AggregateUDF(func), params }
                if func.name() == "avg" =>
            {
                params.args.first()
            }
            _ => None,
        },
        _ => None,
    };
    let Some(argument) = argument else { return Ok(None) };
    let data_type = argument.get_type(input)?;
    Ok(is_decimal(&data_type).then_some(data_type))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::util::display::array_value_to_string;
    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::optimizer::Analyzer;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// Type and text of the one value of a query.
    async fn value(sql: &str) -> (String, String) {
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let mut rules = Analyzer::default().rules;
        rules.insert(0, Arc::new(TrinoDecimals));
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_analyzer_rules(rules)
            .build();
        let batches =
            SessionContext::new_with_state(state).sql(sql).await.unwrap().collect().await.unwrap();
        let column = batches[0].column(0);
        (column.data_type().to_string(), array_value_to_string(column, 0).unwrap())
    }

    #[tokio::test]
    async fn averages_keep_their_type_and_are_rounded_half_up() {
        let rows = "(VALUES (1, 0.01), (1, 0.02), (2, 0.02)) t(k, v)";
        for (select, text) in [
            (format!("SELECT avg(v) FROM {rows}"), "0.02"),
            (format!("SELECT avg(v) FROM {rows} WHERE k = 1"), "0.02"),
            (format!("SELECT avg(-v) FROM {rows} WHERE k = 1"), "-0.02"),
            (
                format!("SELECT avg(v) a FROM {rows} GROUP BY k HAVING avg(v) < 1 ORDER BY a"),
                "0.02",
            ),
            (format!("SELECT avg(v) OVER (PARTITION BY k) FROM {rows} LIMIT 1"), "0.02"),
        ] {
            let (data_type, found) = value(&select).await;
            assert_eq!(found, text, "{select}");
            assert!(data_type.ends_with(", 2)"), "{select}: {data_type}");
        }
    }

    #[tokio::test]
    async fn averages_of_other_types_stay_doubles() {
        let (data_type, text) = value("SELECT avg(v) FROM (VALUES (1), (2)) t(v)").await;
        assert_eq!((data_type.as_str(), text.as_str()), ("Float64", "1.5"));
    }

    #[tokio::test]
    async fn averages_in_subqueries_compare_with_their_own_type() {
        let sql = "SELECT count(*) FROM (VALUES (1, 0.10), (2, 0.20)) t(k, v) \
                   WHERE v > (SELECT avg(w) * 0.5 FROM (VALUES (1, 0.30), (2, 0.10)) u(l, w) \
                   WHERE l = k)";
        assert_eq!(value(sql).await.1, "1");
    }
}
