//! Functions of windows whose arguments mean less in DataFusion: what Trino refuses is refused, and
//! a default has a say in the type.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_window::lead_lag::{lag_udwf, lead_udwf};
use datafusion::functions_window::nth_value::nth_value_udwf;
use datafusion::functions_window::ntile::ntile_udwf;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use waterbear_protocol::ErrorCode;

use crate::coercion::{common_type, is_integer};
use crate::functions::Functions;
use crate::nested::{failure, invalid, unexpected};

/// The functions.
pub(crate) fn functions() -> Functions {
    let window = [lag_udwf(), lead_udwf(), nth_value_udwf(), ntile_udwf()].map(Checked::of);
    Functions { window: window.to_vec(), ..Functions::default() }
}

/// DataFusion's function behind checks of its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    inner: Arc<WindowUDF>,
    signature: Signature,
}

impl Checked {
    fn of(inner: Arc<WindowUDF>) -> Arc<WindowUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(WindowUDF::from(Self { inner, signature }))
    }

    /// The argument that counts rows, if it is there: which one, the least that it may be, and what
    /// to say of less.
    fn count(&self) -> (usize, i64, &'static str) {
        match self.inner.name() {
            "ntile" => (0, 1, "Buckets must be greater than 0"),
            "nth_value" => (1, 1, "Offset must be at least 1"),
            _ => (1, 0, "Offset must be at least 0"),
        }
    }
}

impl WindowUDFImpl for Checked {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let counts = |data_type: &DataType| is_integer(data_type) || *data_type == DataType::Null;
        let found = match (self.name(), types) {
            ("ntile", [n]) if counts(n) => Some(vec![DataType::Int64]),
            ("lag" | "lead", [value]) => Some(vec![value.clone()]),
            ("lag" | "lead" | "nth_value", [value, n]) if counts(n) => {
                Some(vec![value.clone(), DataType::Int64])
            }
            ("lag" | "lead", [value, n, default]) if counts(n) => common_type(value, default)
                .map(|common| vec![common.clone(), DataType::Int64, common]),
            _ => None,
        };
        found.ok_or_else(|| unexpected(self.name(), types))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let (position, least, message) = self.count();
        if let Some(count) = args.input_exprs().get(position) {
            let Some(literal) = count.downcast_ref::<Literal>() else {
                let message = format!("{} with a number that is no constant", self.name());
                let message = format!("{message} is not supported");
                return Err(failure(ErrorCode::NOT_SUPPORTED, message));
            };
            match literal.value() {
                ScalarValue::Int64(Some(count)) if *count < least => return Err(invalid(message)),
                // Of no row in particular: no value.
                value if value.is_null() && position > 0 => {
                    let data_type = args.input_fields()[0].data_type().clone();
                    return Ok(Box::new(Nothing(data_type)));
                }
                value if value.is_null() => return Err(invalid(message)),
                _ => {}
            }
        }
        self.inner.partition_evaluator_factory(args)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        self.inner.field(args)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.inner.reverse_expr() {
            ReversedUDWF::Reversed(inner) => ReversedUDWF::Reversed(Self::of(inner)),
            other => other,
        }
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

/// NULL for every row.
#[derive(Debug)]
struct Nothing(DataType);

impl PartitionEvaluator for Nothing {
    fn evaluate_all(&mut self, _: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        Ok(new_null_array(&self.0, num_rows))
    }
}
