//! TLS to Redis: whom to trust, and who we are.

use std::path::Path;

use redis::{Client, ClientTlsConfig, TlsCertificates};

use crate::base::{Secret, settings::Reader, small_file};

/// Certificates as they stand in their files. Without any, those that the system trusts are trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Secret)>,
}

impl Tls {
    /// Reads `AUTHSESSION_REDIS_TLS_*` and the files that they name: a wrong one stops the start.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let read = |path: &str| small_file::read(Path::new(path), small_file::CERTIFICATES).ok();
        let mut file = |name, takes: &str| reader.optional(name, takes, read);
        let ca =
            file("AUTHSESSION_REDIS_TLS_CA_FILE", "the path of a readable file of certificates in PEM form");
        let certificate =
            file("AUTHSESSION_REDIS_TLS_CERT_FILE", "the path of a readable certificate in PEM form");
        let key = file("AUTHSESSION_REDIS_TLS_KEY_FILE", "the path of a readable private key in PEM form");
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, Secret::new(key))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                reader.fault(
                    "AUTHSESSION_REDIS_TLS_CERT_FILE and AUTHSESSION_REDIS_TLS_KEY_FILE belong together: \
                     the other one is missing or bad",
                );
                None
            }
        };
        let tls = Self { ca, identity };
        tls.check(reader);
        tls
    }

    /// Whether the operator has said anything about TLS.
    pub(super) const fn is_set(&self) -> bool {
        self.ca.is_some() || self.identity.is_some()
    }

    /// As the client library wants it. Holds the private key in the clear: made where a connection is.
    pub(super) fn certificates(&self) -> TlsCertificates {
        let client_tls = self.identity.as_ref().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().to_vec(),
        });
        TlsCertificates { client_tls, root_cert: self.ca.clone() }
    }

    fn check(&self, reader: &mut Reader) {
        if !self.is_set() {
            return;
        }
        let unreadable = |client_tls, root_cert| {
            Client::build_with_tls("rediss://check", TlsCertificates { client_tls, root_cert }).is_err()
        };
        let TlsCertificates { client_tls, root_cert } = self.certificates();
        let names_nobody =
            root_cert.as_ref().is_some_and(|pem| !contains(pem, b"-----BEGIN CERTIFICATE-----"));
        if names_nobody || unreadable(None, root_cert) {
            reader.fault("AUTHSESSION_REDIS_TLS_CA_FILE takes a file of certificates in PEM form");
        }
        if unreadable(client_tls, None) {
            reader.fault(
                "AUTHSESSION_REDIS_TLS_CERT_FILE and AUTHSESSION_REDIS_TLS_KEY_FILE take a certificate and its \
                 private key in PEM form",
            );
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
