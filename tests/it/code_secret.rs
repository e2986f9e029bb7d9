//! Replacing the secret under which codes are hashed, and secrets in files: codes in the mail survive the one, and
//! nobody is told the other.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    App, Device, Listener, Setup, Store, Visitor,
    actors::{CONFIRM, SEND, challenge_of, session_of},
    app::Running,
    process::{Service, run},
};

const OLD: &str = "the-old-secret-of-more-than-32-bytes";
const NEW: &str = "the-new-secret-of-more-than-32-bytes";

/// Asks one replica for a code and hands it in at another; the error's code, empty for a success.
async fn across(app: &App, from: &Running, to: &Running, email: &str) -> String {
    let (challenge, code) = Visitor::new(&from.wire, &app.mail, email).code().await;
    Visitor::new(&to.wire, &app.mail, email).confirm(&challenge, &code, &Device::new()).await.code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_replace_their_secret_one_by_one() {
    let app = Setup::on(Store::Redis).set("CODE_SECRET", OLD).start().await;
    let old = app.replica().await;
    let knows_both = app.replica_with(&[("CODE_SECRET_PREVIOUS", NEW)]).await;
    let swapped = app.replica_with(&[("CODE_SECRET", NEW), ("CODE_SECRET_PREVIOUS", OLD)]).await;
    let new = app.replica_with(&[("CODE_SECRET", NEW)]).await;
    for (at, (from, to)) in [
        (&old, &knows_both),
        (&knows_both, &old),
        (&knows_both, &swapped),
        (&swapped, &knows_both),
        (&swapped, &new),
        (&new, &swapped),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(across(&app, from, to, &format!("pilot{at}@example.com")).await, "", "step {at}");
    }
    assert_eq!(across(&app, &old, &new, "late@example.com").await, "invalid_code");
    assert_eq!(across(&app, &new, &old, "early@example.com").await, "invalid_code");
}

/// A wrong code stays wrong, and counts once, however many secrets it is held against.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_code_counts_once_under_two_secrets() {
    let app =
        Setup::on(Store::Embedded).set("CODE_SECRET", NEW).set("CODE_SECRET_PREVIOUS", OLD).start().await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 4).await;
    session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
}

/// One life of a process on the data in `dir`, with these secrets in files.
async fn life(dir: &Path, current: &str, previous: Option<&str>) -> Service {
    let place = |name: &str| dir.join(name).display().to_string();
    let (data, first, second) = (place("data"), place("current"), place("previous"));
    fs::write(&first, format!("{current}\n")).unwrap();
    let mut settings = vec![("DATA_DIR", data.as_str()), ("CODE_SECRET_FILE", &first)];
    if let Some(previous) = previous {
        fs::write(&second, previous).unwrap();
        settings.push(("CODE_SECRET_PREVIOUS_FILE", &second));
    }
    Service::start(&settings).await
}

async fn mailed(service: &Service, email: &str) -> (String, String) {
    let body = json!({ "email": email });
    let challenge = challenge_of(&service.wire.post(Listener::Public, SEND, &body).await);
    let code = service.code_for(&challenge).await;
    (challenge, code)
}

async fn handed_in(service: &Service, (challenge, code): &(String, String)) -> String {
    let key = Device::new().key();
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    service.wire.post(Listener::Public, CONFIRM, &body).await.code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_after_another_takes_its_secrets_from_files() {
    let dir = TempDir::new().unwrap();
    let mut service = life(dir.path(), OLD, None).await;
    let (first, spoilt) = (mailed(&service, "a@example.com").await, mailed(&service, "b@example.com").await);
    service.kill();
    let mut service = life(dir.path(), NEW, Some(OLD)).await;
    assert_eq!(handed_in(&service, &first).await, "");
    let second = mailed(&service, "c@example.com").await;
    service.kill();
    let service = life(dir.path(), NEW, None).await;
    assert_eq!(handed_in(&service, &second).await, "");
    assert_eq!(handed_in(&service, &spoilt).await, "invalid_code");
    let told = service.lines().join("\n");
    assert!(!told.contains(OLD) && !told.contains(NEW), "{told}");
}

#[test]
fn what_a_file_holds_is_not_shown() {
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, OLD).unwrap();
    let path = secret.display().to_string();
    let output = run(
        &[("CODE_SECRET_FILE", &path), ("DATA_DIR", &dir.path().display().to_string())],
        &["check-config"],
    );
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("AUTHSESSION_CODE_SECRET_FILE={path}\n")), "{told}");
    assert!(told.contains("AUTHSESSION_CODE_SECRET=(from file)\n") && !told.contains(OLD), "{told}");
    assert!(!told.contains("AUTHSESSION_CODE_SECRET is not set"), "no warning: there is a secret\n{told}");
    let output = run(&[("CODE_SECRET_FILE", &path), ("CODE_SECRET", NEW)], &["check-config"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("AUTHSESSION_CODE_SECRET and AUTHSESSION_CODE_SECRET_FILE"), "{told}");
    assert!(!told.contains(OLD) && !told.contains(NEW), "{told}");
}
