//! Objects as files in a folder that all nodes share.
//!
//! An answered write is durable: the file's data is synced, and so is each folder that was made
//! for it. File operations run on tokio's threads for blocking work.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{ObjectSink, Store};
use crate::error::{StoreError, StoreErrorKind};

/// What is sealed is still nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

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
        let done = tokio::task::spawn_blocking(move || operation(&path)).await;
        // It is never cancelled and has no panic of its own.
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| self.error(what, key, &error))
    }
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
            make_folders(base)?;
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
        self.blocking("write", key, move |path| {
            let mut file = create(path)?;
            let written = file.write_all(&bytes).and_then(|()| make_durable(&file, path));
            written.inspect_err(|_| remove(path))
        })
        .await
    }

    async fn create(&self, key: &str) -> Result<Box<dyn ObjectSink>, StoreError> {
        let file = self.blocking("write", key, create).await?;
        let store = self.clone();
        Ok(Box::new(FileSink { file: Some(file), store, key: key.to_owned() }))
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
fn create(path: &Path) -> io::Result<File> {
    make_folders(path.parent().unwrap_or(Path::new("/")))?;
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Makes a folder and those above it; each new name is made durable in the folder above.
fn make_folders(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Ok(()) => sync_parent(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(above) = folder.parent() else { return Err(error) };
            make_folders(above)?;
            match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
                Ok(()) => sync_parent(folder),
                // Another attempt was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn make_durable(file: &File, path: &Path) -> io::Result<()> {
    file.sync_data()?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
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
    file: Option<File>,
    store: FilesystemStore,
    key: String,
}

#[async_trait]
impl ObjectSink for FileSink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let file = self.file.take();
        let written = self.store.blocking("write", &self.key, move |_| {
            let mut file = file.ok_or_else(|| io::Error::other("an earlier write has failed"))?;
            file.write_all(&bytes)?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let file = self.file.take();
        let finished = self.store.blocking("write", &self.key, move |path| {
            let file = file.ok_or_else(|| io::Error::other("an earlier write has failed"))?;
            make_durable(&file, path)
        });
        finished.await?;
        // From here on it is not removed by being dropped.
        self.key.clear();
        Ok(())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.key.is_empty() {
            remove(&self.store.base.join(&self.key));
        }
    }
}
