//! What folders hold.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::format::Kind;
use crate::connector::ConnectorError;

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ConnectorError {
    let path = path.to_owned();
    move |source| ConnectorError::Unreadable { path, source }
}

/// Returns the names, in lower case and in order, and the paths of a folder's visible folders.
/// Names that are no UTF-8 cannot be written in SQL, and are left out.
pub(super) fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, ConnectorError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if let Some(name) = visible_name(&path)
            && path.is_dir()
        {
            found.push((name.to_lowercase(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the files with rows in a folder and the folders in it, in order of their paths. Links to
/// folders are not followed, as they may lead round in a circle.
pub(super) fn data_files(folder: &Path) -> Result<Vec<PathBuf>, ConnectorError> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let entry = entry.map_err(unreadable(&folder))?;
            let path = entry.path();
            let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            if is_hidden(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable(&path))?;
            if kind.is_dir() {
                waiting.push(path);
            } else if Kind::of(Path::new(&name)).is_some() && holds_rows(&path)? {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether what has a data file's name is one, and no link to a folder. Nothing is left out that
/// may have rows.
fn holds_rows(path: &Path) -> Result<bool, ConnectorError> {
    let malformed = |reason: &str| {
        let reason = reason.to_owned();
        ConnectorError::Malformed { path: path.to_owned(), reason }
    };
    // A link that leads nowhere fails here.
    let found = fs::metadata(path).map_err(unreadable(path))?;
    match (found.is_dir(), found.is_file(), path.to_str()) {
        (true, ..) => Ok(false),
        (_, true, Some(_)) => Ok(true),
        (_, true, None) => Err(malformed("its name is not UTF-8; rename it")),
        _ => Err(malformed("it is no regular file")),
    }
}

fn visible_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| !is_hidden(name))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Lists a folder's folders by their names in SQL.
pub(super) async fn names(folder: PathBuf) -> Result<Vec<String>, ConnectorError> {
    let mut names: Vec<_> =
        blocking(move || list(&folder)).await?.into_iter().map(|(name, _)| name).collect();
    names.dedup();
    Ok(names)
}

/// Finds the folder that a name in SQL means.
pub(super) async fn find(folder: PathBuf, name: &str) -> Result<Option<PathBuf>, ConnectorError> {
    let name = name.to_lowercase();
    blocking(move || {
        let mut found = list(&folder)?.into_iter().filter(|(candidate, _)| *candidate == name);
        match (found.next(), found.next()) {
            (Some((_, first)), Some((_, second))) => Err(ConnectorError::Malformed {
                path: first,
                reason: format!("{} has the same name but for case", second.display()),
            }),
            (first, _) => Ok(first.map(|(_, path)| path)),
        }
    })
    .await
}

/// Runs file system calls where they block nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| {
        Err(ConnectorError::Engine(datafusion::error::DataFusionError::External(stopped.into())))
    })
}
