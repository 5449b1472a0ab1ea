//! `array_agg`, whose memory is told in time that does not grow with it: DataFusion's adds all
//! values up again after each batch, which is quadratic in the size of a group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::array_agg::ArrayAgg as DataFusionArrayAgg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::around::{Around, Wrapped};

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ArrayAgg {
    /// DataFusion's, as the planner has set it up.
    inner: AggregateUDF,
}

impl Default for ArrayAgg {
    fn default() -> Self {
        Self { inner: AggregateUDF::new_from_impl(DataFusionArrayAgg::default()) }
    }
}

impl AggregateUDFImpl for ArrayAgg {
    fn name(&self) -> &str {
        self.inner.inner().name()
    }

    fn signature(&self) -> &Signature {
        self.inner.inner().signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.inner().state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.inner().order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.clone().with_beneficial_ordering(beneficial_ordering)?;
        Ok(inner.map(|inner| Arc::new(Self { inner }) as _))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(Self::default())))
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.inner().supports_null_handling_clause()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(weighed(self.inner.inner().accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.inner().groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(weighed(self.inner.inner().create_groups_accumulator(args)?)))
    }
}

/// Knows the size of what is inside without looking at all of it each time.
#[derive(Debug, Default)]
struct Weighed {
    /// The size when it was last asked for, and the bytes that came since.
    bytes: usize,
    /// Rows that came in all.
    rows: usize,
    /// The number of rows from which on the size is asked for again: a quarter more than before,
    /// so that all asking together is linear.
    again_at: usize,
}

impl Around for Weighed {
    fn came(&mut self, values: &[ArrayRef], held: impl Fn() -> usize) {
        self.rows += values.first().map_or(0, |values| values.len().max(1));
        let bytes = |values: &ArrayRef| values.to_data().get_slice_memory_size().unwrap_or(0);
        self.bytes += values.iter().map(bytes).sum::<usize>();
        if self.rows >= self.again_at {
            self.went(held);
        }
    }

    fn went(&mut self, held: impl Fn() -> usize) {
        self.bytes = held();
        self.again_at = self.rows + self.rows / 4 + 1;
    }

    fn size(&self, _: impl Fn() -> usize) -> usize {
        self.bytes
    }
}

fn weighed<A: ?Sized>(inner: Box<A>) -> Wrapped<A, Weighed> {
    Wrapped { inner, around: Weighed::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::Int64Array;
    use datafusion::common::ScalarValue;

    use super::*;

    #[test]
    fn a_size_is_near_what_is_held() {
        let inner = datafusion::functions_aggregate::array_agg::ArrayAggAccumulator::try_new(
            &DataType::Int64,
            false,
        )
        .unwrap();
        let inner: Box<dyn Accumulator> = Box::new(inner);
        let mut weighed = weighed(inner);
        for round in 0..100 {
            let batch: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
            weighed.update_batch(&[batch]).unwrap();
            let (told, held) = (weighed.size(), weighed.inner.size());
            assert!(told.abs_diff(held) < 1000 + held / 10, "{round}: {told} of {held}");
        }
        assert!(weighed.size() > 800_000);
    }

    /// Counts how often it is asked for its size.
    #[derive(Debug, Default)]
    struct Asked(std::sync::atomic::AtomicUsize);

    impl Accumulator for Asked {
        fn update_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
            Ok(())
        }

        fn evaluate(&mut self) -> Result<ScalarValue> {
            Ok(ScalarValue::from(self.0.load(std::sync::atomic::Ordering::Relaxed) as u64))
        }

        fn size(&self) -> usize {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        }

        fn state(&mut self) -> Result<Vec<ScalarValue>> {
            Ok(Vec::new())
        }

        fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_large_group_is_looked_over_few_times() {
        let inner: Box<dyn Accumulator> = Box::new(Asked::default());
        let mut weighed = weighed(inner);
        let batch: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        for _ in 0..10_000 {
            weighed.update_batch(&[Arc::clone(&batch)]).unwrap();
            let _ = weighed.size();
        }
        let asked = weighed.evaluate().unwrap();
        assert!(asked < ScalarValue::from(100_u64), "{asked}");
    }
}
