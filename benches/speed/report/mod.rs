//! What was measured, as Markdown for people and as JSON.

mod machine;
pub(crate) mod table;

use std::{fs, path::Path};

use serde::Serialize;

use crate::{options::Options, rounds::Figures, scale::Scale};
use table::Table;

/// Everything of one run.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    pub(crate) speed: Vec<Figures>,
    pub(crate) cost: Vec<Fact>,
    pub(crate) scale: Option<Scale>,
}

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    at_most: Option<f64>,
}

impl Fact {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, at_most: None }
    }

    /// What it should be at most.
    pub(crate) fn at_most(self, target: Option<f64>) -> Self {
        Self { at_most: target, ..self }
    }
}

impl Report {
    /// Answers that were wrong or missing.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let tell = |figures: &Figures| {
            let (count, story) = figures.wrong()?;
            Some(format!("{} at {}: {count}, such as {story}", figures.row, figures.concurrency))
        };
        self.speed.iter().filter_map(tell).collect()
    }

    /// On standard output, and where `options` want it.
    pub(crate) fn tell(&self, options: &Options) {
        let sections = self.sections(options);
        for (_, text) in &sections {
            println!("{text}");
        }
        if let Some(path) = &options.json {
            let json = serde_json::json!({
                "machine": machine::describe(),
                "rounds": options.rounds,
                "seconds": options.seconds,
                "report": self,
            });
            let text = serde_json::to_string_pretty(&json).expect("JSON");
            fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        if let Some(page) = &options.into {
            replace(page, &sections);
        }
    }

    /// The Markdown of what was measured, by the names of the marks on the page.
    fn sections(&self, options: &Options) -> Vec<(&'static str, String)> {
        let mut sections = Vec::new();
        if !self.speed.is_empty() {
            let turns = format!("{} turns of {} s for each party", options.rounds, options.seconds);
            let text = format!("{}; {turns}.\n\n{}", machine::describe(), speed(&self.speed));
            sections.push(("speed", text));
            sections.push(("detail", detail(&self.speed)));
        }
        if !self.cost.is_empty() {
            sections.push(("cost", facts(&self.cost)));
        }
        if let Some(scale) = &self.scale {
            sections.push(("scale", scale.markdown()));
            sections.push(("capacity", scale.capacity()));
        }
        sections
    }
}

/// Puts each section between its marks on `page`; what was not measured stays as it was.
fn replace(page: &Path, sections: &[(&'static str, String)]) {
    let mut text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    for (name, section) in sections {
        let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no mark {begin} on the page"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end} on the page"));
        text = format!("{before}{begin}\n{section}\n{end}{after}");
    }
    fs::write(page, text).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
}

/// What is aimed at.
fn speed(all: &[Figures]) -> String {
    let mut table = Table::new(&[
        "operation",
        "against",
        "at once",
        "a second",
        "reference",
        "ratio (least–most)",
        "target",
        "p99 ratio",
        "CPU ratio",
    ]);
    for figures in all {
        let ratio = figures.ratio(|turn| turn.per_second);
        let (ours, theirs) = figures.medians(|turn| turn.per_second);
        table.row([
            figures.operation.to_owned(),
            figures.against.to_owned(),
            figures.concurrency.to_string(),
            format!("{ours:.0}"),
            format!("{theirs:.0}"),
            format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most),
            figures.target.map(|target| format!("≥ {target:.2}")).unwrap_or_default(),
            format!("{:.2}", figures.ratio(|turn| turn.p99_us).median),
            format!("{:.2}", figures.ratio(|turn| turn.server_cpu + turn.redis_cpu).median),
        ]);
    }
    table.to_string()
}

/// Where it comes from.
fn detail(all: &[Figures]) -> String {
    let mut table = Table::new(&[
        "operation",
        "at once",
        "p50 ms",
        "reference",
        "p99 ms",
        "reference",
        "CPU s per 1000",
        "reference",
        "Redis CPU",
        "reference",
        "Redis bytes an operation",
    ]);
    for figures in all {
        let p50 = figures.medians(|turn| turn.p50_us / 1000.0);
        let p99 = figures.medians(|turn| turn.p99_us / 1000.0);
        let server = figures.medians(|turn| turn.server_cpu);
        let redis = figures.medians(|turn| turn.redis_cpu);
        let bytes = figures.medians(|turn| turn.redis_bytes);
        table.row([
            figures.operation.to_owned(),
            figures.concurrency.to_string(),
            format!("{:.3}", p50.0),
            format!("{:.3}", p50.1),
            format!("{:.3}", p99.0),
            format!("{:.3}", p99.1),
            format!("{:.4}", server.0),
            format!("{:.4}", server.1),
            some(redis.0),
            some(redis.1),
            if bytes.0 > 0.0 { format!("{:.0}", bytes.0) } else { "–".to_owned() },
        ]);
    }
    table.to_string()
}

/// Nothing where there is none.
fn some(number: f64) -> String {
    if number > 0.0 { format!("{number:.4}") } else { "–".to_owned() }
}

/// A table of single numbers.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let mut table = Table::new(&["what", "measured", "target"]);
    for Fact { what, value, unit, at_most } in facts {
        let target = at_most.map(|target| format!("≤ {target} {unit}")).unwrap_or_default();
        table.row([what.clone(), format!("{} {unit}", short(*value)), target]);
    }
    table.to_string()
}

/// Three digits that count.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}
