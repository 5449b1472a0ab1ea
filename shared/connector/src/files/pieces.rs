//! The bytes of a file, in pieces that are known to be of one state of it.
//!
//! A file that is read to its end without a look at its size gives fewer rows when it was cut
//! meanwhile, and one that is asked for bytes that are gone may give none for ever.

use std::fs::{File, metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use datafusion::object_store::{Error, ObjectMeta, Result};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::guard::changed;

/// The bytes that are read at a time.
const READ: u64 = 1 << 20;

/// The bytes that are handed on at a time: whoever makes rows of them asks for more with each
/// batch, so that these must be fewer than a batch has.
const HANDED: usize = 16 << 10;

/// Returns a range of a file, which must stay at the version that is given.
pub(super) fn of(
    file: File,
    path: PathBuf,
    version: ObjectMeta,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes>> {
    let read = Arc::new(Read { file, path, version });
    stream::try_unfold(range, move |rest| {
        let read = Arc::clone(&read);
        async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let end = rest.end.min(rest.start + READ);
            let piece = rest.start..end;
            let bytes = tokio::task::spawn_blocking(move || read.piece(piece))
                .await
                .map_err(|stopped| generic(stopped.into()))??;
            Ok::<_, Error>(Some((bytes, end..rest.end)))
        }
    })
    .map_ok(|bytes| {
        let starts = (0..bytes.len()).step_by(HANDED);
        let piece = move |start: usize| bytes.slice(start..bytes.len().min(start + HANDED));
        stream::iter(starts.map(move |start| Ok::<_, Error>(piece(start))))
    })
    .try_flatten()
    .boxed()
}

/// Returns several ranges of such a file, each in one piece.
pub(super) async fn all(
    file: File,
    path: PathBuf,
    version: ObjectMeta,
    ranges: Vec<Range<u64>>,
) -> Result<Vec<Bytes>> {
    let read = Read { file, path, version };
    tokio::task::spawn_blocking(move || ranges.into_iter().map(|range| read.piece(range)).collect())
        .await
        .map_err(|stopped| generic(stopped.into()))?
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: "files", source }
}

/// An open file and what is known of it.
struct Read {
    file: File,
    path: PathBuf,
    version: ObjectMeta,
}

impl Read {
    /// Reads a piece, and only then asks what has become of the file.
    fn piece(&self, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(|e| generic(e.into()))?;
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        self.unchanged()?;
        match read {
            Ok(()) => Ok(bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(changed(&self.version.location, "changed"))
            }
            Err(error) => Err(generic(error.into())),
        }
    }

    fn unchanged(&self) -> Result<()> {
        match self.is_same(&self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(changed(&self.version.location, "changed")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(changed(&self.version.location, "vanished"))
            }
            Err(error) => Err(generic(error.into())),
        }
    }

    fn is_same(&self, path: &Path) -> io::Result<bool> {
        let (open, named) = (self.file.metadata()?, metadata(path)?);
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino())
            && named.len() == self.version.size
            && named.modified()? == SystemTime::from(self.version.last_modified))
    }
}
