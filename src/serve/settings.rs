//! What an operator may choose about how connections come in.

use std::{path::PathBuf, sync::Arc};

use ipnet::IpNet;

use super::tls::{TlsFault, TlsFiles};
use crate::{
    base::{Timestamp, chain, settings::Reader},
    http,
};

/// How connections come in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// To client apps.
    pub public: Entrance,
    /// To gateways and admin services.
    pub internal: Entrance,
}

/// How connections come in to one listener.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// TLS; nothing: clear text.
    pub tls: Option<TlsFiles>,
    /// Who has to say in the PROXY protocol whom a connection comes from. Everybody else says nothing of the kind.
    pub announcing: Arc<[IpNet]>,
    variables: Variables,
}

#[derive(Clone, Copy, Debug)]
struct Variables {
    certificate: &'static str,
    key: &'static str,
    client_ca: Option<&'static str>,
}

impl Settings {
    /// Reads them, and no file: see [`Self::check`].
    pub fn read(reader: &mut Reader, http: &http::Settings) -> Self {
        let public = Variables {
            certificate: "AUTHSESSION_PUBLIC_TLS_CERT_FILE",
            key: "AUTHSESSION_PUBLIC_TLS_KEY_FILE",
            client_ca: None,
        };
        let internal = Variables {
            certificate: "AUTHSESSION_INTERNAL_TLS_CERT_FILE",
            key: "AUTHSESSION_INTERNAL_TLS_KEY_FILE",
            client_ca: Some("AUTHSESSION_INTERNAL_TLS_CLIENT_CA_FILE"),
        };
        let proxies = &http.trusted_proxies;
        let announced = reader.flag("AUTHSESSION_PUBLIC_PROXY_PROTOCOL", false);
        if announced && proxies.is_empty() {
            reader.fault(
                "AUTHSESSION_PUBLIC_PROXY_PROTOCOL takes true only where AUTHSESSION_TRUSTED_PROXIES says who speaks it",
            );
        }
        let nobody = Arc::<[IpNet]>::from([]);
        Self {
            public: Entrance::read(reader, public, if announced { proxies.clone() } else { nobody.clone() }),
            internal: Entrance::read(reader, internal, nobody),
        }
    }

    /// Adds a fault for every file that could not be served with now. Apart from reading the settings, since who only asks
    /// the running service needs none of them, and must not say that it is ill because a file will be at its next start.
    pub fn check(&self, reader: &mut Reader) {
        for entrance in [&self.public, &self.internal] {
            entrance.check(reader);
        }
    }

    /// What an operator should know about the files at `now`, though they can be served with.
    pub(crate) fn warnings(&self, now: Timestamp) -> impl Iterator<Item = String> {
        [&self.public, &self.internal].into_iter().filter_map(move |entrance| {
            let fault = entrance.tls.as_ref()?.untimely(now)?;
            Some(format!("{} holds a certificate that {fault}", entrance.variables.certificate))
        })
    }
}

impl Entrance {
    fn read(reader: &mut Reader, variables: Variables, announcing: Arc<[IpNet]>) -> Self {
        let mut path = |name| reader.optional(name, "the path of a file", |path| Some(PathBuf::from(path)));
        let (certificate, key) = (path(variables.certificate), path(variables.key));
        let client_ca = variables.client_ca.and_then(path);
        let Variables { certificate: first, key: second, .. } = variables;
        let wants_tls = certificate.is_some() || key.is_some() || client_ca.is_some();
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca }),
            (Some(_), None) | (None, Some(_) | None) => None,
        };
        if wants_tls && tls.is_none() {
            let third =
                variables.client_ca.map(|name| format!(", and {name} needs both")).unwrap_or_default();
            reader.fault(format!("{first} and {second} belong together{third}"));
        }
        Self { tls, announcing, variables }
    }

    fn check(&self, reader: &mut Reader) {
        let Some(fault) = self.tls.as_ref().and_then(|files| files.check().err()) else { return };
        let (name, takes) = match fault {
            TlsFault::Certificate(_) => (self.variables.certificate, "a readable certificate in PEM form"),
            TlsFault::Key(_) => {
                (self.variables.key, "the certificate's private key, readable and in PEM form")
            }
            TlsFault::ClientCa(_) => (
                self.variables.client_ca.unwrap_or_default(),
                "readable authorities' certificates in PEM form",
            ),
        };
        reader.fault(format!("{name} takes {takes} ({})", chain(&fault)));
    }
}
