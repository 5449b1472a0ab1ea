//! Accumulators of DataFusion's with something around them.

use std::fmt::Debug;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// What is done around an accumulator. `held` asks the accumulator for its size, which may take
/// long.
pub(super) trait Around: Debug + Send + Sync + 'static {
    /// Rows, or states, came.
    fn came(&mut self, _values: &[ArrayRef], _held: impl Fn() -> usize) {}

    /// Rows went.
    fn went(&mut self, _held: impl Fn() -> usize) {}

    /// Bytes that the accumulator holds.
    fn size(&self, held: impl Fn() -> usize) -> usize {
        held()
    }

    /// The result of one group.
    fn value(&self, value: ScalarValue) -> Result<ScalarValue> {
        Ok(value)
    }

    /// The results of many.
    fn values(&self, values: ArrayRef) -> Result<ArrayRef> {
        Ok(values)
    }
}

/// An accumulator, and what is around it.
#[derive(Debug)]
pub(super) struct Wrapped<A: ?Sized, W> {
    pub(super) inner: Box<A>,
    pub(super) around: W,
}

impl<W: Around> Accumulator for Wrapped<dyn Accumulator, W> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)?;
        self.around.came(values, || self.inner.size());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.around.value(self.inner.evaluate()?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.around.size(|| self.inner.size())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)?;
        self.around.came(states, || self.inner.size());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)?;
        self.around.went(|| self.inner.size());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl<W: Around> GroupsAccumulator for Wrapped<dyn GroupsAccumulator, W> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, group_indices, opt_filter, total_num_groups)?;
        self.around.came(values, || self.inner.size());
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.inner.evaluate(emit_to)?;
        self.around.went(|| self.inner.size());
        self.around.values(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = self.inner.state(emit_to)?;
        self.around.went(|| self.inner.size());
        Ok(states)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)?;
        self.around.came(values, || self.inner.size());
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.around.size(|| self.inner.size())
    }
}
