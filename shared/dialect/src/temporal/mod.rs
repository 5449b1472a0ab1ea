//! Dates, times and intervals: `SessionTime` turns what the text says of them into calls of
//! `waterbear_functions::datetime`, with the session's zone and the query's start written into
//! them; `operators` does the same for operators, when the types are known.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Interval, IntervalFields, NamedWindowExpr, ObjectName,
    ObjectNamePart, Select, Spanned, TimezoneInfo, TypedString, UnaryOperator, Value,
    ValueWithSpan, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};
use waterbear_functions::datetime::{self, IntervalField, Kind, Zone};
use waterbear_protocol::{ErrorCode, Failure};

use super::check::unsupported;
use super::lexer::{failure_at, place};
use super::mark::as_varchar;
use crate::ClientContext;

mod operators;
#[cfg(test)]
mod tests;

pub(super) use operators::{TemporalOperators, TrinoTime};

/// The zone of a session: its property's, its client's, else UTC.
///
/// # Errors
/// NOT_SUPPORTED for a zone that nobody knows.
pub(super) fn session_zone(context: &ClientContext) -> Result<Zone, Failure> {
    let property = context.session_properties.get("time_zone_id");
    Zone::parse(property.or(context.time_zone.as_ref()).map_or("UTC", String::as_str))
}

/// The name of a session's zone.
///
/// # Errors
/// NOT_SUPPORTED for a zone that nobody knows.
pub fn session_zone_name(context: &ClientContext) -> Result<String, Failure> {
    session_zone(context).map(|zone| zone.name().to_string())
}

/// What a session decides of time.
#[derive(Debug)]
pub(super) struct SessionTime {
    zone: Zone,
    /// What `current_timestamp` is, everywhere in a query.
    start: DateTime<Utc>,
    /// Intervals that bound windows: the planner wants them as they are.
    bounds: HashSet<Location>,
}

impl SessionTime {
    /// The session's zone, and the query's start.
    ///
    /// # Errors
    /// NOT_SUPPORTED for a zone that nobody knows.
    pub fn new(context: &ClientContext) -> Result<Self, Failure> {
        let start = context.start.unwrap_or_else(Utc::now);
        Ok(Self { zone: session_zone(context)?, start, bounds: HashSet::new() })
    }

    /// The name of the session's zone.
    fn zone(&self) -> &str {
        self.zone.name()
    }

    /// Notes the bounds of named windows.
    pub fn select(&mut self, select: &Select) -> Result<(), Failure> {
        select.named_window.iter().try_for_each(|window| match &window.1 {
            NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            NamedWindowExpr::NamedWindow(_) => Ok(()),
        })
    }

    /// Turns an expression about time into what the planner knows.
    ///
    /// # Errors
    /// INVALID_LITERAL, NOT_SUPPORTED and others with their places.
    pub fn expression(&mut self, expr: &mut Expr) -> Result<(), Failure> {
        let rewritten = match expr {
            Expr::TypedString(typed) => self.typed_string(typed)?,
            Expr::Interval(interval) => self.interval(interval, 1)?,
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Interval(interval) => self.interval(interval, -1)?,
                _ => None,
            },
            Expr::Cast { kind, expr, data_type, format: None, .. } => {
                let at = place(expr.span().start);
                let to = self
                    .cast_type(data_type)
                    .map_err(|text| failure_at(at, ErrorCode::NOT_SUPPORTED, text))?;
                let function = match kind {
                    CastKind::Cast => datetime::CAST,
                    CastKind::TryCast => datetime::TRY_CAST,
                    _ => return Ok(()),
                };
                to.map(|to| call(function, vec![(**expr).clone(), string(to.name())]))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let zone = match time_zone.as_ref() {
                    Expr::Interval(interval) => offset(interval)?,
                    other => other.clone(),
                };
                Some(call("at_timezone", vec![(**timestamp).clone(), zone, string(self.zone())]))
            }
            Expr::Extract { field, expr, .. } => {
                let name = extracted(&field.to_string()).ok_or_else(|| {
                    let message = format!("Invalid EXTRACT field: {field}");
                    failure_at(place(expr.span().start), ErrorCode::SYNTAX_ERROR, message)
                })?;
                Some(call(name, vec![(**expr).clone()]))
            }
            Expr::Function(function) => {
                if let Some(WindowType::WindowSpec(spec)) = &function.over {
                    self.window(spec)?;
                }
                self.function(function)?
            }
            _ => None,
        };
        if let Some(rewritten) = rewritten {
            *expr = rewritten;
        }
        Ok(())
    }

    fn window(&mut self, spec: &WindowSpec) -> Result<(), Failure> {
        let Some(WindowFrame { start_bound, end_bound, .. }) = &spec.window_frame else {
            return Ok(());
        };
        for bound in [Some(start_bound), end_bound.as_ref()].into_iter().flatten() {
            let (WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr))) =
                bound
            else {
                continue;
            };
            if let Expr::Interval(interval) = expr.as_ref() {
                if interval.last_field.is_some() {
                    return Err(unsupported(expr.as_ref(), "This form of INTERVAL in a window"));
                }
                read_interval(interval)?;
                self.bounds.insert(interval.value.span().start);
            }
        }
        Ok(())
    }

    fn typed_string(&self, typed: &TypedString) -> Result<Option<Expr>, Failure> {
        let Some(text) = typed.value.value.clone().into_string() else { return Ok(None) };
        let at = place(typed.value.span.start);
        let invalid = |name: &str| {
            let message = format!("'{text}' is not a valid {name} literal");
            failure_at(at, ErrorCode::INVALID_LITERAL, message)
        };
        let refused = |failure: Failure| failure_at(at, failure.code, failure.message);
        let (kind, ticks) = match &typed.data_type {
            DataType::Date => {
                (Kind::Date, datetime::date(text.trim()).ok_or_else(|| invalid("DATE"))?)
            }
            DataType::Time(None, TimezoneInfo::None) => {
                if datetime::is_time_with_zone(&text) {
                    let message = "Type time with time zone is not supported";
                    return Err(failure_at(at, ErrorCode::NOT_SUPPORTED, message));
                }
                let (time, fraction) = datetime::time(&text).ok_or_else(|| invalid("TIME"))?;
                let precision = precision("time", fraction.len() as u64)
                    .map_err(|text| failure_at(at, ErrorCode::NOT_SUPPORTED, text))?;
                let ticks = datetime::time_ticks(time, &fraction, precision).map_err(refused)?;
                (Kind::Time(precision), ticks)
            }
            DataType::Timestamp(None, TimezoneInfo::None) => {
                let written = datetime::timestamp(&text).ok_or_else(|| invalid("TIMESTAMP"))?;
                let precision = precision("timestamp", written.fraction.len() as u64)
                    .map_err(|text| failure_at(at, ErrorCode::NOT_SUPPORTED, text))?;
                let kind = match &written.zone {
                    None => Kind::Timestamp(precision),
                    Some(zone) => Kind::Zoned(precision, zone.clone()),
                };
                let ticks = datetime::timestamp_ticks(&written, &kind).map_err(refused)?;
                (kind, ticks)
            }
            _ => return Ok(None),
        };
        Ok(Some(literal(&kind, ticks)))
    }

    fn interval(&self, interval: &Interval, sign: i64) -> Result<Option<Expr>, Failure> {
        let start = interval.value.span().start;
        if self.bounds.contains(&start) {
            return Ok(None);
        }
        let (kind, amount) = read_interval(interval)?;
        Ok(Some(literal(&kind, sign * amount)))
    }

    /// The type in time that a cast names; `None` for all others.
    fn cast_type(&self, data_type: &DataType) -> Result<Option<Kind>, String> {
        let digits = |name: &str, given: Option<u64>| precision(name, given.unwrap_or(3));
        Ok(Some(match data_type {
            DataType::Date => Kind::Date,
            DataType::Time(given, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                Kind::Time(digits("time", *given)?)
            }
            DataType::Time(..) => return Err("Type time with time zone is not supported".into()),
            DataType::Timestamp(given, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                Kind::Timestamp(digits("timestamp", *given)?)
            }
            DataType::Timestamp(given, TimezoneInfo::WithTimeZone) => {
                Kind::Zoned(digits("timestamp", *given)?, self.zone.clone())
            }
            DataType::Interval { fields: Some(IntervalFields::YearToMonth), precision: None } => {
                Kind::YearMonth
            }
            DataType::Interval { fields: Some(IntervalFields::DayToSecond), precision: None } => {
                Kind::DaySecond
            }
            _ => return Ok(None),
        }))
    }

    /// Functions that know the session.
    fn function(&self, function: &Function) -> Result<Option<Expr>, Failure> {
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else {
            return Ok(None);
        };
        let name = name.value.to_ascii_lowercase();
        let at = place(function.name.span().start);
        let arguments = || arguments(function).ok_or_else(|| wrong_count(&name, at));
        let now = |kind: &dyn Fn(u8) -> Kind, digits: u8| {
            let here = Kind::Zoned(9, self.zone.clone());
            let ticks = here.ticks_of_instant(&self.start.naive_utc())?;
            let local = Kind::Timestamp(9).ticks(&here.local(ticks)?)?;
            let wanted = kind(digits);
            let ticks = match &wanted {
                Kind::Zoned(..) => datetime::cast_ticks(&here, ticks, &wanted)?,
                _ => datetime::cast_ticks(&Kind::Timestamp(9), local, &wanted)?,
            };
            Ok::<_, Failure>(Some(literal(&wanted, ticks)))
        };
        let zoned = |digits| Kind::Zoned(digits, self.zone.clone());
        // How many arguments there are before the session's zone.
        let wanted = match name.as_str() {
            "current_date" => return now(&|_| Kind::Date, 0),
            "current_timestamp" => return now(&zoned, digits_of(function, at)?),
            "localtimestamp" => return now(&Kind::Timestamp, digits_of(function, at)?),
            "localtime" => return now(&Kind::Time, digits_of(function, at)?),
            "now" if arguments()?.is_empty() => return now(&zoned, 3),
            "current_timezone" if arguments()?.is_empty() => {
                return Ok(Some(as_varchar(string(self.zone()))));
            }
            "now" | "current_timezone" => return Err(wrong_count(&name, at)),
            "from_unixtime" if arguments()?.len() > 1 => return Ok(None),
            "from_unixtime"
            | "from_unixtime_nanos"
            | "from_iso8601_timestamp"
            | "from_iso8601_timestamp_nanos" => 1,
            "at_timezone" | "parse_datetime" => 2,
            _ => return Ok(None),
        };
        let mut arguments = arguments()?;
        if arguments.last().is_some_and(is_sessions) {
            // The visitor comes again to what it was given.
            return Ok(None);
        }
        if arguments.len() != wanted {
            return Err(wrong_count(&name, at));
        }
        arguments.push(string(self.zone()));
        Ok(Some(call(&name, arguments)))
    }
}

/// The place of what was not in the text.
const NOWHERE: Span =
    Span { start: Location { line: 0, column: 0 }, end: Location { line: 0, column: 0 } };

fn string(text: impl Into<String>) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text.into()), span: NOWHERE })
}

/// The argument was put there by [`SessionTime::function`].
fn is_sessions(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), span })
        if *span == NOWHERE)
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn literal(kind: &Kind, ticks: i64) -> Expr {
    call(datetime::LITERAL, vec![string(kind.name()), string(ticks.to_string())])
}

/// Arrow has 0, 3, 6 and 9 digits of a second.
fn precision(name: &str, digits: u64) -> Result<u8, String> {
    match u8::try_from(digits) {
        Ok(digits @ (0 | 3 | 6 | 9)) => Ok(digits),
        _ => Err(format!("Type {name}({digits}) is not supported: precisions are 0, 3, 6 and 9")),
    }
}

/// The arguments of a plain call; `None` for names and other forms.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let list = match &function.args {
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::Subquery(_) => return None,
        FunctionArguments::List(list) => list,
    };
    let expr = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(expr).collect()
}

fn wrong_count(name: &str, at: Option<waterbear_protocol::ErrorLocation>) -> Failure {
    let message = format!("Unexpected parameters for function {name}");
    failure_at(at, ErrorCode::FUNCTION_NOT_FOUND, message)
}

/// The digits of `current_timestamp(6)`.
fn digits_of(
    function: &Function,
    at: Option<waterbear_protocol::ErrorLocation>,
) -> Result<u8, Failure> {
    let name = function.name.to_string().to_ascii_lowercase();
    match arguments(function).as_deref() {
        Some([]) => Ok(3),
        Some([Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. })]) => {
            let digits = digits.parse().map_err(|_| wrong_count(&name, at))?;
            precision(&name, digits).map_err(|text| failure_at(at, ErrorCode::NOT_SUPPORTED, text))
        }
        _ => Err(wrong_count(&name, at)),
    }
}

/// The function for a field of EXTRACT.
fn extracted(field: &str) -> Option<&'static str> {
    const FIELDS: [&str; 17] = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "day_of_month",
        "day_of_week",
        "dow",
        "day_of_year",
        "doy",
        "year_of_week",
        "yow",
        "hour",
        "minute",
        "second",
        "timezone_hour",
        "timezone_minute",
    ];
    FIELDS.into_iter().find(|name| name.eq_ignore_ascii_case(field))
}

/// Type and months or milliseconds of an INTERVAL literal.
fn read_interval(interval: &Interval) -> Result<(Kind, i64), Failure> {
    let node = interval.value.as_ref();
    let Some(leading) = &interval.leading_field else {
        return Err(unsupported(node, "INTERVAL without a unit"));
    };
    if interval.leading_precision.is_some() || interval.fractional_seconds_precision.is_some() {
        return Err(unsupported(node, "The precision of an INTERVAL"));
    }
    let field = |field: &datafusion::sql::sqlparser::ast::DateTimeField| {
        let word = field.to_string();
        IntervalField::parse(&word).ok_or_else(|| unsupported(node, format!("INTERVAL in {word}")))
    };
    let from = field(leading)?;
    let to = interval.last_field.as_ref().map_or(Ok(from), field)?;
    let (mut value, mut sign) = (node, 1);
    while let Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } = value
    {
        sign = if *op == UnaryOperator::Minus { -sign } else { sign };
        value = expr;
    }
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) = value else {
        return Err(unsupported(node, "INTERVAL of an expression"));
    };
    let amount = datetime::interval(text.trim(), from, to)
        .map_err(|failure| failure_at(place(span.start), failure.code, failure.message))?;
    Ok((if from.is_month() { Kind::YearMonth } else { Kind::DaySecond }, sign * amount))
}

/// The zone of `AT TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE`.
fn offset(interval: &Interval) -> Result<Expr, Failure> {
    let node = interval.value.as_ref();
    match read_interval(interval)? {
        (Kind::DaySecond, millis) if millis % 60_000 == 0 => {
            let zone = Zone::of_minutes(millis / 60_000)?;
            Ok(string(zone.name().to_string()))
        }
        _ => Err(unsupported(node, "This interval as a time zone")),
    }
}
