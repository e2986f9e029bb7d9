//! Where another service is.

use std::fmt;

use reqwest::Url;

/// Where a service is: `http://` or `https://`, perhaps with a path that its operations lie under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// An absolute address without credentials, query or fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        (matches!(url.scheme(), "http" | "https") && plain && anonymous).then_some(Self(url))
    }

    /// Whether it takes TLS to get there.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address of `path` below this one. Each segment is percent-encoded.
    #[must_use]
    pub fn join(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        // Cannot fail: http and https addresses have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_below_the_base_and_segments_are_encoded() {
        for (base, path, url) in [
            ("http://h", &["a", "b"][..], "http://h/a/b"),
            ("http://h/", &["a"], "http://h/a"),
            ("https://h:1/prefix", &["a"], "https://h:1/prefix/a"),
            ("https://h:1/prefix/", &["a", "x/y?z#%"], "https://h:1/prefix/a/x%2Fy%3Fz%23%25"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().join(path).as_str(), url, "{base}");
        }
    }

    #[test]
    fn only_plain_http_addresses_are_bases() {
        for wrong in [
            "",
            "h:80",
            "127.0.0.1:80",
            "/a",
            "ftp://h",
            "http://",
            "http://h?q",
            "http://h#f",
            "http://u:p@h",
        ] {
            assert_eq!(BaseUrl::parse(wrong), None, "{wrong}");
        }
    }
}
