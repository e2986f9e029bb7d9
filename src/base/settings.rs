//! Reads settings by name and collects every fault, so that an operator sees all of them at once. Each capability
//! reads its own; `config.rs` hands in the environment and asks for the faults at the end.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, time::Duration};

use zeroize::Zeroizing;

use super::secret_file;

/// The variables that belong to this service; every other one is somebody else's.
pub const PREFIX: &str = "AUTHSESSION_";

/// What was wrong with the environment: one sentence a fault, each naming its variable and what it takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads variables, remembers which names exist, and collects faults.
#[derive(Default)]
pub struct Reader {
    variables: BTreeMap<String, Zeroizing<String>>,
    known: Vec<&'static str>,
    defaults: BTreeMap<&'static str, String>,
    faults: Vec<String>,
}

impl Reader {
    /// Reads from `variables`, whose names are in upper case. An empty value counts as unset, as it does in
    /// `docker-compose.yml` for a variable that the host does not set.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let set = variables.into_iter().filter(|(_, value)| !value.is_empty());
        let variables = set.map(|(name, value)| (name, Zeroizing::new(value))).collect();
        Self { variables, ..Self::default() }
    }

    /// The value of `name` as `parse` reads it; nothing where it is unset or bad. `takes` completes the sentence
    /// "`name` takes …".
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.variables.get(name)?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.faults.push(format!("{name} takes {takes}"));
        }
        parsed
    }

    /// What may hold a secret: the value of the first variable, or what stands in the file that the second one names.
    /// Only one of them may be set. No fault repeats anything of the secret.
    pub fn secret<T>(
        &mut self,
        (name, file): (&'static str, &'static str),
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.known.extend([name, file]);
        let read = match (self.variables.get(name), self.variables.get(file)) {
            (None, None) => return None,
            (Some(value), None) => parse(value).ok_or_else(|| format!("{name} takes {takes}")),
            (None, Some(path)) => secret_file::read(path)
                .map_err(|fault| format!("{file} takes the path of a file that can be read: {fault}"))
                .and_then(|text| {
                    parse(&text).ok_or_else(|| format!("{file} takes the path of a file with {takes}"))
                }),
            (Some(_), Some(_)) => Err(format!("{name} and {file} are both set: one of them is to go")),
        };
        read.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// Free text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.optional(name, "text", |value| Some(value.to_owned()))
    }

    /// Free text, or `default`.
    pub fn text_or(&mut self, name: &'static str, default: &str) -> String {
        self.declare_default(name, default);
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    /// One of a few words.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        if let Some((word, _)) = choices.iter().find(|(_, choice)| *choice == default) {
            self.declare_default(name, word);
        }
        let pick = |value: &str| choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
        self.optional(name, &format!("one of: {}", words.join(", ")), pick).unwrap_or(default)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.choice(name, default, &[("true", true), ("false", false)])
    }

    /// A whole number within `range`.
    pub fn number(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let takes = if *range.end() == u64::MAX {
            format!("a whole number from {} up", range.start())
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        self.declare_default(name, default);
        self.optional(name, &takes, |value| value.parse().ok().filter(|number| range.contains(number)))
            .unwrap_or(default)
    }

    /// A duration in Go's form, from 1 ms up to `longest`.
    pub fn duration(&mut self, name: &'static str, default: Duration, longest: Duration) -> Duration {
        let takes = format!("a duration such as 1m30s, from 1ms to {}", print_duration(longest));
        self.declare_default(name, print_duration(default));
        let fits = |duration: &Duration| (Duration::from_millis(1)..=longest).contains(duration);
        self.optional(name, &takes, |value| parse_duration(value).filter(fits)).unwrap_or(default)
    }

    /// Says what holds where `name` is unset, for [`Self::effective`]. The readers above that take a default do so.
    pub fn declare_default(&mut self, name: &'static str, default: impl fmt::Display) {
        self.defaults.insert(name, default.to_string());
    }

    /// Whether `name` has a value, be it good or bad.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Adds a fault that involves more than one variable.
    pub fn fault(&mut self, sentence: impl Into<String>) {
        self.faults.push(sentence.into());
    }

    /// The names that were asked for, in order.
    #[must_use]
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// The names that were asked for, in order, each with the value that holds; empty where there is none.
    pub fn effective(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.known.iter().map(|name| {
            let set = self.variables.get(*name).map(|value| value.as_str());
            let value = set.or_else(|| self.defaults.get(name).map(String::as_str)).unwrap_or_default();
            (*name, value)
        })
    }

    /// All faults, those included that variables of ours which nobody asked for are.
    pub fn finish(mut self) -> Result<(), Faults> {
        let strangers = self.variables.keys().filter(|name| name.starts_with(PREFIX));
        for name in strangers.filter(|name| !self.known.contains(&name.as_str())) {
            let near = self.known.iter().filter(|known| is_close(name, known));
            let guess = match near.min_by_key(|known| distance(name, known)) {
                Some(near) => format!("did you mean {near}?"),
                None => "docs/operations.md and .env.example name them all".to_owned(),
            };
            self.faults.push(format!("{name} is not a setting of this service; {guess}"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }
}

/// Go's `time.ParseDuration` for lengths of time: `1h`, `1m30s`, `1.5s`, `500ms`, `100us`, `10ns`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total =
            total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// `duration` in Go's form, in the largest unit that leaves no rest.
fn print_duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Whether `name` may well be `known` with a slip in it: a few letters are others, or a word is missing or too many.
fn is_close(name: &str, known: &str) -> bool {
    let (own, of_known) = (name.trim_start_matches(PREFIX), known.trim_start_matches(PREFIX));
    let within = |some: &str, all: &str| {
        some.contains('_') && some.split('_').all(|word| all.split('_').any(|other| other == word))
    };
    let slips = distance(own, of_known);
    (slips <= 3 && slips * 3 <= own.len()) || within(own, of_known) || within(of_known, own)
}

/// How many letters differ, roughly: enough to guess which name a typo meant.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.bytes().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        let mut next = vec![before];
        for (b, &up) in right.bytes().zip(row.iter().skip(1)) {
            before = (before + 1).min(up + 1).min(diagonal + usize::from(a != b));
            diagonal = up;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(variables: &[(&str, &str)]) -> Reader {
        Reader::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn durations_are_read_in_gos_form() {
        for (text, ms) in
            [("1s", 1000), ("500ms", 500), ("1m30s", 90_000), ("2160h", 7_776_000_000), ("1.5s", 1500)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1 s", "1d", "1s2", "1..5s", "1sm", "9e9h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn every_fault_is_reported_and_a_typo_is_recognised() {
        let mut reader = reader(&[
            ("AUTHSESSION_CODE_TTL", "11m"),
            ("AUTHSESSION_CODE_LENGTH", "5"),
            ("AUTHSESSION_CODE_LENGHT", "6"),
            ("OTHER", "x"),
        ]);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(reader.duration("AUTHSESSION_CODE_TTL", minutes(5), minutes(10)), minutes(5));
        assert_eq!(reader.number("AUTHSESSION_CODE_LENGTH", 6, 6..=10), 6);
        assert_eq!(
            reader.finish().unwrap_err().0,
            [
                "AUTHSESSION_CODE_TTL takes a duration such as 1m30s, from 1ms to 10m",
                "AUTHSESSION_CODE_LENGTH takes a whole number from 6 to 10",
                "AUTHSESSION_CODE_LENGHT is not a setting of this service; did you mean AUTHSESSION_CODE_LENGTH?",
            ]
        );
    }

    #[test]
    fn a_name_is_suggested_only_where_it_is_close() {
        for (name, known, close) in [
            ("CODE_LENGHT", "CODE_LENGTH", true),
            ("REDIS_ADDRESS", "REDIS_ADDR", true),
            ("MAIL_BASE_URL", "MAIL_SERVICE_BASE_URL", true),
            ("INTERNAL_TOKENS", "INTERNAL_AUTH_TOKENS", true),
            ("PUBLIC_ADDR_HTTP", "PUBLIC_HTTP_ADDR", true),
            ("NONSENSE", "DATA_DIR", false),
            ("X", "DB", false),
            ("", "REDIS_DB", false),
            ("SMTP_HOST", "DATA_DIR", false),
            ("TOKEN", "CODE_TTL", false),
        ] {
            assert_eq!(is_close(&format!("{PREFIX}{name}"), &format!("{PREFIX}{known}")), close, "{name}");
        }
        let faults = reader(&[("AUTHSESSION_NONSENSE", "1")]).finish().unwrap_err().to_string();
        assert!(!faults.contains("did you mean") && faults.contains(".env.example"), "{faults}");
    }

    #[test]
    fn a_secret_is_in_its_variable_or_in_its_file_and_never_in_both() {
        const NAMES: (&str, &str) = ("AUTHSESSION_KEY", "AUTHSESSION_KEY_FILE");
        let file = |text: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        };
        let read = |variables: &[(&str, &str)]| {
            let mut reader = reader(variables);
            let found = reader
                .secret(NAMES, "at least six letters", |text| (text.len() >= 6).then(|| text.to_owned()));
            (found, reader.finish().err().map(|faults| faults.to_string()).unwrap_or_default())
        };
        let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
        let good = file(b"hunter2 hunter3\r\n\n");
        assert_eq!(read(&[]), (None, String::new()));
        assert_eq!(read(&[(NAMES.0, "hunter2")]), (Some("hunter2".into()), String::new()));
        assert_eq!(read(&[(NAMES.1, &path(&good))]), (Some("hunter2 hunter3".into()), String::new()));
        let (found, fault) = read(&[(NAMES.0, "hunter2"), (NAMES.1, &path(&good))]);
        assert!(found.is_none() && fault.contains(NAMES.0) && fault.contains(NAMES.1), "{fault}");
        let (short, empty) = (file(b"hunt\n"), file(b"\n"));
        let (marked, spaced) = (file(b"\xef\xbb\xbfhunter2\n"), file(b"hunter2 \n"));
        let indented = file(b"\n\thunter2");
        let (binary, large) = (file(b"hunter2\xff"), file(&b"x".repeat(65_537)));
        for (path, says) in [
            (path(&short), "at least six letters"),
            (path(&empty), "it is empty"),
            (path(&marked), "it begins with a byte order mark"),
            (path(&spaced), "it begins or ends with white space"),
            (path(&indented), "it begins or ends with white space"),
            (path(&binary), "it is not text in UTF-8"),
            (path(&large), "it is larger than 65536 bytes"),
            ("/nowhere/hunter2".to_owned(), "No such file"),
            ("/".to_owned(), "it is not a regular file"),
        ] {
            let (found, fault) = read(&[(NAMES.1, &path)]);
            assert!(found.is_none() && fault.starts_with("AUTHSESSION_KEY_FILE takes "), "{fault}");
            assert!(fault.contains(says) && !fault.contains("hunt"), "{fault}");
        }
    }

    #[test]
    fn an_empty_value_is_an_unset_one() {
        let mut reader = reader(&[("AUTHSESSION_REQUIRE_KEY_PROOF", "")]);
        assert!(!reader.flag("AUTHSESSION_REQUIRE_KEY_PROOF", false));
        assert_eq!(reader.finish(), Ok(()));
    }
}
