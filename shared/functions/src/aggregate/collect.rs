//! Aggregates that look at all values of a group at its end, as rows of a table.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature, Volatility,
};

use super::collected::Collected;
use crate::nested::unexpected;

/// The types that arguments are cast to, and that of the result.
pub(super) type Resolved = (Vec<DataType>, DataType);

/// Makes fewer rows of rows.
pub(super) type Compact = fn(&[ArrayRef]) -> Result<Vec<ArrayRef>>;

/// An aggregate.
pub(super) struct Def {
    pub name: &'static str,
    /// What arguments are cast to, and the result's type; None when it does not take them.
    pub resolve: fn(&[DataType]) -> Option<Resolved>,
    /// The argument that makes its row count: a row where it is NULL is left out.
    pub counts: Option<usize>,
    /// Rows that have the same result as these, but fewer.
    pub compact: Option<Compact>,
    /// The result of one row or more.
    pub finish: fn(&[ArrayRef], &DataType) -> Result<ScalarValue>,
}

/// The functions of a table.
pub(super) fn family(defs: &'static [Def]) -> Vec<Arc<AggregateUDF>> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    let function = |def| Collect { def, signature: signature.clone() };
    defs.iter().map(|def| Arc::new(AggregateUDF::new_from_impl(function(def)))).collect()
}

struct Collect {
    def: &'static Def,
    signature: Signature,
}

impl Collect {
    fn resolve(&self, types: &[DataType]) -> Result<Resolved> {
        let name = self.def.name.trim_start_matches('$').trim_end_matches("_n");
        (self.def.resolve)(types).ok_or_else(|| unexpected(name, types))
    }
}

impl std::fmt::Debug for Collect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.def.name)
    }
}

impl PartialEq for Collect {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name
    }
}

impl Eq for Collect {}

impl Hash for Collect {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

fn types_of(fields: &[FieldRef]) -> Vec<DataType> {
    fields.iter().map(|field| field.data_type().clone()).collect()
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        self.def.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.resolve(arg_types)?.1)
    }

    /// A list for each argument, and for each expression of ORDER BY.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let (mut types, _) = self.resolve(&types_of(args.input_fields))?;
        types.extend(args.ordering_fields.iter().map(|field| field.data_type().clone()));
        let field = |(position, data_type): (usize, DataType)| {
            let name = format_state_name(args.name, &format!("values{position}"));
            Arc::new(Field::new(name, DataType::new_list(data_type, true), true))
        };
        Ok(types.into_iter().enumerate().map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (mut types, result) = self.resolve(&types_of(args.expr_fields))?;
        let arguments = types.len();
        let mut order = Vec::new();
        for sort in args.order_bys {
            types.push(sort.expr.data_type(args.schema)?);
            order.push(sort.options);
        }
        let distinct = args.is_distinct;
        Ok(Box::new(Collected::new(self.def, types, arguments, result, order, distinct)))
    }

    /// The rows are put in order at the end, whether they come so or not.
    fn with_beneficial_ordering(
        self: Arc<Self>,
        _: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::SoftRequirement
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }
}
