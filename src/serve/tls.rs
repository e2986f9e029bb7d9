//! TLS of one listener. The files are read at the start and looked at again every second while the service runs, so that
//! whoever renews certificates needs to tell nobody. Files that do not fit together are left alone: what was served before
//! is served on, with a warning.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::certificate::{certificates, private_key, untimely};
use crate::{
    base::{Secret, Timestamp, chain, small_file, use_ring},
    http::{Stop, Task},
};

/// How soon new files are noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the certificates of one listener are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Our certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whoever issued our clients' certificates. Set: a client without one is turned away.
    pub client_ca: Option<PathBuf>,
}

/// Which file is unusable, and why. Never what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("the certificate file cannot be used")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the key file cannot be used, or is not the certificate's")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the file of client authorities cannot be used")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is in the files.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Secret,
    client_ca: Option<Vec<u8>>,
}

/// TLS as it is served now.
pub(super) struct Tls {
    name: &'static str,
    files: TlsFiles,
    served: RwLock<(Contents, TlsAcceptor)>,
}

impl TlsFiles {
    /// Whether a listener could serve with them as they are now.
    pub(super) fn check(&self) -> Result<(), TlsFault> {
        self.read()?.server().map(drop)
    }

    /// What is wrong with the time of our certificates at `now`, as in "a certificate that …". Served all the same: it is
    /// for the clients to refuse, and a clock that is wrong must not keep a service from starting.
    pub(super) fn untimely(&self, now: Timestamp) -> Option<String> {
        let chain = certificates(&self.read().ok()?.certificate).ok()?;
        chain.iter().find_map(|certificate| untimely(certificate, now))
    }

    fn read(&self) -> Result<Contents, TlsFault> {
        let file = |path: &PathBuf| small_file::read(path, small_file::CERTIFICATES).map_err(Into::into);
        Ok(Contents {
            certificate: file(&self.certificate).map_err(TlsFault::Certificate)?,
            key: file(&self.key).map(Secret::new).map_err(TlsFault::Key)?,
            client_ca: self.client_ca.as_ref().map(file).transpose().map_err(TlsFault::ClientCa)?,
        })
    }
}

impl Contents {
    fn server(&self) -> Result<Arc<ServerConfig>, TlsFault> {
        use_ring();
        let chain = certificates(&self.certificate).map_err(|fault| TlsFault::Certificate(fault.into()))?;
        let key = private_key(self.key.expose()).map_err(|fault| TlsFault::Key(fault.into()))?;
        let clients = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(pem).map_err(|fault| TlsFault::ClientCa(fault.into()))? {
                    roots.add(root).map_err(|error| TlsFault::ClientCa(error.into()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                verifier.map_err(|error| TlsFault::ClientCa(error.into()))?
            }
        };
        let server = ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key);
        let mut server = server.map_err(|error| {
            let of_certificate = matches!(error, rustls::Error::InvalidCertificate(_));
            if of_certificate { TlsFault::Certificate(error.into()) } else { TlsFault::Key(error.into()) }
        })?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }
}

impl Tls {
    /// TLS for the listener called `name`.
    pub(super) fn open(name: &'static str, files: TlsFiles) -> Result<Arc<Self>, TlsFault> {
        let contents = files.read()?;
        let acceptor = TlsAcceptor::from(contents.server()?);
        Ok(Arc::new(Self { name, files, served: RwLock::new((contents, acceptor)) }))
    }

    /// For one handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.served.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The work of noticing new files.
    pub(super) fn watcher(self: &Arc<Self>) -> Task {
        let tls = self.clone();
        Task::new("serve.certificates", |stop| async move { tls.watch(stop).await })
    }

    async fn watch(self: Arc<Self>, stop: Stop) {
        let mut complained_of = None;
        let mut seen_before = None;
        while stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            let tls = self.clone();
            // A file system that hangs holds up a thread of its own, and no request.
            let Ok(looked) = spawn_blocking(move || tls.look()).await else { continue };
            let fault = looked.err().map(|fault| chain(&fault));
            // Files are replaced one after the other: what is wrong once may be right a moment later.
            if fault.is_some() && fault == seen_before && fault != complained_of {
                let cause = fault.as_deref().unwrap_or_default();
                warn!(listener = self.name, cause, "new TLS files are not used: the old ones are served on");
                complained_of.clone_from(&fault);
            }
            if fault.is_none() {
                complained_of = None;
            }
            seen_before = fault;
        }
    }

    /// Serves what is in the files from now on, where that has changed. Connections that are open stay as they are.
    fn look(&self) -> Result<(), TlsFault> {
        let contents = self.files.read()?;
        if self.served.read().unwrap_or_else(PoisonError::into_inner).0 == contents {
            return Ok(());
        }
        // A server of its own for its memory of sessions, too: nobody resumes what the old authorities had let in.
        let acceptor = TlsAcceptor::from(contents.server()?);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = (contents, acceptor);
        info!(listener = self.name, "new TLS files are served");
        Ok(())
    }
}
