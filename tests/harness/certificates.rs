//! A certificate authority of the test's own, made with the `openssl` command.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

/// A private authority, with a server's and a client's certificate.
pub(crate) struct Certificates {
    dir: TempDir,
}

const SCRIPT: &str = r"
set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
    -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt
for who in server client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$who -keyout $who.key -out $who.csr
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >$who.ext
    openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $who.ext -out $who.crt
done
";

impl Certificates {
    /// Makes them.
    pub(crate) fn make() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(dir.path()).output().expect("a shell");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { dir }
    }

    /// The file `ca.crt`, `server.crt`, `server.key`, `client.crt` or `client.key`.
    pub(crate) fn file(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}
