//! `avg`: of decimals it has the type of its argument, rounded half up. DataFusion's has four more
//! digits, cut off; the digit after the last one decides the rounding, so that cutting off behind
//! it does no harm.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::around::{Around, Wrapped};
use crate::coercion::is_number;
use crate::nested::{cast, unexpected};

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Average {
    inner: Avg,
    signature: Signature,
}

impl Default for Average {
    fn default() -> Self {
        Self { inner: Avg::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Average {
    /// What DataFusion's function is asked for.
    fn inner_args<'a>(&self, args: AccumulatorArgs<'a>) -> Result<AccumulatorArgs<'a>> {
        let types: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(args.name, self.inner.return_type(&types)?, true);
        Ok(AccumulatorArgs { return_field: Arc::new(field), ..args })
    }
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [decimal @ DataType::Decimal128(..)] => Ok(vec![decimal.clone()]),
            [number] if is_number(number) || *number == DataType::Null => {
                Ok(vec![DataType::Float64])
            }
            _ => Err(unexpected("avg", types)),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [decimal @ DataType::Decimal128(..)] => Ok(decimal.clone()),
            _ => Ok(DataType::Float64),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_type().clone();
        let inner = self.inner.accumulator(self.inner_args(args)?)?;
        Ok(Box::new(Wrapped { inner, around: Rounded { to } }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner_args(args).is_ok_and(|args| self.inner.groups_accumulator_supported(args))
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let to = args.return_type().clone();
        let inner = self.inner.create_groups_accumulator(self.inner_args(args)?)?;
        Ok(Box::new(Wrapped { inner, around: Rounded { to } }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// Averages with fewer digits than they are computed with.
#[derive(Debug)]
struct Rounded {
    to: DataType,
}

impl Around for Rounded {
    fn value(&self, value: ScalarValue) -> Result<ScalarValue> {
        value.cast_to(&self.to)
    }

    fn values(&self, values: ArrayRef) -> Result<ArrayRef> {
        cast(&values, &self.to)
    }
}
