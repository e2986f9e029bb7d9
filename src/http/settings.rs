//! What an operator may choose about the two listeners.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use ipnet::IpNet;

use super::{ListenAddress, client_address::parse_network, cors};
use crate::base::{Secret, settings::Reader};

/// The listeners' settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where client apps are served.
    pub public: ListenAddress,
    /// Where gateways and admin services are served.
    pub internal: ListenAddress,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The web pages that may ask the public listener.
    pub cors_origins: Arc<[HeaderValue]>,
    /// Any one of these opens the internal listener; none: it is open.
    pub internal_tokens: Vec<Secret>,
    /// How long a drain may take before it is cut.
    pub shutdown_timeout: Duration,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader) -> Self {
        let mut address = |name, default: ListenAddress| {
            reader.declare_default(name, &default);
            reader.optional(name, ListenAddress::TAKES, ListenAddress::parse).unwrap_or(default)
        };
        let public = address("AUTHSESSION_PUBLIC_HTTP_ADDR", ListenAddress::on("", 8080));
        let internal = address("AUTHSESSION_INTERNAL_HTTP_ADDR", ListenAddress::on("127.0.0.1", 8081));
        if public == internal && public.port != 0 {
            reader.fault(
                "AUTHSESSION_PUBLIC_HTTP_ADDR and AUTHSESSION_INTERNAL_HTTP_ADDR take two different addresses",
            );
        }
        Self {
            public,
            internal,
            trusted_proxies: read_proxies(reader).into(),
            cors_origins: cors::read(reader),
            internal_tokens: read_tokens(reader),
            shutdown_timeout: reader.duration(
                "AUTHSESSION_SHUTDOWN_TIMEOUT",
                Duration::from_secs(10),
                Duration::from_hours(1),
            ),
        }
    }
}

impl Settings {
    /// What an operator should know about these settings, though they are valid.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let short = self.internal_tokens.iter().any(|token| token.expose().len() < SHORT_TOKEN);
        short.then_some(
            "AUTHSESSION_INTERNAL_AUTH_TOKENS has a token of fewer than 16 characters, which may be guessed",
        )
    }
}

fn read_proxies(reader: &mut Reader) -> Vec<IpNet> {
    let takes = "a comma-separated list of networks such as 10.0.0.0/8,2001:db8::/32";
    reader
        .optional("AUTHSESSION_TRUSTED_PROXIES", takes, |value| {
            value.split(',').map(|network| parse_network(network.trim())).collect()
        })
        .unwrap_or_default()
}

/// Shorter, and it is a mistake and no token: the start of something, or what another variable takes.
const SHORTEST_TOKEN: usize = 8;

/// Shorter, and it can be guessed, if it is a word: warned of.
const SHORT_TOKEN: usize = 16;

fn read_tokens(reader: &mut Reader) -> Vec<Secret> {
    let takes =
        "a comma-separated list of tokens, each of 8 or more visible ASCII characters, and not in quotes";
    reader
        .secret(
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "AUTHSESSION_INTERNAL_AUTH_TOKENS_FILE"),
            takes,
            |value| {
                let usable = |token: &str| {
                    token.len() >= SHORTEST_TOKEN
                        && token.bytes().all(|byte| byte.is_ascii_graphic())
                        // They would be part of the token, which is not what anybody means by them.
                        && !token.starts_with(['"', '\''])
                };
                let token = |token: &str| usable(token).then(|| Secret::new(token));
                value.split(',').map(|text| token(text.trim())).collect()
            },
        )
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::settings::Faults;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Faults> {
        let mut reader =
            Reader::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let settings = Settings::read(&mut reader);
        reader.finish().map(|()| settings)
    }

    #[test]
    fn nothing_set_is_the_contract_s_default() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.public.to_string(), ":8080");
        assert_eq!(settings.internal.to_string(), "127.0.0.1:8081");
        assert!(settings.trusted_proxies.is_empty() && settings.internal_tokens.is_empty());
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(10));
    }

    #[test]
    fn lists_are_split_at_commas() {
        let settings = read(&[
            ("AUTHSESSION_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.1"),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "a-token-of-16-at-least, token-two"),
        ])
        .unwrap();
        assert_eq!(settings.trusted_proxies.len(), 3);
        let tokens = ["a-token-of-16-at-least", "token-two"].map(Secret::new);
        assert_eq!(settings.internal_tokens, tokens);
        assert!(settings.warning().unwrap().contains("fewer than 16"), "token-two is short");
        let long = read(&[("AUTHSESSION_INTERNAL_AUTH_TOKENS", "a-token-of-16-at-least")]).unwrap();
        assert_eq!(long.warning(), None);
    }

    #[test]
    fn faults_name_the_variable_and_repeat_no_value() {
        for (name, value) in [
            ("AUTHSESSION_PUBLIC_HTTP_ADDR", "8080"),
            ("AUTHSESSION_TRUSTED_PROXIES", "10.0.0.0/8,"),
            ("AUTHSESSION_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "hunter2,,"),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "hunter2-hunter2 x"),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "a-token-of-16-at-least,hunter2"),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "\"hunter2-hunter2-hunter2\""),
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "'hunter2-hunter2-hunter2'"),
            ("AUTHSESSION_SHUTDOWN_TIMEOUT", "0s"),
            ("AUTHSESSION_PUBLIC_CORS_ORIGINS", "https://app.example.com,*"),
        ] {
            let faults = read(&[(name, value)]).unwrap_err().0;
            assert_eq!(faults.len(), 1, "{name}={value}");
            assert!(faults[0].starts_with(name) && !faults[0].contains("hunter2"), "{faults:?}");
        }
    }

    #[test]
    fn one_address_cannot_be_both_listeners() {
        let same = [("AUTHSESSION_PUBLIC_HTTP_ADDR", ":1"), ("AUTHSESSION_INTERNAL_HTTP_ADDR", ":1")];
        assert!(read(&same).is_err());
        let chosen = [("AUTHSESSION_PUBLIC_HTTP_ADDR", ":0"), ("AUTHSESSION_INTERNAL_HTTP_ADDR", ":0")];
        assert!(read(&chosen).is_ok());
    }
}
