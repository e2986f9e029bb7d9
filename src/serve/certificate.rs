//! What files in PEM form hold: certificates, a private key, until when. Every fault is a sentence; none shows what is in
//! the file.

use std::time::Duration;

use rustls::{
    CertificateError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};

use crate::base::Timestamp;

/// Why a file in PEM form is no use. The library's own words are lists of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum PemFault {
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("there is no private key in it")]
    NoKey,
    #[error("the private key is encrypted, and nobody is there to type its passphrase: store it without one")]
    EncryptedKey,
    #[error("it is cut off, or damaged: a section that begins does not end")]
    CutOff,
    #[error("it is damaged: it is not base64 between BEGIN and END")]
    Damaged,
}

impl PemFault {
    fn of(error: &pem::Error, nothing: Self) -> Self {
        match error {
            pem::Error::NoItemsFound => nothing,
            pem::Error::MissingSectionEnd { .. } => Self::CutOff,
            pem::Error::IllegalSectionStart { .. } | pem::Error::Base64Decode(_) | _ => Self::Damaged,
        }
    }
}

/// At least one certificate.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| PemFault::of(&error, PemFault::NoCertificate))?;
    if found.is_empty() { Err(PemFault::NoCertificate) } else { Ok(found) }
}

/// The first private key.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemFault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // In both forms: PKCS #8 has it in the section's name, the older ones in a header.
        let encrypted = pem.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED");
        if encrypted { PemFault::EncryptedKey } else { PemFault::of(&error, PemFault::NoKey) }
    })
}

/// What is wrong with the time of `certificate` at `now`, as in "a certificate that …".
pub(super) fn untimely(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.as_ms()));
    // Nobody is trusted here, so this always fails: the time is what it looks at first, and the only thing of interest.
    let nobody = RootCertStore::empty();
    let fault = verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], now, &[]).err()?;
    let rustls::Error::InvalidCertificate(fault) = fault else { return None };
    let told = |time: UnixTime| Timestamp::from_ms(time.as_secs().saturating_mul(1000));
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => Some(format!("expired at {}", told(not_after))),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("is not valid before {}", told(not_before)))
        }
        CertificateError::BadEncoding | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Valid from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z; made with `openssl ca -selfsign -startdate … -enddate …`.
    const OF_2020: &[u8] = include_bytes!("tests/of-2020.crt");

    #[test]
    fn a_certificate_is_good_for_its_time_only() {
        let chain = certificates(OF_2020).unwrap();
        let at = |seconds: u64| untimely(&chain[0], Timestamp::from_ms(seconds * 1000));
        let (first, last) = (1_577_836_800, 1_609_459_200);
        assert_eq!(at(first - 1).unwrap(), "is not valid before 2020-01-01T00:00:00Z");
        assert_eq!((at(first), at(last - 1)), (None, None));
        assert_eq!(at(last + 1).unwrap(), "expired at 2021-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_words() {
        let cut = &OF_2020[..OF_2020.len() - 30];
        assert_eq!(certificates(cut), Err(PemFault::CutOff));
        assert_eq!(certificates(b""), Err(PemFault::NoCertificate));
        assert_eq!(private_key(OF_2020).unwrap_err(), PemFault::NoKey);
        let section =
            |name: &str, body: &str| format!("-----BEGIN {name}-----\n{body}\n-----END {name}-----\n");
        let new = section("ENCRYPTED PRIVATE KEY", "MIGj");
        let old = section("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIGj");
        for encrypted in [new, old] {
            assert_eq!(private_key(encrypted.as_bytes()).unwrap_err(), PemFault::EncryptedKey);
        }
        let noise = section("PRIVATE KEY", "not base64!");
        assert_eq!(private_key(noise.as_bytes()).unwrap_err(), PemFault::Damaged);
    }
}
