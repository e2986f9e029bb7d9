//! What may be told of an error of Redis. Its own text may not be: it quotes what was sent, and that is passwords, keys
//! and records. So the log has the error's code, and words of ours, or such of Redis' as quote nothing.

use redis::{ErrorKind, RedisError};

/// Codes that come with texts which quote nothing, and which operators need.
const PLAIN: [&str; 17] = [
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "DENIED",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPROTO",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
    "WRONGPASS",
    "WRONGTYPE",
];

/// How texts begin that operators need and whose code, `ERR` for most, comes with texts that do quote. No more is told.
const KNOWN: [&str; 9] = [
    "AUTH <password> called without any password configured",
    "DB index is out of range",
    "No permissions to access a key",
    "No such master with that name",
    "SELECT is not allowed in cluster mode",
    "This instance has cluster support disabled",
    "max number of clients",
    "wrong number of arguments",
    "unknown subcommand",
];

/// How long a text may be.
const LONGEST: usize = 200;
/// How long a word may be that Redis says: a code, the name of a command.
const LONGEST_WORD: usize = 24;

/// `error`, as it may stand in a log.
pub(super) fn told(error: &RedisError) -> String {
    match error.kind() {
        // The system's words, TLS's, or ours.
        ErrorKind::Io => printable(&error.to_string()),
        ErrorKind::Server(_) | ErrorKind::Extension => refusal(error),
        // The library's text quotes the answer.
        ErrorKind::Parse => "an answer of another form than was asked for".to_owned(),
        ErrorKind::RESP3NotSupported => unknown_command(" HELLO"),
        ErrorKind::Client | _ => error.category().to_owned(),
    }
}

/// An error that the server answered.
fn refusal(error: &RedisError) -> String {
    let Some(code) = error.code().filter(|code| is_code(code)) else {
        return "an error without a code".to_owned();
    };
    let text = error.detail().unwrap_or_default();
    if PLAIN.contains(&code) {
        return printable(&format!("{code} {text}"));
    }
    if let Some(rest) = text.strip_prefix("unknown command ") {
        let name = command(rest).map(|name| format!(" {name}")).unwrap_or_default();
        return format!("{code} {}", unknown_command(&name));
    }
    if text.starts_with("Unknown Redis command called from script") {
        return format!("{code} {}", unknown_command(" in a script"));
    }
    if let Some(name) = text.split_once(" has no permissions to run the ").and_then(|(_, rest)| command(rest))
    {
        return format!("{code} the user has no permissions to run the command {name}");
    }
    match KNOWN.iter().find(|known| text.starts_with(**known)) {
        Some(known) => format!("{code} {known}"),
        None => format!("{code}, with a text that may quote what was sent"),
    }
}

fn unknown_command(name: &str) -> String {
    format!("unknown command{name}: is the server older than Redis 7.0, or are its commands renamed?")
}

/// The name in quotes that `text` begins with, where it can be one of a command.
fn command(text: &str) -> Option<&str> {
    let name = text.split(['\'', '`']).nth(1)?;
    let fits = |byte: u8| byte.is_ascii_alphabetic() || byte == b'|';
    (name.len() <= LONGEST_WORD && name.bytes().all(fits)).then_some(name)
}

fn is_code(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    !word.is_empty() && word.len() <= LONGEST_WORD && word.bytes().all(fits)
}

/// The beginning of `text`, on one line.
fn printable(text: &str) -> String {
    text.chars()
        .take(LONGEST)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::{ParsingError, Value, from_redis_value, parse_redis_value};

    use super::*;

    /// What is told of an answer.
    fn of(answer: &str) -> String {
        let answer = parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        told(&answer.extract_error().unwrap_err())
    }

    #[test]
    fn texts_that_quote_what_was_sent_are_not_told() {
        let quoting = "ERR, with a text that may quote what was sent";
        let hint = "is the server older than Redis 7.0, or are its commands renamed?";
        for (answer, expected) in [
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'hunter2' ",
                &*format!("ERR unknown command HELLO: {hint}"),
            ),
            (
                "ERR unknown command `EVALSHA`, with args beginning with: `hunter2`, ",
                &*format!("ERR unknown command EVALSHA: {hint}"),
            ),
            ("ERR unknown command 'hunter2 '", &*format!("ERR unknown command: {hint}")),
            ("ERR unknown command hunter2", &*format!("ERR unknown command: {hint}")),
            (
                "ERR Unknown Redis command called from script script: hunter2, on @user_script:9.",
                &*format!("ERR unknown command in a script: {hint}"),
            ),
            ("ERR unknown subcommand 'hunter2'. Try CLUSTER HELP.", "ERR unknown subcommand"),
            ("ERR wrong number of arguments for 'hunter2' command", "ERR wrong number of arguments"),
            ("ERR invalid password 'hunter2'", quoting),
            ("ERR", quoting),
            (
                "NOPERM User hunter2 has no permissions to run the 'set' command",
                "NOPERM the user has no permissions to run the command set",
            ),
            (
                "NOPERM ACL failure in script: User hunter2 has no permissions to run the 'cluster|slots' command",
                "NOPERM the user has no permissions to run the command cluster|slots",
            ),
            (
                "NOPERM User a has no permissions to access the 'hunter2' key",
                "NOPERM, with a text that may quote what was sent",
            ),
            ("NOPERM No permissions to access a key", "NOPERM No permissions to access a key"),
            ("MOVED 3999 hunter2:6381", "MOVED, with a text that may quote what was sent"),
            ("hunter2 is the password", "an error without a code"),
            ("HUNTERHUNTERHUNTERHUNTERHUNTER 2", "an error without a code"),
        ] {
            assert_eq!(of(answer), expected, "{answer}");
            assert!(!of(answer).contains("hunter2"), "{answer}");
        }
    }

    #[test]
    fn what_operators_need_is_told() {
        for answer in [
            "READONLY You can't write against a read only replica.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOREPLICAS Not enough good replicas to write.",
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN Hash slot not served",
            "ERR DB index is out of range",
            "ERR This instance has cluster support disabled",
        ] {
            assert_eq!(of(answer), answer);
        }
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(told(&io::Error::from(io::ErrorKind::TimedOut).into()), late.to_string());
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_told() {
        let error: ParsingError = from_redis_value::<u64>(Value::BulkString(b"hunter2".into())).unwrap_err();
        assert!(error.to_string().contains("hunter2"), "the library's text has it");
        assert_eq!(told(&error.into()), "an answer of another form than was asked for");
    }

    #[test]
    fn a_long_text_is_cut_and_stays_on_its_line() {
        let long = of(&format!("OOM \u{1b}[1m\0{}", "ü".repeat(40_000)));
        assert!(long.starts_with(r"OOM \u{1b}[1m\u{0}ü"), "{long}");
        assert!(long.chars().count() < LONGEST + 20, "{long}");
        let lines = io::Error::other("one\nanother");
        assert_eq!(told(&lines.into()), r"one\nanother");
    }
}
