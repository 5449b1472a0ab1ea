//! Sizes (`4GB`) and durations (`1.5m`) as Trino writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why a text is not a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number with a unit.
    #[error("is not a number with a unit, such as {0}")]
    NotANumber(&'static str),
    /// The unit does not exist; case matters.
    #[error("has no known unit: use one of {0}")]
    UnknownUnit(&'static str),
    /// More than can be counted.
    #[error("is too large")]
    TooLarge,
}

const SIZES: [(&str, f64); 6] = [
    ("B", 1.0),
    ("kB", 1024.0),
    ("MB", 1_048_576.0),
    ("GB", 1_073_741_824.0),
    ("TB", 1_099_511_627_776.0),
    ("PB", 1_125_899_906_842_624.0),
];

const TIMES: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
];

/// The number and the factor of its unit.
fn split(
    text: &str,
    units: &[(&str, f64)],
    names: &'static str,
    example: &'static str,
) -> Result<(f64, f64), UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let plain = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let number: f64 = match number.parse() {
        Ok(number) if plain => number,
        _ => return Err(UnitError::NotANumber(example)),
    };
    let known = units.iter().find(|(name, _)| *name == unit);
    known.map(|(_, factor)| (number, *factor)).ok_or(UnitError::UnknownUnit(names))
}

/// Reads a duration: `10s`, `1.5m`, `100ms`, `2d`; units ns, us, ms, s, m, h, d.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, factor) = split(text, &TIMES, "ns, us, ms, s, m, h, d", "10s")?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| UnitError::TooLarge)
}

/// A number of bytes; parses `64MB` (units B, kB, MB, GB, TB, PB, each 1024 of the one before).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataSize(u64);

impl DataSize {
    /// That many bytes.
    pub const fn of_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for DataSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, factor) = split(text, &SIZES, "B, kB, MB, GB, TB, PB", "64MB")?;
        let bytes = number * factor;
        // Java counts sizes in a signed 64-bit integer.
        if bytes >= i64::MAX as f64 {
            return Err(UnitError::TooLarge);
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for DataSize {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "kB", "MB", "GB", "TB", "PB"];
        let steps = (self.0.trailing_zeros() / 10).min(5) as usize;
        let steps = if self.0 == 0 { 0 } else { steps };
        write!(f, "{}{}", self.0 >> (10 * steps), units[steps])
    }
}

/// A share of the machine's memory: bytes, or percent (`30%`, where Trino means its heap).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemorySize {
    /// So many bytes.
    Bytes(DataSize),
    /// Percent of all memory, above 0, to 100.
    Percent(f64),
}

impl MemorySize {
    /// The bytes of it, where the machine has `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        match self {
            MemorySize::Bytes(size) => size.bytes(),
            MemorySize::Percent(percent) => (total as f64 * percent / 100.0) as u64,
        }
    }
}

impl FromStr for MemorySize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            return text.parse().map(MemorySize::Bytes);
        };
        let (number, _) = split(percent, &[("", 1.0)], "%", "64MB or 30%")?;
        if number > 100.0 {
            return Err(UnitError::TooLarge);
        }
        Ok(MemorySize::Percent(number))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_trino_reads_them() {
        for (text, bytes) in [
            ("0B", 0),
            ("64MB", 64 << 20),
            ("4GB", 4 << 30),
            ("1.5kB", 1536),
            (" 2 TB ", 2 << 40),
            ("3PB", 3 << 50),
        ] {
            assert_eq!(text.parse(), Ok(DataSize::of_bytes(bytes)), "{text}");
        }
        assert_eq!("4GB".parse::<DataSize>().unwrap().to_string(), "4GB");
        assert_eq!(DataSize::of_bytes(1536).to_string(), "1536B");
        assert_eq!(DataSize::of_bytes(0).to_string(), "0B");
    }

    #[test]
    fn durations_are_read_as_trino_reads_them() {
        for (text, nanos) in [
            ("10s", 10_000_000_000),
            ("1.5m", 90_000_000_000),
            ("100ms", 100_000_000),
            ("2d", 172_800_000_000_000),
            ("7us", 7_000),
            ("9ns", 9),
            ("1h", 3_600_000_000_000_u64),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_with_a_known_unit_is_refused() {
        let unit = |text: &str| text.parse::<DataSize>().unwrap_err();
        assert_eq!(unit("4gb"), UnitError::UnknownUnit("B, kB, MB, GB, TB, PB"));
        assert_eq!(unit("10"), UnitError::UnknownUnit("B, kB, MB, GB, TB, PB"));
        assert_eq!(unit("9999999PB"), UnitError::TooLarge);
        for text in ["", "GB", "-1GB", "1..2GB", ".5GB", "1.GB", "1e3GB", "NaN", "infinity"] {
            assert!(text.parse::<DataSize>().is_err(), "{text}");
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("10S").is_err());
        assert_eq!(parse_duration("99999999999999999999d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn memory_is_bytes_or_percent() {
        assert_eq!("1GB".parse::<MemorySize>().unwrap().of(1), 1 << 30);
        assert_eq!("30%".parse::<MemorySize>().unwrap().of(1000), 300);
        assert!("101%".parse::<MemorySize>().is_err());
        assert!("x%".parse::<MemorySize>().is_err());
    }
}
