//! `sum`: what does not fit the result's type is an error. DataFusion's own would wrap around.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, BooleanArray};
use arrow::compute::sum_checked;
use arrow::datatypes::{
    ArrowNativeTypeOp, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Field,
    FieldRef, Float32Type, Float64Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use waterbear_protocol::ErrorCode;

use super::collect::Def;
use super::collected::Collected;
use crate::nested::{cast, failure, unexpected};

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    signature: Signature,
}

impl Default for Sum {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

fn overflow(data_type: &DataType) -> DataFusionError {
    let message = match data_type {
        DataType::Decimal128(..) => "Decimal overflow",
        _ => "bigint addition overflow",
    };
    failure(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// Runs a generic function for the native type of a sum.
macro_rules! of_type {
    ($data_type:expr, $run:ident) => {
        match $data_type {
            DataType::Int64 => $run!(Int64Type),
            DataType::Decimal128(..) => $run!(Decimal128Type),
            DataType::Float32 => $run!(Float32Type),
            DataType::Float64 => $run!(Float64Type),
            other => Err(unexpected("sum", std::slice::from_ref(other))),
        }
    };
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Float32] => Ok(DataType::Float32),
            [DataType::Float64] => Ok(DataType::Float64),
            [DataType::Decimal128(_, scale)] => {
                Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
            }
            [integer] if integer.is_integer() || *integer == DataType::Null => Ok(DataType::Int64),
            _ => Err(unexpected("sum", arg_types)),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let sum = args.return_field.data_type().clone();
        let state = if args.is_distinct { DataType::new_list(sum, true) } else { sum };
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), state, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_field.data_type().clone();
        if args.is_distinct {
            let types = vec![result.clone()];
            return Ok(Box::new(Collected::new(&DISTINCT, types, 1, result, Vec::new(), true)));
        }
        macro_rules! plain {
            ($type:ty) => {
                Ok(Box::new(Plain::<$type> { sum: None, result: result.clone() }))
            };
        }
        of_type!(&result, plain)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let result = args.return_field.data_type().clone();
        macro_rules! grouped {
            ($type:ty) => {
                Ok(grouped::<$type>(result.clone()))
            };
        }
        of_type!(&result, grouped)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_field.data_type().clone();
        if args.is_distinct {
            let message = "sum(DISTINCT) over a window is not supported";
            return Err(failure(ErrorCode::NOT_SUPPORTED, message));
        }
        macro_rules! sliding {
            ($type:ty) => {
                Ok(Box::new(Sliding::<$type> { values: VecDeque::new(), result: result.clone() }))
            };
        }
        match &result {
            DataType::Int64 => Ok(Box::new(SlidingBigint::default())),
            result => of_type!(result, sliding),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// `sum(DISTINCT x)`, where the plan has not made a GROUP BY of it.
static DISTINCT: Def = Def {
    name: "sum",
    resolve: |_| None,
    counts: Some(0),
    compact: None,
    finish: |columns, result| {
        macro_rules! all {
            ($type:ty) => {
                Plain::<$type> { sum: None, result: result.clone() }.of(columns)
            };
        }
        of_type!(result, all)
    },
};

/// Adds, unless the sum has more digits than its type.
fn add<T: ArrowNumericType>(
    left: T::Native,
    right: T::Native,
    result: &DataType,
) -> Result<T::Native> {
    left.add_checked(right).map_err(|_| overflow(result))
}

fn check_digits(sum: &ScalarValue) -> Result<()> {
    match sum {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Decimal128Type::validate_decimal_precision(*value, *precision, *scale)
                .map_err(|_| overflow(&DataType::Decimal128(*precision, *scale)))
        }
        _ => Ok(()),
    }
}

/// The sum of all rows.
struct Plain<T: ArrowNumericType> {
    sum: Option<T::Native>,
    result: DataType,
}

impl<T: ArrowNumericType> std::fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sum({})", self.result)
    }
}

impl<T: ArrowNumericType> Plain<T> {
    fn of(mut self, columns: &[ArrayRef]) -> Result<ScalarValue> {
        self.update_batch(columns)?;
        self.evaluate()
    }
}

impl<T: ArrowNumericType> Accumulator for Plain<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = cast(&values[0], &self.result)?;
        let batch = sum_checked(values.as_primitive::<T>()).map_err(|_| overflow(&self.result))?;
        if let Some(batch) = batch {
            self.sum = Some(match self.sum {
                None => batch,
                Some(sum) => add::<T>(sum, batch, &self.result)?,
            });
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = ScalarValue::new_primitive::<T>(self.sum, &self.result)?;
        check_digits(&sum)?;
        Ok(sum)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The sum of integers over a frame that moves.
#[derive(Debug, Default)]
struct SlidingBigint {
    /// Wide enough for what a frame can hold for a moment.
    sum: i128,
    count: usize,
}

impl SlidingBigint {
    fn batch(values: &[ArrayRef]) -> Result<(i128, usize)> {
        let values = cast(&values[0], &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let sum = values.iter().flatten().map(i128::from).sum();
        Ok((sum, values.len() - values.null_count()))
    }
}

impl Accumulator for SlidingBigint {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = Self::batch(values)?;
        self.sum += sum;
        self.count += count;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, count) = Self::batch(values)?;
        self.sum -= sum;
        self.count = self.count.saturating_sub(count);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::Int64(None));
        }
        let sum = i64::try_from(self.sum).map_err(|_| overflow(&DataType::Int64))?;
        Ok(ScalarValue::Int64(Some(sum)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The sum over a frame that moves, added anew for each frame: taking an infinity away from a
/// floating point sum would leave NaN, and a small number beside a large one nothing.
struct Sliding<T: ArrowNumericType> {
    values: VecDeque<T::Native>,
    result: DataType,
}

impl<T: ArrowNumericType> std::fmt::Debug for Sliding<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlidingSum({})", self.result)
    }
}

impl<T: ArrowNumericType> Accumulator for Sliding<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = cast(&values[0], &self.result)?;
        self.values.extend(values.as_primitive::<T>().iter().flatten());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = values[0].len() - values[0].null_count();
        self.values.drain(..gone.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = None;
        for value in &self.values {
            sum = Some(match sum {
                None => *value,
                Some(sum) => add::<T>(sum, *value, &self.result)?,
            });
        }
        let sum = ScalarValue::new_primitive::<T>(sum, &self.result)?;
        check_digits(&sum)?;
        Ok(sum)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<T::Native>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The sums of many groups. The function that adds cannot fail, so it notes that it would have.
struct Grouped<A> {
    inner: A,
    overflowed: Arc<AtomicBool>,
    result: DataType,
}

fn grouped<T: ArrowNumericType + Send>(result: DataType) -> Box<dyn GroupsAccumulator>
where
    T::Native: ArrowNativeTypeOp,
{
    let overflowed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&overflowed);
    let add = move |sum: &mut T::Native, value: T::Native| match sum.add_checked(value) {
        Ok(total) => *sum = total,
        Err(_) => noted.store(true, Ordering::Relaxed),
    };
    let inner = PrimitiveGroupsAccumulator::<T, _>::new(&result, add);
    Box::new(Grouped { inner, overflowed, result })
}

impl<A: GroupsAccumulator> Grouped<A> {
    fn values(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        // Decimals of fewer digits are the same numbers.
        let same = match (values[0].data_type(), &self.result) {
            (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => from == to,
            (from, to) => from == to,
        };
        let values = if same { Arc::clone(&values[0]) } else { cast(&values[0], &self.result)? };
        Ok(vec![values])
    }

    fn check(&self) -> Result<()> {
        match self.overflowed.load(Ordering::Relaxed) {
            true => Err(overflow(&self.result)),
            false => Ok(()),
        }
    }
}

impl<A: GroupsAccumulator> GroupsAccumulator for Grouped<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = self.values(values)?;
        self.inner.update_batch(&values, group_indices, opt_filter, total_num_groups)?;
        self.check()
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit_to)?;
        if let DataType::Decimal128(precision, _) = &self.result {
            let sums = sums.as_primitive::<Decimal128Type>();
            sums.validate_decimal_precision(*precision).map_err(|_| overflow(&self.result))?;
        }
        Ok(sums)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)?;
        self.check()
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.values(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
