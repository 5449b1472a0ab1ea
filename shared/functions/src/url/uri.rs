//! The parts of a URI, by the rules of Java's `java.net.URI` (RFC 2396 with more characters).

/// A URI's parts, as they are written. What is not there is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uri<'a> {
    pub scheme: Option<&'a str>,
    pub host: Option<&'a str>,
    pub port: Option<u32>,
    pub path: Option<&'a str>,
    pub query: Option<&'a str>,
    pub fragment: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Divides a text; nothing if it is no URI.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut uri = Self::default();
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (text, None),
        };
        uri.fragment = fragment;
        fragment.is_none_or(|fragment| legal(fragment, ANYWHERE)).then_some(())?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let rest = match rest[..end].split_once(':') {
            Some((scheme, _)) => {
                is_scheme(scheme).then_some(())?;
                uri.scheme = Some(scheme);
                &rest[scheme.len() + 1..]
            }
            None => rest,
        };
        if uri.scheme.is_some() && !rest.starts_with('/') {
            // `mailto:…` has no parts, and may not be empty.
            let fits = !rest.is_empty() && legal(rest, ANYWHERE);
            return fits.then_some(uri);
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        uri.query = query;
        query.is_none_or(|query| legal(query, ANYWHERE)).then_some(())?;
        let path = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at(end);
                if authority.is_empty() {
                    // Nothing but slashes needs a path behind them.
                    (!path.is_empty()).then_some(())?;
                } else {
                    uri.authority(authority)?;
                }
                path
            }
            None => rest,
        };
        legal(path, PATH).then_some(())?;
        uri.path = Some(path);
        Some(uri)
    }

    /// `user@host:port`. What is none of a server is still an authority, without host and port.
    fn authority(&mut self, authority: &'a str) -> Option<()> {
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        if let Some((host, port)) = server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
            let port = match port.strip_prefix(':') {
                Some(port) => port,
                None if port.is_empty() => "",
                None => return None,
            };
            is_address.then_some(())?;
            self.host = Some(&server[..host.len() + 2]);
            self.port = number(port)?;
            return Some(());
        }
        let (host, port) = server.split_once(':').unwrap_or((server, ""));
        if is_host(host) && port.bytes().all(|byte| byte.is_ascii_digit()) {
            self.host = Some(host);
            self.port = number(port)?;
            return Some(());
        }
        legal(authority, AUTHORITY).then_some(())
    }
}

/// No digits are no port; too many are no URI.
fn number(port: &str) -> Option<Option<u32>> {
    if port.is_empty() {
        return Some(None);
    }
    port.parse::<u32>().ok().filter(|port| *port <= i32::MAX as u32).map(Some)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// A name of labels, the last of which begins with a letter, or four numbers.
fn is_host(host: &str) -> bool {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    labels.split('.').all(is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Signs that may stand in a part beside letters and digits.
const PATH: &str = "_-!.~'()*:@&=+$,;/";
const AUTHORITY: &str = "_-!.~'()*$,;:@&=+[]";
const ANYWHERE: &str = "_-!.~'()*,;:$&+=?/[]@";

fn legal(text: &str, signs: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let fits = match c {
            '%' => {
                let is_hex = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit());
                is_hex(rest.next()) && is_hex(rest.next())
            }
            c if c.is_ascii() => c.is_ascii_alphanumeric() || signs.contains(c),
            c => !c.is_control() && !c.is_whitespace(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// With its percent signs decoded. They are known to be well formed.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match byte {
            b'%' => {
                let (high, low) = (digit().unwrap_or(0), digit().unwrap_or(0));
                bytes.push((high * 16 + low) as u8);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_divided_as_java_does() {
        let uri = Uri::parse("http://u:p@Example.com:8080/a%20b/c?k=v&x#top").unwrap();
        let expected = Uri {
            scheme: Some("http"),
            host: Some("Example.com"),
            port: Some(8080),
            path: Some("/a%20b/c"),
            query: Some("k=v&x"),
            fragment: Some("top"),
        };
        assert_eq!(uri, expected);
        let host = |text| Uri::parse(text).unwrap().host;
        assert_eq!(host("http://my_host/x"), None);
        assert_eq!(host("http://[::1]:80/"), Some("[::1]"));
        assert_eq!(host("mailto:a@example.com"), None);
        assert_eq!(Uri::parse("a/b").unwrap().path, Some("a/b"));
        assert_eq!(Uri::parse("http://h:/").unwrap().port, None);
        for text in ["http://h/a b", "http://h/%zz", "1http://h", "http:", "http://h/<x>", "a|b"] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
