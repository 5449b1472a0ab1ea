//! Reads SPDX licence expressions, and the `/` that older crates write for `OR`.

/// Licences under which a dependency may come.
pub const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether the expression can be met with allowed licences alone. An expression that cannot be
/// read is not allowed.
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words);
    met == Some(true) && words.next().is_none()
}

type Words<'a, I> = std::iter::Peekable<I>;

/// `all OR all OR …`
fn any_of<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>) -> Option<bool> {
    let mut met = all_of(words)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words)?;
    }
    Some(met)
}

/// `one AND one AND …`
fn all_of<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>) -> Option<bool> {
    let mut met = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words)?;
    }
    Some(met)
}

/// A licence, with or without an exception, or an expression in parentheses.
fn one<'a, I: Iterator<Item = &'a str>>(words: &mut Words<'a, I>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let met = any_of(words)?;
            words.next_if_eq(&")").map(|_| met)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        name => {
            let exception = match words.next_if_eq(&"WITH") {
                Some(_) => Some(words.next()?),
                None => None,
            };
            let full = exception.map_or(name.to_owned(), |e| format!("{name} WITH {e}"));
            Some(ALLOWED.contains(&full.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_allowed_licences_meet_pass() {
        for expression in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "GPL-3.0-only OR MIT",
            "(MIT OR GPL-2.0-only) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
            "ISC AND (Apache-2.0 OR ISC)",
        ] {
            assert!(is_allowed(expression), "{expression}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for expression in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(MIT OR Apache-2.0) AND AGPL-3.0-only",
            "MIT WITH Some-exception",
            "MIT AND",
            "(MIT",
            "MIT MIT",
            "OR MIT",
        ] {
            assert!(!is_allowed(expression), "{expression}");
        }
    }
}
