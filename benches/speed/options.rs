//! What the command line asks for.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
cargo bench --bench speed -- [ROW…] [OPTIONS]

Measures the service beside references that do the same work with as little as possible, in turns. Loopback only; ends by
itself. A row is chosen by a part of its name; `--list` names them. Without a choice: every row, and what a process costs.

  --rounds N        how often the parties take turns (5)
  --seconds S       how long one turn lasts (0.5)
  --scale           a store of a million sessions too: memory, disk, start, growth; some minutes more
  --sessions N      how many sessions that is (1000000)
  --scale-only      nothing else
  --json PATH       write every figure of every round there
  --into PAGE       replace what stands between the marks of this Markdown page (docs/performance.md)
  --list            name the rows
";

/// What to measure, and where to write it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) rows: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) speed: bool,
    pub(crate) scale: bool,
    pub(crate) sessions: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) into: Option<PathBuf>,
    /// A handful of requests on an unoptimised binary: are the answers right? Nothing is said about speed.
    pub(crate) smoke: bool,
}

/// What the program is started for.
pub(crate) enum Task {
    Measure(Options),
    /// It is the reference server of another one.
    Reference(Vec<String>),
    Say(&'static str),
    List,
}

impl Options {
    fn new() -> Self {
        Self {
            rows: Vec::new(),
            rounds: 5,
            seconds: 0.5,
            speed: true,
            scale: false,
            sessions: 1_000_000,
            json: None,
            into: None,
            smoke: false,
        }
    }

    /// Whether the row called `name` was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.speed && (self.rows.is_empty() || self.rows.iter().any(|row| name.contains(row.as_str())))
    }
}

/// Cargo gives `--bench` to a benchmark, and not where `cargo test` runs it as a test.
pub(crate) fn parse(arguments: &[String]) -> Result<Task, String> {
    if let [first, rest @ ..] = arguments
        && first == "--reference"
    {
        return Ok(Task::Reference(rest.to_vec()));
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(as_a_test(arguments));
    }
    let mut options = Options::new();
    let mut words = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value\n\n{USAGE}"));
        match word.as_str() {
            "--rounds" => options.rounds = number(word, value()?)?,
            "--seconds" => options.seconds = number(word, value()?)?,
            "--sessions" => options.sessions = number(word, value()?)?,
            "--json" => options.json = Some(value()?.into()),
            "--into" => options.into = Some(value()?.into()),
            "--scale" => options.scale = true,
            "--scale-only" => (options.scale, options.speed) = (true, false),
            "--list" => return Ok(Task::List),
            "--help" | "-h" => return Ok(Task::Say(USAGE)),
            flag if flag.starts_with('-') => return Err(format!("{flag} is no option\n\n{USAGE}")),
            row => options.rows.push(row.to_owned()),
        }
    }
    Ok(Task::Measure(options))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} takes a number, not {text}"))
}

/// As the test harness would understand them: names of tests to run, and flags that mean nothing here.
fn as_a_test(arguments: &[String]) -> Task {
    const NAME: &str = "every_row_answers_right";
    if arguments.iter().any(|argument| argument == "--list") {
        return Task::Say("every_row_answers_right: test\n");
    }
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    let chosen = names.peek().is_none() || names.any(|name| NAME.contains(name.as_str()));
    if !chosen {
        return Task::Say("");
    }
    Task::Measure(Options { rounds: 1, smoke: true, scale: true, sessions: 300, ..Options::new() })
}
