//! Time zones by Trino's names.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use waterbear_protocol::Failure;

use super::udf::unsupported;

/// A time zone: an IANA id or an offset.
#[derive(Debug, Clone)]
pub struct Zone {
    name: Arc<str>,
    tz: Tz,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Zone {}

/// Names that all mean UTC.
const UTC_NAMES: &[&str] =
    &["utc", "z", "ut", "uct", "gmt", "gmt0", "greenwich", "universal", "zulu"];

impl Zone {
    /// The zone of a name in any case, or of an offset (`+02:00`, `-8:00`, `UTC+02:00`).
    ///
    /// # Errors
    /// NOT_SUPPORTED for names that nobody knows and offsets beyond 14 hours.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let unknown = || unsupported(format!("Time zone not supported: {text}"));
        let lower = text.to_ascii_lowercase();
        let base = lower.strip_prefix("etc/").unwrap_or(&lower);
        if UTC_NAMES.contains(&base) {
            return Self::named("UTC").ok_or_else(unknown);
        }
        let signed = ["utc", "gmt", "ut"].iter().find_map(|name| lower.strip_prefix(name));
        if let Some(offset) = signed.unwrap_or(&lower).strip_prefix(['+', '-']) {
            let negative = signed.unwrap_or(&lower).starts_with('-');
            let minutes = offset_minutes(offset).ok_or_else(unknown)?;
            return Self::of_minutes(if negative { -minutes } else { minutes });
        }
        let known = chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
        known
            .filter(|name| name.eq_ignore_ascii_case(text))
            .find_map(Self::named)
            .ok_or_else(unknown)
    }

    /// The zone with an offset from UTC.
    ///
    /// # Errors
    /// NOT_SUPPORTED beyond 14 hours.
    pub fn of_minutes(minutes: i64) -> Result<Self, Failure> {
        if minutes == 0 {
            return Self::parse("UTC");
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        let name = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        let zone = if minutes.abs() <= 14 * 60 { Self::named(&name) } else { None };
        zone.ok_or_else(|| unsupported(format!("Time zone not supported: {name}")))
    }

    /// The zone of a name that is written as it is kept: the zone of a column.
    pub(super) fn named(name: &str) -> Option<Self> {
        // Other engines' files call it so.
        let name =
            if ["+00:00", "-00:00", "+00", "Z", "Etc/UTC"].contains(&name) { "UTC" } else { name };
        Tz::from_str(name).ok().map(|tz| Self { name: Arc::from(name), tz })
    }

    /// The name, as Trino shows it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The offset at an instant, in seconds.
    pub fn offset_at(&self, utc: &NaiveDateTime) -> i32 {
        self.tz.offset_from_utc_datetime(utc).fix().local_minus_utc()
    }

    /// The local time at an instant; `None` out of range.
    pub fn local(&self, utc: &NaiveDateTime) -> Option<NaiveDateTime> {
        utc.checked_add_offset(self.tz.offset_from_utc_datetime(utc).fix())
    }

    /// The instant of a local time: of two the earlier one; in a gap, as far behind it as the time
    /// is behind the gap's begin. `None` out of range.
    pub fn instant(&self, local: &NaiveDateTime) -> Option<NaiveDateTime> {
        let offset: FixedOffset = match self.tz.offset_from_local_datetime(local) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix(),
            LocalResult::None => (1..=26).find_map(|hours| {
                let before = local.checked_sub_signed(TimeDelta::hours(hours))?;
                match self.tz.offset_from_local_datetime(&before) {
                    LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => {
                        Some(offset.fix())
                    }
                    LocalResult::None => None,
                }
            })?,
        };
        local.checked_sub_offset(offset)
    }

    /// The offset at an instant as `+02:00`.
    pub fn offset_text(&self, utc: &NaiveDateTime) -> String {
        let minutes = self.offset_at(utc) / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }

    /// The short name that is used at an instant: `CET`, `UTC`, `+02:00`.
    pub fn abbreviation(&self, utc: &NaiveDateTime) -> String {
        let at: DateTime<Utc> = utc.and_utc();
        match self.name.parse::<chrono_tz::Tz>() {
            Ok(tz) => at.with_timezone(&tz).format("%Z").to_string(),
            Err(_) => self.name.to_string(),
        }
    }
}

/// Minutes of `2`, `02`, `2:00`, `02:00`, `0200`.
fn offset_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = match text.split_once(':') {
        Some(parts) => parts,
        None if text.len() == 4 => text.split_at_checked(2)?,
        None => (text, "00"),
    };
    let digits = |text: &str, most: usize| {
        let valid = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if valid { text.parse::<i64>().ok() } else { None }
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (minutes < 60 && hours <= 14).then_some(hours * 60 + minutes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn zones_have_one_name_each() {
        for (text, name) in [
            ("utc", "UTC"),
            ("Z", "UTC"),
            ("GMT", "UTC"),
            ("Etc/UTC", "UTC"),
            ("+00:00", "UTC"),
            ("europe/brussels", "Europe/Brussels"),
            ("America/Los_Angeles", "America/Los_Angeles"),
            ("+2", "+02:00"),
            ("UTC-08:30", "-08:30"),
            ("+0530", "+05:30"),
        ] {
            assert_eq!(&**Zone::parse(text).unwrap().name(), name, "{text}");
        }
        for text in ["Mars/Phobos", "+15:00", "+02:61", "+", "", "+1:2:3"] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn local_times_in_gaps_and_overlaps_have_one_instant() {
        let zone = Zone::parse("Europe/Brussels").unwrap();
        let at = |month, day, hour| {
            NaiveDate::from_ymd_opt(2020, month, day).unwrap().and_hms_opt(hour, 30, 0).unwrap()
        };
        for (local, instant) in [
            (at(3, 29, 1), at(3, 29, 0)),
            (at(3, 29, 2), at(3, 29, 1)),
            (at(3, 29, 3), at(3, 29, 1)),
            (at(10, 25, 2), at(10, 25, 0)),
            (at(10, 25, 3), at(10, 25, 2)),
        ] {
            assert_eq!(zone.instant(&local), Some(instant), "{local}");
        }
    }
}
