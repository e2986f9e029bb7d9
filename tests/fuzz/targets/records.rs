//! A store whose records of one kind are damaged, or of another release: every operation answers, if need be that the
//! service is unavailable.

use std::cell::OnceCell;

use authsession::{gateway::GatewayRecord, session::Announcement};
use serde_json::json;

use super::service::{CONFIRM, Inhabited, Listener, SEND, Service};

/// The first byte says which kind of record the others take the place of.
pub const KINDS: [&str; 10] = ["keys", "c:", "l:", "m:", "u:", "a:", "r:", "b:", "j", "log"];

thread_local! {
    static INHABITED: OnceCell<Inhabited> = const { OnceCell::new() };
}

/// A sound record of each kind, as a corpus file holds it: what this release writes.
pub fn sound_records() -> Vec<(&'static str, Vec<u8>)> {
    let content = Inhabited::new().content;
    let sound = |(at, kind): (u8, &&'static str)| {
        let bytes = content.sample(kind)?;
        Some((*kind, [&[at], &bytes[..]].concat()))
    };
    (0..).zip(KINDS.iter()).filter_map(sound).collect()
}

/// Damages every record of a kind, then does everything.
pub fn stored_records(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let _ = (Announcement::read(bytes), GatewayRecord::render(bytes));
    INHABITED.with(|inhabited| {
        let inhabited = inhabited.get_or_init(Inhabited::new);
        let mut content = inhabited.content.clone();
        content.damage(kind, bytes);
        everything(&Service::over(content), inhabited);
    });
}

/// Each operation once, and those that find a used and a fresh challenge twice. That each answer is in shape and no
/// fault of ours, `Service::ask` sees to.
fn everything(service: &Service, inhabited: &Inhabited) {
    let reason = json!({ "reason_code": "r", "actor": { "type": "admin", "id": "1" } });
    for email in ["pilot@example.com", "blocked@example.com", "new@example.com"] {
        // Waits where the record says that a mail is on its way.
        service.post_in_passing(Listener::Public, SEND, &json!({ "email": email }));
    }
    for (challenge, code) in [(&inhabited.open, &inhabited.codes[0]), (&inhabited.used, &inhabited.codes[1])]
    {
        for code in ["000000", code] {
            let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": inhabited.key });
            service.post(Listener::Public, CONFIRM, &body);
        }
    }
    for session in [&inhabited.active, &inhabited.revoked] {
        let path = format!("/api/v1/internal/sessions/{session}");
        service.get(&path);
        service.post(Listener::Internal, &format!("{path}/revoke"), &reason);
    }
    let path = format!("/api/v1/internal/users/{}/sessions", inhabited.user);
    service.get(&path);
    service.get("/api/v1/internal/session-events");
    service.post(Listener::Internal, &format!("{path}/revoke-all"), &reason);
    let mut block = reason;
    block["user_id"] = json!(inhabited.user);
    service.post(Listener::Internal, "/api/v1/internal/user-blocks", &block);
}
