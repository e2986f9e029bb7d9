//! TLS on both listeners, as operators set it up and callers meet it; and TLS to the services that we call.

use std::{fs, sync::Arc};

use reqwest::{Certificate, Client, Identity, Version};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{
    Listener, Wire,
    actors::SEND,
    certificates::Certificates,
    eventually,
    process::{Service, command, run},
};

/// A directory with a data directory's name and one set of TLS files in it, that can be replaced.
struct Files {
    dir: TempDir,
}

impl Files {
    fn of(certificates: &Certificates) -> Self {
        let files = Self { dir: TempDir::new().unwrap() };
        files.replace(certificates);
        files
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn replace(&self, certificates: &Certificates) {
        for name in ["server.crt", "server.key", "ca.crt"] {
            fs::copy(certificates.file(name), self.path(name)).unwrap();
        }
    }

    /// Settings with TLS on both listeners, and client certificates on the internal one.
    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATA_DIR", self.path("data")),
            ("PUBLIC_TLS_CERT_FILE", self.path("server.crt")),
            ("PUBLIC_TLS_KEY_FILE", self.path("server.key")),
            ("INTERNAL_TLS_CERT_FILE", self.path("server.crt")),
            ("INTERNAL_TLS_KEY_FILE", self.path("server.key")),
            ("INTERNAL_TLS_CLIENT_CA_FILE", self.path("ca.crt")),
        ]
    }
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn start(settings: &[(&'static str, String)]) -> Service {
    let mut service = Service::start(&borrowed(settings)).await;
    for address in [&mut service.wire.public, &mut service.wire.internal] {
        *address = address.replace("http:", "https:");
    }
    service
}

/// A client that trusts `server`'s authority and shows the certificate that `own` has issued to it, new connections each.
fn client(server: &Certificates, own: Option<&Certificates>) -> Client {
    let authority = Certificate::from_pem(&fs::read(server.file("ca.crt")).unwrap()).unwrap();
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).tls_certs_only([authority]);
    let Some(own) = own else { return client.build().unwrap() };
    let pem = [fs::read(own.file("client.key")).unwrap(), fs::read(own.file("client.crt")).unwrap()].concat();
    client.identity(Identity::from_pem(&pem).unwrap()).build().unwrap()
}

async fn status(client: &Client, base: &str) -> Option<u16> {
    client.get(format!("{base}/healthz")).send().await.ok().map(|answer| answer.status().as_u16())
}

fn address(base: &str) -> String {
    base.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_served_over_tls_alone_and_the_internal_listener_knows_them_by_certificate() {
    let (ours, strangers) = (Certificates::make(), Certificates::make());
    let files = Files::of(&ours);
    let mut settings = files.settings();
    settings.push(("INTERNAL_HTTP_ADDR", "0.0.0.0:0".to_owned()));
    let mut service = start(&settings).await;
    service.wire.internal = service.wire.internal.replace("0.0.0.0", "127.0.0.1");
    let Wire { public, internal, .. } = &service.wire;

    let anybody = client(&ours, None);
    let answer = anybody.get(format!("{public}/healthz")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert!(answer.headers()["strict-transport-security"].to_str().unwrap().starts_with("max-age="));
    let authority = Certificate::from_pem(&fs::read(ours.file("ca.crt")).unwrap()).unwrap();
    let old = Client::builder().no_proxy().http1_only().tls_certs_only([authority]).build().unwrap();
    assert_eq!(status(&old, public).await, Some(200), "HTTP/1.1, too");

    assert_eq!(status(&client(&strangers, None), public).await, None, "another authority");
    let clear = Client::builder().no_proxy().build().unwrap();
    assert_eq!(status(&clear, &public.replace("https", "http")).await, None, "clear text");

    assert_eq!(status(&client(&ours, Some(&ours)), internal).await, Some(200));
    assert_eq!(status(&anybody, internal).await, None, "no certificate");
    assert_eq!(status(&client(&ours, Some(&strangers)), internal).await, None, "somebody else's certificate");

    let open = |line: &String| line.contains("is open to everybody");
    assert!(!service.lines().iter().any(open), "client certificates protect the internal listener");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_served_without_a_restart_and_bad_ones_are_not() {
    let (old, new) = (Certificates::make(), Certificates::make());
    let files = Files::of(&old);
    let service = start(&files.settings()).await;
    let Wire { public, internal, .. } = &service.wire;
    assert_eq!(status(&client(&old, None), public).await, Some(200));

    // A key that is not the certificate's, half a file, and no file.
    fs::copy(new.file("server.key"), files.path("server.key")).unwrap();
    eventually("a warning", async || warned(&service, 2)).await;
    fs::copy(old.file("server.key"), files.path("server.key")).unwrap();
    fs::write(files.path("server.crt"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    eventually("another warning", async || warned(&service, 4)).await;
    fs::remove_file(files.path("server.crt")).unwrap();
    eventually("a third warning", async || warned(&service, 6)).await;
    assert_eq!(status(&client(&old, None), public).await, Some(200));

    // Whoever asks from outside whether the service runs does not read the files at all.
    let mut asking = files.settings();
    asking.push(("PUBLIC_HTTP_ADDR", address(public)));
    assert!(run(&borrowed(&asking), &["healthcheck"]).status.success());
    assert!(!run(&borrowed(&asking), &["check-config"]).status.success());

    files.replace(&new);
    let (served, let_in) = (client(&new, None), client(&new, Some(&new)));
    eventually("the new certificate", async || status(&served, public).await.filter(|status| *status == 200))
        .await;
    eventually("the new authority", async || status(&let_in, internal).await.filter(|status| *status == 200))
        .await;
    assert_eq!(status(&client(&old, None), public).await, None, "the old certificate is gone");
    assert_eq!(status(&client(&new, Some(&old)), internal).await, None, "the old authority lets in nobody");
    let log = service.lines().join("\n");
    assert!(!log.contains("PRIVATE KEY"));
}

fn warned(service: &Service, times: usize) -> Option<()> {
    let lines = service.lines();
    let warnings = lines.iter().filter(|line| line.contains("new TLS files are not used"));
    (warnings.count() >= times).then_some(())
}

#[test]
fn bad_files_are_faults_at_the_start_that_name_their_setting() {
    let (ours, strangers) = (Certificates::make(), Certificates::make());
    let files = Files::of(&ours);
    let good = files.settings();
    assert!(run(&borrowed(&good), &["check-config"]).status.success());
    let other_key = strangers.file("server.key");
    let key = files.path("server.key");
    for (name, value) in [
        ("PUBLIC_TLS_CERT_FILE", "/nowhere/server.crt"),
        ("PUBLIC_TLS_CERT_FILE", key.as_str()),
        ("PUBLIC_TLS_KEY_FILE", "/nowhere/server.key"),
        ("PUBLIC_TLS_KEY_FILE", other_key.as_str()),
        ("INTERNAL_TLS_KEY_FILE", other_key.as_str()),
        ("INTERNAL_TLS_CLIENT_CA_FILE", key.as_str()),
        ("INTERNAL_TLS_CERT_FILE", ""),
        ("PUBLIC_TLS_KEY_FILE", ""),
    ] {
        let settings: Vec<_> = borrowed(&good).into_iter().filter(|(other, _)| *other != name).collect();
        for arguments in [&["check-config"][..], &[]] {
            let output = run(&[&settings[..], &[(name, value)]].concat(), arguments);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}={value}: {errors}");
            assert!(errors.contains(&format!("AUTHSESSION_{name}")), "{name}={value}: {errors}");
            assert!(!errors.contains("PRIVATE"), "{errors}");
        }
    }
}

/// A certificate of the year 2020 and its key, the key encrypted, too.
const OF_2020: &str = r"
set -e
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out old.key
openssl pkey -in old.key -aes256 -passout pass:hunter2 -out old.encrypted
openssl req -new -key old.key -subj /CN=old -out old.csr
: >index.txt
echo 01 >serial
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n' >ca.cnf
printf 'x509_extensions=x\n[p]\ncommonName=supplied\n[x]\nbasicConstraints=CA:FALSE\n' >>ca.cnf
openssl ca -batch -config ca.cnf -selfsign -keyfile old.key -in old.csr -out old.crt -notext \
    -startdate 20200101000000Z -enddate 20210101000000Z
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_out_of_its_time_is_warned_of_and_a_key_that_is_encrypted_is_named_so() {
    let dir = TempDir::new().unwrap();
    let made =
        std::process::Command::new("sh").args(["-c", OF_2020]).current_dir(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (data, certificate, key, encrypted) =
        (path("data"), path("old.crt"), path("old.key"), path("old.encrypted"));
    let start = [("DATA_DIR", data.as_str()), ("PUBLIC_TLS_CERT_FILE", &certificate)];
    let settings = [&start[..], &[("PUBLIC_TLS_KEY_FILE", &key)]].concat();
    let warning = "AUTHSESSION_PUBLIC_TLS_CERT_FILE holds a certificate that expired at 2021-01-01T00:00:00Z";
    let output = run(&settings, &["check-config"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains(&format!("warning: {warning}\n")), "{told}");
    let service = Service::start(&settings).await;
    assert!(service.records().iter().any(|record| record["message"] == warning), "{:?}", service.lines());

    let output = run(&[&start[..], &[("PUBLIC_TLS_KEY_FILE", &encrypted)]].concat(), &["check-config"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("AUTHSESSION_PUBLIC_TLS_KEY_FILE") && told.contains("is encrypted"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_comes_before_the_handshake_and_healthcheck_speaks_both() {
    let ours = Certificates::make();
    let files = Files::of(&ours);
    let mut settings = files.settings();
    settings.push(("PUBLIC_PROXY_PROTOCOL", "true".to_owned()));
    settings.push(("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()));
    let mut service = start(&settings).await;
    let public = address(&service.wire.public);

    let pem = fs::read(ours.file("ca.crt")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = TcpStream::connect(&public).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\n").await.unwrap();
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    settings.push(("PUBLIC_HTTP_ADDR", public));
    assert!(run(&borrowed(&settings), &["healthcheck"]).status.success());
    assert!(run(&borrowed(&settings), &["healthcheck", "--ready"]).status.success());
    service.kill();
    assert_eq!(run(&borrowed(&settings), &["healthcheck"]).status.code(), Some(1));
}

/// A mail service with a certificate from `certificates`, that takes every letter. Tells how many came.
async fn mail_service(certificates: &Certificates) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_file(certificates.file("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.file("server.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let letters = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = letters.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"}") && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            }
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = json!({ "outcome": "sent" }).to_string();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            let _ = stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, letters)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_we_call_is_trusted_by_its_certificate_only() {
    let (theirs, strangers) = (Certificates::make(), Certificates::make());
    let (url, letters) = mail_service(&theirs).await;
    let other_name = url.replace("localhost", "127.0.0.2");
    for (url, authority, trusted) in [
        (&url, Some(&theirs), true),
        (&url, Some(&strangers), false),
        (&url, None, false),
        (&other_name, Some(&theirs), false),
    ] {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data").display().to_string();
        let mut command = command(&[
            ("PUBLIC_HTTP_ADDR", "127.0.0.1:0"),
            ("INTERNAL_HTTP_ADDR", "127.0.0.1:0"),
            ("DATA_DIR", &data),
            ("MAIL_SERVICE_MODE", "rest"),
            ("MAIL_SERVICE_BASE_URL", url),
            ("MAIL_SERVICE_REQUEST_TIMEOUT", "10s"),
        ]);
        if let Some(authority) = authority {
            // Where the system's certificates are.
            command.env("SSL_CERT_FILE", authority.file("ca.crt"));
        }
        let service = Service::of(command).await;
        let before = letters.load(std::sync::atomic::Ordering::SeqCst);
        let body = json!({ "email": "pilot@example.com" });
        let answer = service.wire.post(Listener::Public, SEND, &body).await;
        let came = letters.load(std::sync::atomic::Ordering::SeqCst) - before;
        if trusted {
            answer.ok();
            assert_eq!(came, 1);
        } else {
            answer.unavailable();
            assert_eq!(came, 0, "{:?}", service.lines());
        }
    }
}
