//! Where things are: URIs of discovery, base directories of the exchange.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// Where a discovery service answers: one element of `discovery.uri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryUri {
    /// `https` (the default of a cluster) or `http`.
    pub https: bool,
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl DiscoveryUri {
    /// Reads `https://host:port` or `http://host:port`, with or without a slash at the end.
    /// Without a port it is the scheme's own (443, 80).
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                (address, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let own = if https { 443 } else { 80 };
        let port =
            if port.is_empty() && !authority.ends_with(':') { own } else { parse_port(port)? };
        (is_host(host) && port > 0).then(|| Self { https, host: host.to_owned(), port })
    }
}

impl fmt::Display for DiscoveryUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A decimal number from 0 to 65535, without a sign.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether a text is a host name or an IP address, without port or brackets.
pub(crate) fn is_host(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |part: &str| !part.is_empty() && part.chars().all(name);
    // The root's dot may end a name.
    let parts = text.strip_suffix('.').unwrap_or(text);
    let is_name = text.len() <= 253 && parts.split('.').all(label);
    is_name || text.parse::<Ipv6Addr>().is_ok()
}

/// A folder of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys start with: empty, or ends with a slash.
    pub prefix: String,
}

/// Where the exchange keeps its objects (`exchange.base-directories`): all in the same kind of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseDirectories {
    /// Absolute paths, which must be the same storage on all nodes.
    Local(Vec<PathBuf>),
    /// Folders of buckets.
    S3(Vec<S3Location>),
}

impl BaseDirectories {
    /// Reads a comma list of absolute paths, `file://` or `s3://` URIs, of one scheme. The error
    /// completes "the value …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut local, mut s3) = (Vec::new(), Vec::new());
        for (index, item) in text.split(',').map(str::trim).enumerate() {
            let number = index + 1;
            match item.split_once("://") {
                Some(("s3", rest)) => s3.push(bucket(rest).ok_or_else(|| {
                    format!("has no bucket in item {number}: write s3://bucket/folder")
                })?),
                Some(("file", path)) => local.push(absolute(path, number)?),
                Some((scheme, _)) => {
                    let scheme: String = scheme.chars().take(16).collect();
                    return Err(format!(
                        "has the scheme '{scheme}' in item {number}: only absolute paths, file:// and s3:// are supported"
                    ));
                }
                None => local.push(absolute(item, number)?),
            }
        }
        match (local.is_empty(), s3.is_empty()) {
            (false, true) => Ok(Self::Local(local)),
            (true, false) => Ok(Self::S3(s3)),
            _ => Err("mixes local folders and s3://: all must have one scheme".to_owned()),
        }
    }
}

fn absolute(path: &str, number: usize) -> Result<PathBuf, String> {
    if !path.starts_with('/') {
        return Err(format!(
            "has no absolute path in item {number}: write /folder, file:///folder or s3://bucket/folder"
        ));
    }
    Ok(PathBuf::from(path))
}

fn bucket(rest: &str) -> Option<S3Location> {
    let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = folder.trim_matches('/');
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let valid = !bucket.is_empty() && bucket.chars().all(allowed);
    valid.then(|| S3Location { bucket: bucket.to_owned(), prefix })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn discovery_uris_print_and_parse_the_same_text() {
        for text in ["https://disco-1.example:8443", "http://10.0.0.1:80", "https://[::1]:8443"] {
            assert_eq!(DiscoveryUri::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(DiscoveryUri::parse("HTTPS://a/").unwrap().to_string(), "https://a:443");
        assert_eq!(DiscoveryUri::parse("http://[::1]").unwrap().port, 80);
    }

    #[test]
    fn what_is_not_a_discovery_uri_is_refused() {
        for text in [
            "",
            "host:8443",
            "ftp://a:1",
            "https://",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://a:",
            "https://u@a:1",
            "https://a:1/v1",
            "https://a b:1",
            "https://[::1:1",
            "https://[x]:1",
            "https://[::1]x",
        ] {
            assert_eq!(DiscoveryUri::parse(text), None, "{text}");
        }
    }

    #[test]
    fn base_directories_are_of_one_scheme() {
        let local = BaseDirectories::parse("/a, file:///b/c").unwrap();
        assert_eq!(local, BaseDirectories::Local(vec!["/a".into(), "/b/c".into()]));
        let one = S3Location { bucket: "one".into(), prefix: String::new() };
        let two = S3Location { bucket: "two".into(), prefix: "x/y/".into() };
        assert_eq!(
            BaseDirectories::parse("s3://one,s3://two/x/y/"),
            Ok(BaseDirectories::S3(vec![one, two]))
        );
        for text in ["", "/a,", "relative", "file://b", "s3://", "gs://x", "/a,s3://b", "s3:///x"] {
            assert!(BaseDirectories::parse(text).is_err(), "{text}");
        }
        assert!(BaseDirectories::parse("/a,s3://b").unwrap_err().contains("one scheme"));
        assert!(BaseDirectories::parse("/a,gs://b").unwrap_err().contains("item 2"));
    }
}
