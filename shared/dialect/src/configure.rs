//! A session that plans Trino's SQL.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::Analyzer;

use waterbear_functions::PadCharacters;

use crate::coercion::TrinoCoercion;
use crate::floats::TrinoFloats;
use crate::nested::Nested;
use crate::operators;
use crate::pushdown;
use crate::temporal::{TemporalOperators, TrinoTime};

/// Gives a session Trino's functions, and the rules by which its operators mean what they mean in
/// Trino. Whatever plans a [`crate::ParsedQuery`] must come from here.
pub fn configure(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    // `0.05` is a decimal in Trino.
    let options = builder.config().get_or_insert_default().options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.catalog.information_schema = false;
    // Before type coercion, which must see the types that the dialect's rules leave.
    let mut analysis = Analyzer::default().rules;
    if let Some(floats) = TrinoFloats::new() {
        analysis.insert(0, Arc::new(floats));
    }
    if let Some(nested) = Nested::new() {
        nested.install(&mut builder);
        analysis.splice(0..0, nested.rules);
    }
    analysis.insert(0, Arc::new(TrinoCoercion));
    analysis.insert(0, Arc::new(PadCharacters));
    analysis.insert(0, Arc::new(TrinoTime));
    let planners = builder.expr_planners().get_or_insert_default();
    // Before the planners of other operators, which know no intervals of Trino's; behind the one
    // that takes the marks from operators.
    planners.splice(0..0, [operators::planner(), Arc::new(TemporalOperators) as _]);
    waterbear_functions::register(builder)
        .with_analyzer_rules(analysis)
        .with_physical_optimizer_rules(pushdown::physical_rules())
}
