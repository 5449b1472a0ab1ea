//! The values of `sequence` from one date or timestamp to another.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use waterbear_protocol::Failure;

use super::arithmetic::{add_months, months_between};
use super::udf::bad_argument;
use super::value::{Column, DAY_MILLIS, Kind, out_of_range, rescaled};

/// The types that the arguments of a `sequence` in time are cast to, and that of its items; `None`
/// if Trino has no such function.
pub(crate) fn sequence_types(types: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    let kinds: Vec<Option<Kind>> = types.iter().map(Kind::of).collect();
    let ends = kinds.get(..2)?;
    let mut precision = ends.iter().flatten().map(Kind::precision).max()?;
    if !matches!(kinds.get(2), None | Some(Some(Kind::YearMonth))) {
        // As a timestamp plus such an interval: it has milliseconds.
        precision = precision.max(3);
    }
    let timestamps = ends.iter().flatten().any(|kind| matches!(kind, Kind::Timestamp(_)));
    let known = |(kind, data_type): (&Option<Kind>, &DataType)| match kind {
        None => data_type.is_null(),
        Some(Kind::Date | Kind::Timestamp(_)) => true,
        Some(_) => false,
    };
    if !ends.iter().zip(types).all(known) {
        return None;
    }
    let item = if timestamps { Kind::Timestamp(precision) } else { Kind::Date }.data_type();
    let mut arguments = vec![item.clone(); 2];
    match (types.get(2), kinds.get(2)) {
        (None, _) if !timestamps => {}
        (Some(data_type), Some(kind)) if kinds.len() == 3 => match kind {
            Some(step) if step.is_interval() => arguments.push(step.data_type()),
            None if data_type.is_null() => arguments.push(Kind::DaySecond.data_type()),
            _ => return None,
        },
        _ => return None,
    }
    Some((arguments, item))
}

/// The arguments of a `sequence` in time, of the types that [`sequence_types`] gives.
pub(crate) struct Steps {
    from: Column,
    to: Column,
    step: Option<Column>,
}

impl Steps {
    /// # Errors
    /// GENERIC_INTERNAL_ERROR for arguments of other types.
    pub(crate) fn new(arguments: &[ArrayRef]) -> Result<Self, Failure> {
        let [from, to, step @ ..] = arguments else {
            return Err(bad_argument("sequence has two arguments or three"));
        };
        let step = step.first().map(Column::new).transpose()?;
        Ok(Self { from: Column::new(from)?, to: Column::new(to)?, step })
    }

    /// The type of the values.
    pub(crate) fn kind(&self) -> &Kind {
        &self.from.kind
    }

    /// Adds a row's values, in ticks of their type; false when an argument is NULL.
    ///
    /// # Errors
    /// INVALID_FUNCTION_ARGUMENT for a step of zero, in the wrong direction, or of hours between
    /// dates, and for more than `most` values.
    pub(crate) fn push(
        &self,
        row: usize,
        most: i64,
        values: &mut Vec<i64>,
    ) -> Result<bool, Failure> {
        let (Some(from), Some(to)) = (self.from.get(row), self.to.get(row)) else {
            return Ok(false);
        };
        let kind = self.kind();
        let (step, months) = match &self.step {
            None => (if from <= to { 1 } else { -1 }, false),
            Some(steps) => match (steps.get(row), &steps.kind) {
                (None, _) => return Ok(false),
                (Some(step), Kind::YearMonth) => (step, true),
                (Some(step), _) if *kind == Kind::Date => {
                    if step % DAY_MILLIS != 0 {
                        return Err(bad_argument(
                            "sequence step must be a day interval if start and end values are dates",
                        ));
                    }
                    (step / DAY_MILLIS, false)
                }
                (Some(step), _) => {
                    let step = rescaled(step, 3, kind.precision());
                    (step.ok_or_else(|| out_of_range(kind))?, false)
                }
            },
        };
        let between = if months {
            i128::from(months_between(&kind.local(from)?, &kind.local(to)?))
        } else {
            i128::from(to) - i128::from(from)
        };
        let count = count(step, (from <= to, from == to), between, most)?;
        values.reserve(usize::try_from(count).unwrap_or(0));
        for at in 0..count {
            values.push(if months {
                let value = add_months(&kind.local(from)?, at * step);
                kind.ticks(&value.ok_or_else(|| out_of_range(kind))?)?
            } else {
                from + at * step
            });
        }
        Ok(true)
    }
}

/// How many values there are from one end to another: `between` is their distance in the unit of
/// the step, `(ascends, equal)` how the ends stand to each other.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT for a step of zero or in the wrong direction, and for more than `most`.
pub(crate) fn count(
    step: i64,
    (ascends, equal): (bool, bool),
    between: i128,
    most: i64,
) -> Result<i64, Failure> {
    if step == 0 {
        return Err(bad_argument("step must not be zero"));
    }
    if (step > 0) != ascends && !equal {
        return Err(bad_argument(
            "sequence stop value should be greater than or equal to start value if step is \
             greater than zero otherwise stop should be less than or equal to start",
        ));
    }
    match i64::try_from(between / i128::from(step) + 1) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(bad_argument(format!(
            "result of sequence function must not have more than {most} entries"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn items_have_the_digits_of_their_step() {
        let timestamp = |precision| Kind::Timestamp(precision).data_type();
        let item = |precision, step: Kind| {
            let types = [timestamp(precision), timestamp(precision), step.data_type()];
            sequence_types(&types).unwrap().1
        };
        assert_eq!(item(0, Kind::DaySecond), timestamp(3));
        assert_eq!(item(6, Kind::DaySecond), timestamp(6));
        assert_eq!(item(0, Kind::YearMonth), timestamp(0));
        let days = [Kind::Date.data_type(), Kind::Date.data_type(), Kind::DaySecond.data_type()];
        assert_eq!(sequence_types(&days).unwrap().1, DataType::Date32);
    }
}
