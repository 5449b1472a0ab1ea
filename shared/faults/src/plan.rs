//! The rules of this process.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use waterbear_ids::{AttemptId, QueryId};
use waterbear_protocol::ErrorCode;

use crate::{Fault, Point};

/// Names the file with the rules.
const VARIABLE: &str = "WATERBEAR_FAULTS";

static PLAN: LazyLock<Option<Plan>> =
    LazyLock::new(|| std::env::var_os(VARIABLE).map(|file| Plan::new(file.into())));

pub fn at(point: Point, attempt: &AttemptId) -> Option<Fault> {
    let fault = PLAN.as_ref()?.at(point, attempt)?;
    tracing::info!(%point, %attempt, ?fault, "fault injected");
    Some(fault)
}

/// A file of rules, as it was last read.
struct Plan {
    file: PathBuf,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// Inode, size, and seconds and nanoseconds of the last change: another file, another version.
    version: Option<(u64, u64, i64, i64)>,
    rules: Vec<Rule>,
}

impl Plan {
    fn new(file: PathBuf) -> Self {
        Self { file, read: Mutex::default() }
    }

    fn at(&self, point: Point, attempt: &AttemptId) -> Option<Fault> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = std::fs::metadata(&self.file)
            .map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        match version {
            Ok(version) if read.version == Some(version) => {}
            Ok(version) => *read = Read { version: Some(version), rules: self.rules() },
            Err(error) if error.kind() == ErrorKind::NotFound => *read = Read::default(),
            Err(error) => tracing::error!(file = %self.file.display(), %error, "no faults"),
        }
        read.rules.iter().find(|rule| rule.matches(point, attempt)).map(|rule| rule.fault)
    }

    fn rules(&self) -> Vec<Rule> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| error.to_string());
        text.and_then(|text| rules(&text)).unwrap_or_else(|error| {
            tracing::error!(file = %self.file.display(), %error, "no faults");
            Vec::new()
        })
    }
}

fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| Rule::parse(line).map_err(|why| format!("'{line}': {why}"))).collect()
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    point: Point,
    fault: Fault,
    query: Option<QueryId>,
    stage: Option<u32>,
    task: Option<u32>,
    attempt: Option<u32>,
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let (mut point, mut fault) = (None, None);
        let (mut query, mut stage, mut task, mut attempt) = (None, None, None, None);
        for word in line.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word} has no '='"))?;
            let unknown = || format!("{key} cannot be {value}");
            let number = || value.parse::<u32>().map_err(|_| unknown());
            match key {
                "point" => point = Some(named_point(value).ok_or_else(unknown)?),
                "fault" | "error" => fault = Some(named_fault(word).ok_or_else(unknown)?),
                "query" => query = Some(value.parse().map_err(|_| unknown())?),
                "stage" => stage = Some(number()?),
                "task" => task = Some(number()?),
                "attempt" => attempt = Some(number()?),
                _ => return Err(format!("{key} is no key of a rule")),
            }
        }
        let point = point.ok_or("it names no point")?;
        let fault = fault.ok_or("it has no fault and no error")?;
        if (point == Point::Task) != matches!(fault, Fault::Error(_)) {
            return Err(format!("{fault:?} cannot happen at {point}"));
        }
        Ok(Self { point, fault, query, stage, task, attempt })
    }

    fn matches(&self, point: Point, passing: &AttemptId) -> bool {
        let all = |wanted: Option<u32>, number: u32| wanted.is_none_or(|wanted| wanted == number);
        self.point == point
            && all(self.attempt, passing.number)
            && all(self.task, passing.task.number)
            && all(self.stage, passing.task.stage.number)
            && self.query.as_ref().is_none_or(|query| query == passing.query())
    }
}

fn named_point(name: &str) -> Option<Point> {
    let all = [Point::Create, Point::Status, Point::Results, Point::Task];
    all.into_iter().find(|point| point.to_string() == name)
}

fn named_fault(word: &str) -> Option<Fault> {
    Some(match word {
        "fault=failure" => Fault::Failure,
        "fault=timeout" => Fault::Timeout,
        "error=user" => Fault::Error(ErrorCode::GENERIC_USER_ERROR),
        "error=internal" => Fault::Error(ErrorCode::GENERIC_INTERNAL_ERROR),
        "error=resources" => Fault::Error(ErrorCode::EXCEEDED_LOCAL_MEMORY_LIMIT),
        // The one standard code of that type.
        "error=external" => Fault::Error(ErrorCode::UNSUPPORTED_TABLE_TYPE),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn attempt(text: &str) -> AttemptId {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_has_what_it_names_and_all_of_the_rest() {
        let rule = Rule::parse("point=task error=internal stage=3 task=0 attempt=0").unwrap();
        assert_eq!(rule.fault, Fault::Error(ErrorCode::GENERIC_INTERNAL_ERROR));
        assert!(rule.matches(Point::Task, &attempt("q.3.0.0")));
        assert!(rule.matches(Point::Task, &attempt("other.3.0.0")));
        for other in ["q.2.0.0", "q.3.1.0", "q.3.0.1"] {
            assert!(!rule.matches(Point::Task, &attempt(other)), "{other}");
        }
        assert!(!rule.matches(Point::Create, &attempt("q.3.0.0")));
        let rule = Rule::parse("point=status fault=timeout query=q").unwrap();
        assert!(rule.matches(Point::Status, &attempt("q.7.8.9")));
        assert!(!rule.matches(Point::Status, &attempt("p.7.8.9")));
    }

    #[test]
    fn every_error_has_the_type_that_it_says() {
        use waterbear_protocol::ErrorType;
        for (name, wanted) in [
            ("user", ErrorType::UserError),
            ("internal", ErrorType::InternalError),
            ("resources", ErrorType::InsufficientResources),
            ("external", ErrorType::External),
        ] {
            let Some(Fault::Error(code)) = named_fault(&format!("error={name}")) else {
                panic!("{name}")
            };
            assert_eq!(code.error_type(), wanted);
        }
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for (line, why) in [
            ("point=task", "no fault"),
            ("fault=failure", "no point"),
            ("point=nowhere fault=failure", "point cannot be nowhere"),
            ("point=create fault=loud", "fault cannot be loud"),
            ("point=create fault=failure stage=-1", "stage cannot be -1"),
            ("point=create fault=failure node=a", "node is no key"),
            ("point=create failure", "failure has no '='"),
            ("point=task fault=timeout", "cannot happen at task"),
            ("point=create error=user", "cannot happen at create"),
        ] {
            let text = format!("point=status fault=failure\n{line}\n");
            let error = rules(&text).unwrap_err();
            assert!(error.contains(why) && error.contains(line), "{error}");
        }
    }

    #[test]
    fn a_file_counts_as_it_is_when_a_point_is_passed() {
        let folder = std::env::temp_dir().join(format!("waterbear-faults-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, next) = (folder.join("rules"), folder.join("next"));
        let plan = Plan::new(file.clone());
        let passing = attempt("q.1.0.0");
        let now = || plan.at(Point::Create, &passing);
        assert_eq!(now(), None);
        let written = |text: &str| {
            std::fs::write(&next, text).unwrap();
            std::fs::rename(&next, &file).unwrap();
        };
        written("point=create fault=failure attempt=0\n");
        assert_eq!((now(), now()), (Some(Fault::Failure), Some(Fault::Failure)));
        written("point=create fault=timeout attempt=0\n");
        assert_eq!(now(), Some(Fault::Timeout));
        written("point=create fault=timeout attempt=0\nnonsense\n");
        assert_eq!(now(), None);
        written("\n\npoint=create fault=failure stage=1\n");
        assert_eq!(now(), Some(Fault::Failure));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(now(), None);
    }
}
