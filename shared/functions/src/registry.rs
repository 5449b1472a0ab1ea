//! Which functions there are: Trino's list, and which of them can be called here.
//!
//! Names decide: what is not in the list is not registered, whatever DataFusion may call by that
//! name. A line of the list is supported when this crate has a function of its name; when
//! DataFusion's has been read and found to mean the same ([`Function::datafusion`]); or when the
//! dialect makes something else of it ([`Function::special`]). Everything else in the list is
//! Trino's and not supported.
//!
//! Each family has a file. To add a function, write it and add one line per signature.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::functions::all;

mod aggregate;
mod array;
mod binary;
mod conditional;
mod datetime;
mod json;
mod map;
mod math;
mod missing;
mod regexp;
mod session;
mod string;
mod url;
mod window;

/// What a function is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// The values of one row.
    Scalar,
    /// The rows of a group.
    Aggregate,
    /// The rows around each row.
    Window,
}

impl FunctionKind {
    /// `scalar`, `aggregate` or `window`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Aggregate => "aggregate",
            Self::Window => "window",
        }
    }
}

/// One signature of a function of Trino.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The name, lower case.
    pub name: &'static str,
    /// The types of its arguments as Trino lists them: `varchar(x), bigint`. The last one may
    /// end in `...`: it stands for any number of arguments. `ANY` is any type, `T` one type.
    pub arguments: &'static str,
    /// The type of its result.
    pub result: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What it is called on.
    pub kind: FunctionKind,
    /// Equal arguments give equal results.
    pub deterministic: bool,
    by: By,
}

/// Where the meaning of a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A function of this crate, if there is one of the name.
    Ours,
    DataFusion,
    /// Syntax; never listed.
    Special,
}

const fn line(
    kind: FunctionKind,
    name: &'static str,
    arguments: &'static str,
    result: &'static str,
    description: &'static str,
) -> Function {
    Function { name, arguments, result, description, kind, deterministic: true, by: By::Ours }
}

const fn scalar(
    name: &'static str,
    arguments: &'static str,
    result: &'static str,
    description: &'static str,
) -> Function {
    line(FunctionKind::Scalar, name, arguments, result, description)
}

const fn aggregate(
    name: &'static str,
    arguments: &'static str,
    result: &'static str,
    description: &'static str,
) -> Function {
    line(FunctionKind::Aggregate, name, arguments, result, description)
}

const fn window(
    name: &'static str,
    arguments: &'static str,
    result: &'static str,
    description: &'static str,
) -> Function {
    line(FunctionKind::Window, name, arguments, result, description)
}

impl Function {
    /// DataFusion's function of this name has been read and means the same.
    const fn datafusion(mut self) -> Self {
        self.by = By::DataFusion;
        self
    }

    /// Syntax that looks like a function, or what the dialect makes something else of.
    const fn special(mut self) -> Self {
        self.by = By::Special;
        self
    }

    const fn random(mut self) -> Self {
        self.deterministic = false;
        self
    }

    /// The argument types as SHOW FUNCTIONS lists them.
    pub fn listed_arguments(&self) -> String {
        self.arguments.replace("...", "").replace("ANY", "T")
    }

    fn is_supported(&self) -> bool {
        self.by != By::Ours || OURS.contains(self.name)
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can be called.
    Supported(FunctionKind),
    /// Trino has it; Waterbear has not.
    NotSupported,
    /// Nobody has it.
    Unknown,
}

static OURS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let all = all();
    let mut names = HashSet::new();
    let mut add = |name: &str, aliases: &[String]| {
        names.insert(name.to_owned());
        names.extend(aliases.iter().cloned());
    };
    all.scalar.iter().for_each(|function| add(function.name(), function.aliases()));
    all.higher_order.iter().for_each(|function| add(function.name(), function.aliases()));
    all.aggregate.iter().for_each(|function| add(function.name(), function.aliases()));
    all.window.iter().for_each(|function| add(function.name(), function.aliases()));
    names
});

const FAMILIES: &[&[Function]] = &[
    aggregate::FUNCTIONS,
    array::FUNCTIONS,
    binary::FUNCTIONS,
    conditional::FUNCTIONS,
    datetime::FUNCTIONS,
    json::FUNCTIONS,
    map::FUNCTIONS,
    math::FUNCTIONS,
    regexp::FUNCTIONS,
    session::FUNCTIONS,
    string::FUNCTIONS,
    url::FUNCTIONS,
    window::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Function>>> = LazyLock::new(|| {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    for function in FAMILIES.iter().copied().flatten() {
        names.entry(function.name).or_default().push(function);
    }
    names
});

/// The functions that can be called, a line for each signature, by name.
pub fn supported_functions() -> impl Iterator<Item = &'static Function> {
    let listed = |function: &&Function| function.by != By::Special && function.is_supported();
    let mut functions: Vec<_> = FAMILIES.iter().copied().flatten().filter(listed).collect();
    functions.sort_by_key(|function| function.name);
    functions.into_iter()
}

/// The signatures of a function.
pub(crate) fn signatures(name: &str) -> &'static [&'static Function] {
    BY_NAME.get(name).map(Vec::as_slice).unwrap_or_default()
}

/// What stands behind a name in lower case. Names that begin with `$` are for what the dialect
/// itself puts into a query; they are in no list.
pub fn availability(name: &str) -> Availability {
    let lines = signatures(name);
    match lines.iter().find(|function| function.is_supported()) {
        Some(function) => Availability::Supported(function.kind),
        None if name.starts_with('$') && OURS.contains(name) => {
            let aggregates = &all().aggregate;
            let is_aggregate = aggregates.iter().any(|function| function.name() == name);
            let kind = if is_aggregate { FunctionKind::Aggregate } else { FunctionKind::Scalar };
            Availability::Supported(kind)
        }
        None if !lines.is_empty() || missing::NAMES.contains(&name) => Availability::NotSupported,
        None => Availability::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        let cases = [
            ("sum", Availability::Supported(FunctionKind::Aggregate)),
            ("row_number", Availability::Supported(FunctionKind::Window)),
            ("coalesce", Availability::Supported(FunctionKind::Scalar)),
            ("st_area", Availability::NotSupported),
            ("date_bin", Availability::Unknown),
            ("list_append", Availability::Unknown),
            ("arrow_cast", Availability::Unknown),
            ("initcap", Availability::Unknown),
            ("string_agg", Availability::Unknown),
        ];
        for (name, expected) in cases {
            assert_eq!(availability(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_of_one_family() {
        for family in FAMILIES {
            for function in *family {
                assert!(!missing::NAMES.contains(&function.name), "{}", function.name);
                let kinds = signatures(function.name).iter().map(|line| line.kind);
                assert!(kinds.into_iter().all(|kind| kind == function.kind), "{}", function.name);
                assert_eq!(function.name, function.name.to_lowercase());
            }
        }
    }

    #[test]
    fn syntax_is_not_listed() {
        assert!(supported_functions().any(|function| function.name == "sum"));
        assert!(supported_functions().all(|function| function.name != "coalesce"));
    }
}
