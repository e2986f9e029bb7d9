//! Clients that race one another for a few users, on whichever process comes next, and note every call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use authsession::base::World;
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::Value;

use crate::{
    harness::{
        Answer, Device, Listener,
        actors::{text, wrong},
        contract,
    },
    history::{Act, Attempt, Call, Outcome, Said, Status},
    plan::{Deed, Step, USERS},
    requests::{request, statuses},
    stage::Stage,
};

/// Longer than any answer may take; a frozen process gives none.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a call is tried that has no answer.
const TRIES: u32 = 5;

/// The clients, and what they share.
pub struct Crew {
    pub stage: Arc<Stage>,
    pub stop: AtomicBool,
    calls: Mutex<Vec<Call>>,
    board: Mutex<Board>,
    reasons: AtomicUsize,
}

/// What everybody knows.
#[derive(Default)]
struct Board {
    /// How many have had each place before its user of today.
    before: [usize; USERS],
    opened: Vec<(String, String)>,
    attempts: Vec<Attempt>,
    users: BTreeMap<String, String>,
}

impl Crew {
    pub fn new(stage: Arc<Stage>) -> Arc<Self> {
        let (stop, calls, board) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        Arc::new(Self { stage, stop, calls, board, reasons: AtomicUsize::new(0) })
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The sessions that are known to have been opened, oldest first.
    pub fn opened(&self) -> Vec<String> {
        self.board.lock().unwrap().opened.iter().map(|(_, session)| session.clone()).collect()
    }

    /// One client: takes its steps until it is told to stop.
    pub async fn walk(&self, steps: impl Iterator<Item = Step>) {
        for Step { process, pause, deed } in steps {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(pause).await;
            self.act(process, deed).await;
        }
    }

    async fn act(&self, process: usize, deed: Deed) -> Option<()> {
        match deed {
            Deed::LogIn { user, keys, times, wrong_first } => {
                let email = self.email(user);
                self.log_in(process, &email, (keys, times, wrong_first)).await?;
            }
            Deed::ConfirmAgain { pick, same_key } => {
                let mut attempt = self.pick(pick, |board| &board.attempts)?;
                if !same_key {
                    attempt.key = Device::new().key();
                }
                self.confirm(process, attempt).await?;
            }
            Deed::Revoke { pick } => {
                let (_, session) = self.pick(pick, |board| &board.opened)?;
                self.revoke(process, &session).await;
            }
            Deed::RevokeAll { pick } => {
                let (email, session) = self.pick(pick, |board| &board.opened)?;
                let user = self.user_of(process, &email, &session).await?;
                self.revoke_all(process, &email, &user).await;
            }
            Deed::Block { pick, by_user } => {
                let (email, session) = self.pick(pick, |board| &board.opened)?;
                let user = if by_user { Some(self.user_of(process, &email, &session).await?) } else { None };
                self.block(process, &email, user).await;
                self.succeed(&email);
            }
            Deed::Look { pick } => {
                let (email, session) = self.pick(pick, |board| &board.opened)?;
                let user = self.user_of(process, &email, &session).await?;
                self.call(process, Act::List { email, user }).await;
            }
        }
        Some(())
    }

    /// A whole login with so many keys at once, each so many times: the first session that it ended in.
    pub async fn log_in(
        &self,
        process: usize,
        email: &str,
        (keys, times, wrong_first): (usize, usize, bool),
    ) -> Option<String> {
        let send = Act::Send { email: email.to_owned() };
        let Outcome::Acknowledged(Said::Challenge(challenge)) = self.insist(process, send).await else {
            return None;
        };
        let code = self.stage.mail.code_of(&challenge).or_else(|| self.stage.mail.code_for(email))?;
        let attempt = Attempt { email: email.to_owned(), challenge, code, key: String::new() };
        if wrong_first {
            let (code, key) = (wrong(&attempt.code), Device::new().key());
            self.confirm(process, Attempt { code, key, ..attempt.clone() }).await;
        }
        let attempts =
            (0..keys).flat_map(|_| vec![Attempt { key: Device::new().key(), ..attempt.clone() }; times]);
        let confirms = attempts.enumerate().map(|(at, attempt)| self.confirm(process + at, attempt));
        join_all(confirms).await.into_iter().flatten().next()
    }

    /// Hands in a code until there is an answer: the session.
    pub async fn confirm(&self, process: usize, attempt: Attempt) -> Option<String> {
        let outcome = self.insist(process, Act::Confirm(attempt.clone())).await;
        let Outcome::Acknowledged(Said::Session(session)) = outcome else { return None };
        self.note_opened(&attempt.email, &session);
        self.board.lock().unwrap().attempts.push(attempt);
        Some(session)
    }

    /// Lets everybody know of a session.
    pub fn note_opened(&self, email: &str, session: &str) {
        let mut board = self.board.lock().unwrap();
        if !board.opened.iter().any(|(_, known)| known == session) {
            board.opened.push((email.to_owned(), session.to_owned()));
        }
    }

    pub async fn revoke(&self, process: usize, session: &str) -> Outcome {
        let reason = self.reason();
        self.insist(process, Act::Revoke { session: session.to_owned(), reason }).await
    }

    pub async fn revoke_all(&self, process: usize, email: &str, user: &str) -> Outcome {
        let reason = self.reason();
        self.insist(process, Act::RevokeAll { email: email.to_owned(), user: user.to_owned(), reason }).await
    }

    pub async fn block(&self, process: usize, email: &str, user: Option<String>) -> Outcome {
        let reason = self.reason();
        self.insist(process, Act::Block { email: email.to_owned(), user, reason }).await
    }

    /// The user's id, which a session of his tells.
    pub async fn user_of(&self, process: usize, email: &str, session: &str) -> Option<String> {
        self.call(process, Act::Get { session: session.to_owned() }).await;
        self.board.lock().unwrap().users.get(email).cloned()
    }

    /// Tries until there is an answer, or for so long that nobody would wait; each time on the next process.
    async fn insist(&self, process: usize, act: Act) -> Outcome {
        let mut outcome = self.call(process, act.clone()).await;
        for again in 1..TRIES {
            if !matches!(outcome, Outcome::Unknown(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20 << again)).await;
            outcome = self.call(process + usize::try_from(again).unwrap(), act.clone()).await;
        }
        outcome
    }

    /// One call, noted.
    pub async fn call(&self, process: usize, act: Act) -> Outcome {
        let (listener, method, path, body) = request(&act);
        let request = self.stage.process(process).wire(|wire| wire.request(listener, method, &path));
        let request = if method == "POST" { request.json(&body) } else { request };
        let invoked = self.stage.now();
        let sent = request.timeout(PATIENCE).send().await;
        let outcome = match sent {
            Ok(response) => self.outcome(&act, (listener, method, &path), response).await,
            Err(error) => Outcome::Unknown(error.to_string()),
        };
        let returned = self.stage.now();
        let wall_ms = World::system().now().as_ms();
        let process = process % self.stage.processes.len();
        let call = Call { process, act, invoked, returned, wall_ms, outcome: outcome.clone() };
        self.calls.lock().unwrap().push(call);
        outcome
    }

    async fn outcome(&self, act: &Act, asked: (Listener, &str, &str), response: Response) -> Outcome {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        let answer = Answer { status, headers, text };
        contract::check(asked.0, asked.1, asked.2, &answer);
        match status {
            200 => Outcome::Acknowledged(self.said(act, &answer.json())),
            503 => Outcome::Unknown(answer.code()),
            400 | 403 | 404 | 409 | 410 | 429 => Outcome::Refused(status, answer.code()),
            other => panic!("{act:?} was answered {other}: {}", answer.text),
        }
    }

    fn said(&self, act: &Act, body: &Value) -> Said {
        let ids =
            |field: &str| body[field].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        match act {
            Act::Send { .. } => Said::Challenge(text(body, "challenge_id")),
            Act::Confirm(_) => Said::Session(text(body, "device_session_id")),
            Act::Revoke { .. } => Said::Revoked { by_this_call: body["outcome"] == "revoked" },
            Act::RevokeAll { .. } | Act::Block { .. } => {
                Said::Ended(ids("affected_device_session_ids").collect())
            }
            Act::Get { session } => {
                let mut board = self.board.lock().unwrap();
                let owner = board.opened.iter().find(|(_, known)| known == session);
                if let Some((email, _)) = owner.cloned() {
                    board.users.insert(email, text(&body["session"], "user_id"));
                }
                Said::Status(Status::parse(&text(&body["session"], "status")))
            }
            Act::List { .. } => Said::Listed(statuses(body)),
        }
    }

    fn email(&self, user: usize) -> String {
        format!("pilot{user}x{}@example.com", self.board.lock().unwrap().before[user])
    }

    /// Somebody else takes the place of a user who is blocked.
    fn succeed(&self, email: &str) {
        let mut board = self.board.lock().unwrap();
        for user in 0..USERS {
            if email == format!("pilot{user}x{}@example.com", board.before[user]) {
                board.before[user] += 1;
            }
        }
    }

    /// One of the newest, or of all.
    fn pick<T: Clone>(&self, pick: usize, from: impl Fn(&Board) -> &Vec<T>) -> Option<T> {
        let board = self.board.lock().unwrap();
        let all = from(&board);
        let newest = all.len().saturating_sub(if pick.is_multiple_of(3) { all.len() } else { 12 });
        let of = &all[newest..];
        of.get(pick / 3 % of.len().max(1)).cloned()
    }

    /// One that no other call gives.
    pub fn reason(&self) -> String {
        format!("reason_{}", self.reasons.fetch_add(1, Ordering::SeqCst))
    }
}
