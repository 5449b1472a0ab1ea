//! `files.location`, and the URL of a file.

use std::path::{Component, Path, PathBuf};

use datafusion::{
    datasource::listing::ListingTableUrl,
    error::{DataFusionError, Result},
};

/// Returns the path that an absolute path or a `file://` URI means.
pub(super) fn parse(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).is_absolute() {
        return Ok(PathBuf::from(text));
    }
    let wanted = "must be an absolute path or a file:// URI";
    if !text.starts_with("file://") {
        return Err(wanted.to_owned());
    }
    let url = ListingTableUrl::parse(text).map_err(|error| format!("{wanted}: {error}"))?;
    url.get_url().to_file_path().map_err(|()| format!("{wanted} without a host"))
}

/// Returns the URL of a file; unlike [`ListingTableUrl::parse`], takes `*`, `?` and `[` as they
/// are.
pub(super) fn url_of(file: &Path) -> Result<ListingTableUrl> {
    let unusable = || DataFusionError::Plan(format!("{} is not a usable name", file.display()));
    let mut url = ListingTableUrl::parse("file:///")?.get_url().clone();
    {
        let mut segments = url.path_segments_mut().map_err(|()| unusable())?;
        segments.clear();
        for component in file.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(name) => {
                    segments.push(name.to_str().ok_or_else(unusable)?);
                }
                _ => return Err(unusable()),
            }
        }
    }
    ListingTableUrl::try_new(url, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn location_is_a_path_or_a_uri() {
        assert_eq!(parse("/data/lake").unwrap(), Path::new("/data/lake"));
        assert_eq!(parse("file:///data/my%20lake").unwrap(), Path::new("/data/my lake"));
        for wrong in ["data", "./data", "s3://bucket/data", "file://host/data", "file:data"] {
            assert!(parse(wrong).unwrap_err().contains("absolute path"), "{wrong}");
        }
    }

    #[test]
    fn special_characters_are_no_glob() {
        let url = url_of(Path::new("/a b/100%/x*[1]?.parquet")).unwrap();
        assert_eq!(url.prefix().as_ref(), "a b/100%/x*[1]?.parquet");
        assert!(url.get_glob().is_none());
    }
}
