//! Objects as files in a folder that all nodes share.
//!
//! An answered write is durable: the file's data is synced, and so is each folder that has got a
//! new name for it. All that one answer stands for is synced at once, which costs a journalling
//! filesystem one pass instead of five. File operations run on tokio's threads for blocking work.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use super::{ObjectSink, Store};
use crate::error::{StoreError, StoreErrorKind};

/// What is sealed is still nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How long a part of a file may take to be read …
const READ_LIMIT: Duration = Duration::from_secs(60);
/// … and to be written, or all of it to be made durable.
const WRITE_LIMIT: Duration = Duration::from_secs(300);

/// A base directory.
#[derive(Debug, Clone)]
pub struct FilesystemStore {
    /// As it is configured.
    location: String,
    base: PathBuf,
}

impl FilesystemStore {
    /// Objects below `base`; `location` is what it is called in messages.
    pub fn new(location: impl Into<String>, base: impl Into<PathBuf>) -> Self {
        Self { location: location.into(), base: base.into() }
    }

    fn error(&self, what: &str, key: &str, error: &io::Error) -> StoreError {
        StoreError {
            kind: StoreErrorKind::of(error),
            location: self.location.clone(),
            what: format!("{what} {key}"),
            reason: error.to_string(),
        }
    }

    /// Runs a file operation where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        key: &str,
        operation: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.base.join(key);
        let limit = if what == "read" { READ_LIMIT } else { WRITE_LIMIT };
        let done = answered(tokio::task::spawn_blocking(move || operation(&path)), limit).await;
        done.map_err(|error| self.error(what, key, &error))
    }

    /// Writes a file in one piece; it is not durable yet.
    async fn write(&self, key: &str, bytes: Bytes) -> Result<NewFile, StoreError> {
        self.blocking("write", key, move |path| {
            let mut new = create(path)?;
            new.file.write_all(&bytes).inspect_err(|_| remove(path))?;
            Ok(new)
        })
        .await
    }

    /// Best effort: what stays is deleted with its query.
    async fn remove(&self, key: &str) {
        let removed = self.blocking("delete", key, |path| {
            remove(path);
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::debug!(%error, "an unfinished object stays for now");
        }
    }

    /// Makes files durable, `key` one of them.
    async fn make_durable(&self, key: &str, files: Vec<NewFile>) -> Result<(), StoreError> {
        let (mut syncs, mut folders) = (JoinSet::new(), BTreeSet::new());
        for NewFile { file, changed } in files {
            syncs.spawn_blocking(move || file.sync_data());
            folders.extend(changed);
        }
        for folder in folders {
            syncs.spawn_blocking(move || File::open(folder)?.sync_all());
        }
        let all = async {
            let mut durable = Ok(());
            while let Some(synced) = syncs.join_next().await {
                durable = durable.and(synced.unwrap_or_else(|error| Err(io::Error::other(error))));
            }
            Ok(durable)
        };
        answered(all, WRITE_LIMIT).await.map_err(|error| self.error("write", key, &error))
    }
}

/// Waits for file operations, which have no limit of their own: a network's filesystem whose
/// server is away lets them wait for ever. They go on then, and nobody hears how they end.
async fn answered<T>(
    operation: impl Future<Output = Result<io::Result<T>, JoinError>>,
    limit: Duration,
) -> io::Result<T> {
    match tokio::time::timeout(limit, operation).await {
        // It is never cancelled and has no panic of its own.
        Ok(done) => done.unwrap_or_else(|error| Err(io::Error::other(error))),
        Err(_) => {
            let text = format!("the filesystem has not answered within {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

/// A file that was made, and the folders that have got a new name for it.
#[derive(Debug)]
struct NewFile {
    file: File,
    changed: Vec<PathBuf>,
}

#[async_trait]
impl Store for FilesystemStore {
    async fn check(&self) -> Result<(), StoreError> {
        // Many nodes may look at once, and in containers all have one process id.
        let mut name = [0; 8];
        let _ = aws_lc_rs::rand::fill(&mut name);
        let probe = format!(".probe-{:016x}", u64::from_le_bytes(name));
        let checked = self.blocking("write", &probe, |probe| {
            let base = probe.parent().unwrap_or(Path::new("/"));
            make_folders(base, &mut Vec::new())?;
            if !fs::metadata(base)?.is_dir() {
                return Err(io::Error::from(io::ErrorKind::NotADirectory));
            }
            // Permissions alone do not tell: the filesystem may be read-only.
            drop(OpenOptions::new().write(true).create(true).truncate(false).open(probe)?);
            fs::remove_file(probe)
        });
        checked.await.map_err(|error| StoreError { what: "write objects".to_owned(), ..error })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let new = self.write(key, bytes).await?;
        let durable = self.make_durable(key, vec![new]).await;
        if durable.is_err() {
            self.remove(key).await;
        }
        durable
    }

    async fn create(&self, key: &str) -> Result<Box<dyn ObjectSink>, StoreError> {
        let new = self.blocking("write", key, create).await?;
        let store = self.clone();
        Ok(Box::new(FileSink { new: Some(new), store, key: key.to_owned() }))
    }

    async fn get(&self, key: &str) -> Result<BytesMut, StoreError> {
        self.blocking("read", key, |path| {
            let mut bytes = Vec::new();
            File::open(path)?.read_to_end(&mut bytes)?;
            Ok(BytesMut::from(Bytes::from(bytes)))
        })
        .await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: u64,
        length: usize,
    ) -> Result<BytesMut, StoreError> {
        self.blocking("read", key, move |path| {
            let file = File::open(path)?;
            let mut bytes = BytesMut::zeroed(length);
            let mut filled = 0;
            while filled < length {
                match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
        .await
    }

    async fn delete_folder(&self, folder: &str) -> Result<(), StoreError> {
        self.blocking("delete", folder, |path| absent_is_fine(fs::remove_dir_all(path), ())).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.blocking("list", folder, |path| {
            let mut names = Vec::new();
            for entry in match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) => return absent_is_fine(Err(error), names),
            } {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.extend(entry.file_name().into_string());
                }
            }
            Ok(names)
        })
        .await
    }
}

fn absent_is_fine<T>(result: io::Result<T>, absent: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(absent),
        result => result,
    }
}

/// A file that is not there yet, in folders that are made for it.
fn create(path: &Path) -> io::Result<NewFile> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut changed = vec![folder.to_owned()];
    make_folders(folder, &mut changed)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    Ok(NewFile { file, changed })
}

/// Makes a folder and those above it; `changed` are those that have got a new one.
fn make_folders(folder: &Path, changed: &mut Vec<PathBuf>) -> io::Result<()> {
    let made = DirBuilder::new().mode(FOLDER_MODE).create(folder);
    let made = match (made, folder.parent()) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            make_folders(above, changed)?;
            DirBuilder::new().mode(FOLDER_MODE).create(folder)
        }
        (made, _) => made,
    };
    match made {
        // Another attempt may be about to make it durable, and may not come to it.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => {
            changed.extend(folder.parent().map(Path::to_owned));
            Ok(())
        }
    }
}

/// Best effort: what stays is deleted with its query.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "an unfinished object stays for now");
    }
}

#[derive(Debug)]
struct FileSink {
    /// None while it is being written, and once it failed or is finished.
    new: Option<NewFile>,
    store: FilesystemStore,
    key: String,
}

impl FileSink {
    fn take(&mut self) -> Result<NewFile, StoreError> {
        let error = || io::Error::other("an earlier write has failed");
        self.new.take().ok_or_else(|| self.store.error("write", &self.key, &error()))
    }
}

#[async_trait]
impl ObjectSink for FileSink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut new = self.take()?;
        let written = self.store.blocking("write", &self.key, move |_| {
            new.file.write_all(&bytes)?;
            Ok(new)
        });
        self.new = Some(written.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let new = self.take()?;
        // From here on it is not removed by being dropped: once the second one is there, others
        // may count on both.
        let own = std::mem::take(&mut self.key);
        let second = match self.store.write(key, bytes).await {
            Ok(second) => second,
            Err(error) => {
                self.store.remove(&own).await;
                return Err(error);
            }
        };
        let durable = self.store.make_durable(&own, vec![new, second]).await;
        if durable.is_err() {
            self.store.remove(key).await;
            self.store.remove(&own).await;
        }
        durable
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if self.key.is_empty() {
            return;
        }
        let path = self.store.base.join(&self.key);
        // Whoever drops it may be about to compute, and a filesystem takes its time.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_filesystem_that_does_not_answer_is_waited_for_and_not_for_ever() {
        let never = std::future::pending::<Result<io::Result<()>, JoinError>>();
        let error = answered(never, READ_LIMIT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(StoreErrorKind::of(&error), StoreErrorKind::Other, "asked again elsewhere");
    }
}
