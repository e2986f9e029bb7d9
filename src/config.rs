//! The one reader of the environment. Each capability reads its own settings; here they come together, and every
//! fault is reported at once.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        Timestamp, directory,
        settings::{Faults, PREFIX, Reader},
    },
    challenge,
    engine::redis,
    gateway, http, mail, serve, session, telemetry, users,
};

/// Everything that an operator has chosen.
#[derive(Clone, Debug)]
pub struct Config {
    /// The two listeners.
    pub http: http::Settings,
    /// How connections come in to them.
    pub serve: serve::Settings,
    /// Where the embedded store lies.
    pub data_dir: PathBuf,
    /// The store's Redis; nothing for the embedded store.
    pub redis: Option<redis::Settings>,
    /// The gateway's Redis, where it is another than the store's.
    pub gateway_redis: Option<redis::Settings>,
    /// The projection.
    pub gateway: gateway::Settings,
    /// The user service.
    pub users: users::Settings,
    /// The mail service.
    pub mail: mail::Settings,
    /// Logins.
    pub challenge: challenge::Settings,
    /// Sessions.
    pub session: session::Settings,
    /// Logs, traces and metrics.
    pub telemetry: telemetry::Settings,
    effective: Vec<(&'static str, String)>,
}

/// What it takes to ask the running service something from outside.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Where they are.
    pub http: http::Settings,
    /// How connections come in to them.
    pub serve: serve::Settings,
}

impl Listeners {
    /// Reads the process's environment and no files. Faults are passed over: with them no service could have started.
    #[must_use]
    pub fn from_env() -> Self {
        let readable = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut reader = Reader::new(readable);
        let http = http::Settings::read(&mut reader);
        let serve = serve::Settings::read(&mut reader, &http);
        Self { http, serve }
    }
}

impl Config {
    /// Reads all settings from `variables`; those that are not of this service are passed over.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let mut reader = Reader::new(variables);
        let http = http::Settings::read(&mut reader);
        let serve = serve::Settings::read(&mut reader, &http);
        serve.check(&mut reader);
        let data_dir = PathBuf::from(reader.text_or("AUTHSESSION_DATA_DIR", "./data"));
        let options = redis::Options::read(&mut reader);
        let redis = options.for_the_store(&mut reader);
        if options.is_embedded(&reader) {
            check_directory(&data_dir, &mut reader);
        }
        let gateway_redis = options.for_the_gateway(&mut reader);
        let gateway = gateway::Settings::read(&mut reader);
        let users = users::Settings::read(&mut reader);
        let mail = mail::Settings::read(&mut reader);
        let challenge = challenge::Settings::read(&mut reader);
        let session = session::Settings::read(&mut reader);
        let telemetry = telemetry::Settings::read(&mut reader);
        let effective = effective(&reader);
        reader.finish()?;
        Ok(Self {
            http,
            serve,
            data_dir,
            redis,
            gateway_redis,
            gateway,
            users,
            mail,
            challenge,
            session,
            telemetry,
            effective,
        })
    }

    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, Faults> {
        Self::from_os(env::vars_os())
    }

    fn from_os(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut readable = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.into_string().ok().filter(|name| is_ours(name)) else { continue };
            match value.into_string() {
                Ok(value) => readable.push((name, value)),
                Err(_) => faults.push(format!("{name} takes text in UTF-8")),
            }
        }
        // envy makes names lower case, and all of ours are in upper case.
        let collected: BTreeMap<String, String> = envy::from_iter(readable)
            .map_err(|error: envy::Error| Faults(vec![format!("the environment cannot be read: {error}")]))?;
        let read = Self::read(collected.into_iter().map(|(name, value)| (name.to_ascii_uppercase(), value)));
        match read {
            Ok(config) if faults.is_empty() => Ok(config),
            Ok(_) => Err(Faults(faults)),
            Err(Faults(more)) => Err(Faults([faults, more].concat())),
        }
    }

    /// Every setting by name with the value that holds, secrets left out.
    #[must_use]
    pub fn effective(&self) -> &[(&'static str, String)] {
        &self.effective
    }

    /// What an operator should know about these settings at `now`, though they are valid.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let stub_mail = matches!(self.mail, mail::Settings::Stub)
            .then_some("login codes are written to the log: AUTHSESSION_MAIL_SERVICE_MODE is stub");
        let told = [stub_mail, self.challenge.warning(), self.http.warning()];
        told.into_iter().flatten().map(str::to_owned).chain(self.serve.warnings(now)).collect()
    }
}

/// Variables that belong to this service or to its telemetry, whose names are in upper case.
fn is_ours(name: &str) -> bool {
    let starts = [PREFIX, "OTEL_"].iter().any(|prefix| name.starts_with(prefix)) || name == "RUST_LOG";
    starts && !name.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn check_directory(path: &Path, reader: &mut Reader) {
    if let Err(fault) = directory::check(path) {
        reader.fault(format!("AUTHSESSION_DATA_DIR takes a directory that can be written to ({fault})"));
    }
}

/// Every setting by name with the value that holds, as it may be printed.
fn effective(reader: &Reader) -> Vec<(&'static str, String)> {
    let files: Vec<&str> =
        reader.effective().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
    let from_file = |name: &str| files.contains(&format!("{name}_FILE").as_str());
    let print = |(name, value): (&'static str, &str)| {
        let text = if from_file(name) { "(from file)".to_owned() } else { shown(name, value) };
        (name, text)
    };
    reader.effective().map(print).collect()
}

/// `value` as it may be printed: secrets by name not at all, addresses without the user and password in them.
fn shown(name: &str, value: &str) -> String {
    let words = ["USERNAME", "PASSWORD", "SECRET", "TOKEN", "HEADERS"];
    // The path of a secret is none.
    let is_secret = !name.ends_with("_FILE") && words.iter().any(|word| name.contains(word));
    if value.is_empty() {
        "(not set)".to_owned()
    } else if is_secret {
        "(set)".to_owned()
    } else if let Some((credentials, rest)) = value.rsplit_once('@') {
        let scheme = credentials.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
        format!("{}(hidden)@{rest}", scheme.unwrap_or_default())
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn os(variables: &[(&str, &[u8])]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec()))).collect()
    }

    #[test]
    fn every_fault_of_every_capability_is_reported_at_once() {
        let faults = Config::from_os(os(&[
            ("AUTHSESSION_PUBLIC_HTTP_ADDR", b"nonsense"),
            ("AUTHSESSION_SHUTDOWN_TIMEOUT", b"\xff"),
            ("AUTHSESSION_PUBLIC_HTTP_ADR", b":8080"),
            ("SOMEBODY_ELSES", b"\xff"),
        ]))
        .unwrap_err();
        let [utf8, address, typo] = faults.0.as_slice() else { panic!("{faults}") };
        assert_eq!(utf8, "AUTHSESSION_SHUTDOWN_TIMEOUT takes text in UTF-8");
        assert!(address.starts_with("AUTHSESSION_PUBLIC_HTTP_ADDR takes"));
        assert!(typo.ends_with("did you mean AUTHSESSION_PUBLIC_HTTP_ADDR?"));
    }

    #[test]
    fn the_environment_is_read() {
        let config = Config::from_os(os(&[("AUTHSESSION_PUBLIC_HTTP_ADDR", b":9")])).unwrap();
        assert_eq!(config.http.public.port, 9);
        assert!(config.effective().contains(&("AUTHSESSION_PUBLIC_HTTP_ADDR", ":9".to_owned())));
        assert!(config.effective().contains(&("AUTHSESSION_SHUTDOWN_TIMEOUT", "10s".to_owned())));
    }

    #[test]
    fn secrets_are_not_shown() {
        for (name, value, expected) in [
            ("AUTHSESSION_INTERNAL_AUTH_TOKENS", "hunter2", "(set)"),
            ("AUTHSESSION_CODE_SECRET", "", "(not set)"),
            ("AUTHSESSION_CODE_SECRET_FILE", "/run/secrets/code", "/run/secrets/code"),
            ("AUTHSESSION_REDIS_USERNAME", "hunter2", "(set)"),
            ("AUTHSESSION_REDIS_ADDR", "redis://u:hunter2@r:6379/0", "redis://(hidden)@r:6379/0"),
            ("AUTHSESSION_REDIS_ADDR", "redis://u:hun,ter2@r,redis://u:x@s", "redis://(hidden)@s"),
            ("AUTHSESSION_REDIS_ADDR", "r:6379", "r:6379"),
        ] {
            assert_eq!(shown(name, value), expected);
        }
    }
}
