//! `${ENV:NAME}` and `${FILE:path}` in values.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// The most that `${FILE:path}` reads, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Why a value cannot be expanded. Names the variable or the file, never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum ExpandError {
    /// `${ENV:NAME}` of a variable that is not set.
    #[error("environment variable {0} is not set")]
    NoVariable(String),
    /// `${FILE:path}` of a file that cannot be read.
    #[error("cannot read file {path}: {cause}")]
    NoFile {
        /// As looked for.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is larger than 1 MiB.
    #[error("file {0} is larger than 1 MiB")]
    TooLarge(String),
    /// The file is not UTF-8.
    #[error("file {0} is not text in UTF-8")]
    NotText(String),
    /// A provider other than ENV and FILE.
    #[error("there is no '${{{0}:…}}': only ${{ENV:NAME}} and ${{FILE:path}}")]
    UnknownProvider(String),
    /// `${ENV:` without its `}`.
    #[error("'${{' without its '}}'")]
    Unterminated,
}

/// Replaces each `${ENV:NAME}` by the variable, and each `${FILE:path}` by the file's text without
/// white space around it. Relative paths start at `base`. What comes in is not expanded again; a `${x}`
/// without a colon stays as it is.
pub fn expand(
    text: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Zeroizing<String>, ExpandError> {
    let mut expanded = Zeroizing::new(String::new());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        expanded.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let Some((provider, argument)) = after.split_once(':').filter(|(p, _)| is_word(p)) else {
            expanded.push_str("${");
            rest = after;
            continue;
        };
        let (key, tail) = argument.split_once('}').ok_or(ExpandError::Unterminated)?;
        expanded.push_str(&provide(provider, key, base, env)?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn provide(
    provider: &str,
    key: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Zeroizing<String>, ExpandError> {
    match provider.to_ascii_uppercase().as_str() {
        "ENV" => {
            let value = env(key).ok_or_else(|| ExpandError::NoVariable(key.to_owned()))?;
            Ok(Zeroizing::new(value))
        }
        "FILE" => read(&base.join(key)),
        _ => Err(ExpandError::UnknownProvider(provider.to_owned())),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, ExpandError> {
    let name = path.display().to_string();
    // Room for the whole file at once: a growing buffer leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::new());
    let result = std::fs::File::open(path).and_then(|file| {
        let length = file.metadata()?.len().min(FILE_LIMIT);
        bytes.reserve_exact(usize::try_from(length).unwrap_or(0) + 64);
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)
    });
    match result {
        Err(cause) => Err(ExpandError::NoFile { path: name, cause }),
        Ok(length) if length as u64 > FILE_LIMIT => Err(ExpandError::TooLarge(name)),
        Ok(_) => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
            Err(_) => Err(ExpandError::NotText(name)),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(text: &str, base: &Path) -> Result<String, String> {
        let env = |name: &str| (name == "PORT").then(|| "80${ENV:PORT}".to_owned());
        expand(text, base, &env).map(|value| value.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_and_files_are_replaced_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "\n two\nlines \n").unwrap();
        let base = folder.path();
        assert_eq!(run("a${ENV:PORT}b${env:PORT}", base).unwrap(), "a80${ENV:PORT}b80${ENV:PORT}");
        assert_eq!(run("<${FILE:f}>", base).unwrap(), "<two\nlines>");
        let absolute = format!("${{FILE:{}}}", base.join("f").display());
        assert_eq!(run(&absolute, Path::new("elsewhere")).unwrap(), "two\nlines");
        assert_eq!(run("${USER} $x ${", base).unwrap(), "${USER} $x ${");
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        let base = Path::new("/nonexistent");
        assert_eq!(run("${ENV:NONE}", base).unwrap_err(), "environment variable NONE is not set");
        let error = run("${FILE:secret}", base).unwrap_err();
        assert!(error.starts_with("cannot read file /nonexistent/secret: "), "{error}");
        assert!(run("${VAULT:x}", base).unwrap_err().contains("'${VAULT:…}'"));
        assert!(run("${ENV:PORT", base).unwrap_err().contains("without its"));
    }

    #[test]
    fn files_that_are_too_large_or_not_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("large"), vec![b'a'; 1024 * 1024 + 1]).unwrap();
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
        assert!(run("${FILE:large}", folder.path()).unwrap_err().contains("larger than 1 MiB"));
        assert!(run("${FILE:binary}", folder.path()).unwrap_err().contains("not text"));
        assert!(run("${FILE:.}", folder.path()).unwrap_err().starts_with("cannot read file"));
    }
}
