//! Values in time: what a column of Arrow means, and its values on the calendar.

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use waterbear_protocol::{ErrorCode, Failure};

use super::zone::Zone;

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;
/// Milliseconds of a day.
pub(super) const DAY_MILLIS: i64 = 86_400_000;

/// A type of values in time. Precisions are 0, 3, 6 or 9: Arrow has no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `date`: days.
    Date,
    /// `time(precision)`: ticks since midnight.
    Time(u8),
    /// `timestamp(precision)`: ticks since 1970 on no particular clock.
    Timestamp(u8),
    /// `timestamp(precision) with time zone`: ticks since 1970 in UTC.
    Zoned(u8, Zone),
    /// `interval day to second`: milliseconds.
    DaySecond,
    /// `interval year to month`: months.
    YearMonth,
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn unit(digits: u8) -> TimeUnit {
    match digits {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// Ticks of a second.
pub(super) fn per_second(precision: u8) -> i64 {
    10i64.pow(u32::from(precision))
}

/// The failure of a value that the type cannot hold.
pub(super) fn out_of_range(kind: &Kind) -> Failure {
    let name = super::udf::listing(&kind.data_type());
    Failure::new(ErrorCode::NUMERIC_VALUE_OUT_OF_RANGE, format!("Value out of range for {name}"))
}

impl Kind {
    /// The kind of an Arrow type; `None` for what is not in time.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Date32 => Self::Date,
            DataType::Time32(unit @ (TimeUnit::Second | TimeUnit::Millisecond))
            | DataType::Time64(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond)) => {
                Self::Time(digits(*unit))
            }
            DataType::Timestamp(unit, None) => Self::Timestamp(digits(*unit)),
            DataType::Timestamp(unit, Some(name)) => Self::Zoned(digits(*unit), Zone::named(name)?),
            DataType::Duration(TimeUnit::Millisecond) => Self::DaySecond,
            DataType::Interval(IntervalUnit::YearMonth) => Self::YearMonth,
            _ => return None,
        })
    }

    /// The type as an argument of functions: `timestamp 3 Europe/Brussels`.
    pub fn name(&self) -> String {
        match self {
            Self::Date => "date".to_owned(),
            Self::Time(precision) => format!("time {precision}"),
            Self::Timestamp(precision) => format!("timestamp {precision}"),
            Self::Zoned(precision, zone) => format!("timestamp {precision} {}", zone.name()),
            Self::DaySecond => "day".to_owned(),
            Self::YearMonth => "year".to_owned(),
        }
    }

    /// The type that [`Kind::name`] names so.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut words = name.split(' ');
        let base = words.next()?;
        let precision: Option<u8> = words.next().and_then(|digits| digits.parse().ok());
        Some(match base {
            "date" => Self::Date,
            "day" => Self::DaySecond,
            "year" => Self::YearMonth,
            "time" => Self::Time(precision?),
            "timestamp" => match words.next() {
                None => Self::Timestamp(precision?),
                Some(zone) => Self::Zoned(precision?, Zone::named(zone)?),
            },
            _ => return None,
        })
    }

    /// The Arrow type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Date => DataType::Date32,
            Self::Time(precision @ 0..=3) => DataType::Time32(unit(*precision)),
            Self::Time(precision) => DataType::Time64(unit(*precision)),
            Self::Timestamp(precision) => DataType::Timestamp(unit(*precision), None),
            Self::Zoned(precision, zone) => {
                DataType::Timestamp(unit(*precision), Some(zone.name().clone()))
            }
            Self::DaySecond => DataType::Duration(TimeUnit::Millisecond),
            Self::YearMonth => DataType::Interval(IntervalUnit::YearMonth),
        }
    }

    /// Digits of a fraction of a second.
    pub fn precision(&self) -> u8 {
        match self {
            Self::Time(precision) | Self::Timestamp(precision) | Self::Zoned(precision, _) => {
                *precision
            }
            Self::DaySecond => 3,
            Self::Date | Self::YearMonth => 0,
        }
    }

    /// The same kind with other digits.
    pub fn with_precision(&self, precision: u8) -> Self {
        match self {
            Self::Time(_) => Self::Time(precision),
            Self::Timestamp(_) => Self::Timestamp(precision),
            Self::Zoned(_, zone) => Self::Zoned(precision, zone.clone()),
            other => other.clone(),
        }
    }

    /// Values have a date.
    pub fn has_date(&self) -> bool {
        matches!(self, Self::Date | Self::Timestamp(_) | Self::Zoned(..))
    }

    /// Values have a time of day.
    pub fn has_time(&self) -> bool {
        matches!(self, Self::Time(_) | Self::Timestamp(_) | Self::Zoned(..))
    }

    /// Either interval.
    pub fn is_interval(&self) -> bool {
        matches!(self, Self::DaySecond | Self::YearMonth)
    }

    /// An array of this type of ticks.
    ///
    /// # Errors
    /// NUMERIC_VALUE_OUT_OF_RANGE for ticks that do not fit.
    pub fn array(&self, ticks: &Int64Array) -> Result<ArrayRef, Failure> {
        let wanted = self.data_type();
        let data = match wanted {
            DataType::Date32 | DataType::Time32(_) | DataType::Interval(_) => {
                let small = |value: Option<i64>| match value.map(i32::try_from) {
                    None => Ok(None),
                    Some(Ok(value)) => Ok(Some(value)),
                    Some(Err(_)) => Err(out_of_range(self)),
                };
                ticks.iter().map(small).collect::<Result<Int32Array, _>>()?.into_data()
            }
            _ => ticks.to_data(),
        };
        let data =
            data.into_builder().data_type(wanted).build().map_err(|error| {
                Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, error.to_string())
            })?;
        Ok(make_array(data))
    }

    /// The instant or clock time of ticks, before any zone.
    fn plain(&self, ticks: i64) -> Option<NaiveDateTime> {
        let (seconds, nanos) = match self {
            Self::Date => (ticks.checked_mul(DAY)?, 0),
            _ => {
                let second = per_second(self.precision());
                (ticks.div_euclid(second), ticks.rem_euclid(second) * (1_000_000_000 / second))
            }
        };
        Some(DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?.naive_utc())
    }

    /// What a clock in the value's zone shows.
    ///
    /// # Errors
    /// NUMERIC_VALUE_OUT_OF_RANGE out of the calendar's range.
    pub fn local(&self, ticks: i64) -> Result<NaiveDateTime, Failure> {
        let plain = self.plain(ticks);
        let local = match self {
            Self::Zoned(_, zone) => plain.and_then(|utc| zone.local(&utc)),
            _ => plain,
        };
        local.ok_or_else(|| out_of_range(self))
    }

    /// The instant of a value with a zone; the value itself for all others.
    ///
    /// # Errors
    /// NUMERIC_VALUE_OUT_OF_RANGE out of the calendar's range.
    pub fn instant(&self, ticks: i64) -> Result<NaiveDateTime, Failure> {
        self.plain(ticks).ok_or_else(|| out_of_range(self))
    }

    /// The ticks of what a clock in the value's zone shows; digits too many are cut off.
    ///
    /// # Errors
    /// NUMERIC_VALUE_OUT_OF_RANGE for what the type cannot hold.
    pub fn ticks(&self, local: &NaiveDateTime) -> Result<i64, Failure> {
        let failure = || out_of_range(self);
        match self {
            Self::Date => Ok(days(local.date())),
            Self::Time(precision) => {
                let seconds = i64::from(local.num_seconds_from_midnight());
                Ok(seconds * per_second(*precision) + fraction(local, *precision))
            }
            Self::Zoned(_, zone) => {
                let utc = zone.instant(local).ok_or_else(failure)?;
                self.ticks_of_instant(&utc)
            }
            _ => self.ticks_of_instant(local),
        }
    }

    /// The ticks of an instant in UTC.
    ///
    /// # Errors
    /// NUMERIC_VALUE_OUT_OF_RANGE for what the type cannot hold.
    pub fn ticks_of_instant(&self, utc: &NaiveDateTime) -> Result<i64, Failure> {
        let precision = self.precision();
        let whole = i128::from(utc.and_utc().timestamp()) * i128::from(per_second(precision));
        let ticks = whole + i128::from(fraction(utc, precision));
        i64::try_from(ticks).map_err(|_| out_of_range(self))
    }
}

/// Days since 1970-01-01.
pub(super) fn days(date: NaiveDate) -> i64 {
    const EPOCH: i64 = 719_163;
    i64::from(date.num_days_from_ce()) - EPOCH
}

/// The fraction of the second in ticks.
fn fraction(time: &NaiveDateTime, precision: u8) -> i64 {
    i64::from(time.nanosecond()) / (1_000_000_000 / per_second(precision))
}

/// A column of values in time.
#[derive(Debug)]
pub(super) struct Column {
    /// Their type.
    pub kind: Kind,
    ticks: Int64Array,
}

impl Column {
    /// The values of an array.
    ///
    /// # Errors
    /// GENERIC_INTERNAL_ERROR if they are not in time.
    pub fn new(array: &ArrayRef) -> Result<Self, Failure> {
        let failure = |text: String| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text);
        let kind = Kind::of(array.data_type())
            .ok_or_else(|| failure(format!("{} is not in time", array.data_type())))?;
        let small = matches!(kind.data_type(), DataType::Interval(_));
        let ticks = if small {
            let data = array.to_data().into_builder().data_type(DataType::Int32).build();
            cast(&make_array(data.map_err(|error| failure(error.to_string()))?), &DataType::Int64)
        } else if matches!(array.data_type(), DataType::Date32 | DataType::Time32(_)) {
            cast(array, &DataType::Int32).and_then(|days| cast(&days, &DataType::Int64))
        } else {
            cast(array, &DataType::Int64)
        };
        let ticks = ticks.map_err(|error| failure(error.to_string()))?;
        Ok(Self { kind, ticks: Int64Array::from(ticks.to_data()) })
    }

    /// The ticks of a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<i64> {
        (!self.ticks.is_null(row)).then(|| self.ticks.value(row))
    }
}

/// Ticks of one precision in another, rounded half up; `None` out of range.
pub(super) fn rescaled(ticks: i64, from: u8, to: u8) -> Option<i64> {
    i64::try_from(super::text::rescale(i128::from(ticks), from, to)).ok()
}
