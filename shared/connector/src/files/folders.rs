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
            let Some(name) = visible_name(&path) else { continue };
            let kind = entry.file_type().map_err(unreadable(&path))?;
            if kind.is_dir() {
                waiting.push(path);
            } else if Kind::of(Path::new(name)).is_some() && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn visible_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| !name.starts_with(['.', '_']))
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
