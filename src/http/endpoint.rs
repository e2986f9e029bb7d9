//! Where a service that we depend on is, and how long it may take.

use std::time::Duration;

use crate::base::{BaseUrl, settings::Reader};

/// A service reached over REST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub base_url: BaseUrl,
    /// How long one call may take, its retry included.
    pub request_timeout: Duration,
}

/// The names of the variables that say whether a service is a built-in stub or an [`Endpoint`], and which.
#[derive(Clone, Copy, Debug)]
pub struct EndpointVariables {
    /// `stub` or `rest`.
    pub mode: &'static str,
    /// Demanded in mode `rest` only, but checked in both.
    pub base_url: &'static str,
    /// A duration.
    pub request_timeout: &'static str,
}

impl Endpoint {
    /// The endpoint that `variables` describe; nothing in mode `stub`.
    pub fn read(reader: &mut Reader, variables: EndpointVariables) -> Option<Self> {
        let rest = reader.choice(variables.mode, false, &[("stub", false), ("rest", true)]);
        let takes = "an http:// or https:// address without credentials, query or fragment, such as \
                     http://127.0.0.1:8091";
        let mut set = false;
        let base_url = reader.optional(variables.base_url, takes, |text| {
            set = true;
            BaseUrl::parse(text)
        });
        let (default, longest) = (Duration::from_secs(1), Duration::from_mins(1));
        let request_timeout = reader.duration(variables.request_timeout, default, longest);
        if rest && !set {
            reader.fault(format!(
                "{} is missing: with {}=rest it takes {takes}",
                variables.base_url, variables.mode
            ));
        }
        base_url.filter(|_| rest).map(|base_url| Self { base_url, request_timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<Endpoint>, Vec<String>) {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut reader = Reader::new(owned);
        let names = EndpointVariables { mode: "MODE", base_url: "URL", request_timeout: "TIMEOUT" };
        let endpoint = Endpoint::read(&mut reader, names);
        (endpoint, reader.finish().map_or_else(|faults| faults.0, |()| Vec::new()))
    }

    #[test]
    fn an_address_is_demanded_in_mode_rest_and_checked_in_both() {
        let url = ("URL", "http://h/prefix");
        let (endpoint, faults) = read(&[("MODE", "rest"), url, ("TIMEOUT", "250ms")]);
        assert_eq!(endpoint.unwrap().request_timeout, Duration::from_millis(250));
        assert!(faults.is_empty());
        assert_eq!(read(&[]), (None, vec![]));
        assert_eq!(read(&[("MODE", "stub"), url]), (None, vec![]), "kept for the day the mode changes");

        let takes = "an http:// or https:// address without credentials, query or fragment, such as \
                     http://127.0.0.1:8091";
        let missing = format!("URL is missing: with MODE=rest it takes {takes}");
        assert_eq!(read(&[("MODE", "rest")]), (None, vec![missing]));
        for mode in ["stub", "rest"] {
            assert_eq!(read(&[("MODE", mode), ("URL", "h:80")]), (None, vec![format!("URL takes {takes}")]));
        }
    }
}
