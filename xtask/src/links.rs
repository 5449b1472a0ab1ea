//! Links from our documents to files of the repository lead somewhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Checks every relative link of every Markdown file under `root`.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let mut broken = Vec::new();
    let documents = documents(root)?;
    for document in &documents {
        let text = std::fs::read_to_string(document)
            .with_context(|| format!("{} cannot be read", document.display()))?;
        let folder = document.parent().unwrap_or(root);
        for target in targets(&text).filter(|target| !folder.join(target).exists()) {
            broken.push(format!("{}: {target} does not exist", document.display()));
        }
    }
    println!("{} documents, {} broken links", documents.len(), broken.len());
    if !broken.is_empty() {
        bail!("broken links:\n{}", broken.join("\n"));
    }
    Ok(())
}

/// Markdown files, but for what tools make or keep.
fn documents(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.append(&mut documents(&path)?);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The relative targets of `[text](target)`, without their `#fragment`; code blocks are no links.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    let links = prose.flat_map(|part| part.split("](").skip(1));
    let inside = links.filter_map(|link| link.split_once(')')).map(|(target, _)| target);
    let files = inside.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.md"), "[up](./there.md#part) [out](https://x.y)")
            .unwrap();
        check(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("docs")).unwrap();
        let text = "[a](../there.md)\n```\n[code](nowhere)\n```\n[b](gone.md)";
        std::fs::write(folder.path().join("docs/page.md"), text).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("gone.md") && !error.contains("nowhere"), "{error}");
    }
}
