//! Documents in step with the source: codes, settings, collections, operations, links.

use std::collections::{BTreeMap, BTreeSet};

use authsession::config::Config;
use serde_yaml_ng::Value;

use super::{
    none,
    source::{files, read, root, sources},
    words::Words,
};

fn words() -> Words {
    Words::of(&sources())
}

/// Complains of what is in one set and not in the other.
fn same(rule: &str, left: (&str, &BTreeSet<String>), right: (&str, &BTreeSet<String>)) {
    let lacks = |(here, words): (&str, &BTreeSet<String>), (there, others): (&str, &BTreeSet<String>)| {
        let lacking = words.difference(others);
        lacking.map(|word| format!("{word} is in {here}, not in {there}")).collect::<Vec<_>>()
    };
    none(rule, [lacks(left, right), lacks(right, left)].concat());
}

/// The words in backticks in column `at` of every table row of `text`.
fn column(text: &str, at: usize) -> BTreeSet<String> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells =
        rows.filter_map(|row| row.split('|').nth(at + 1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    cells.map(str::to_owned).collect()
}

/// Every word in capitals in `text` that has the form of one of our variables. One that ends in `_` means a family.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| is_variable(word)).map(str::to_owned).collect()
}

fn is_variable(word: &str) -> bool {
    let ours = word.starts_with("AUTHSESSION_") || word.starts_with("OTEL_") || word == "RUST_LOG";
    let capitals = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // What tests read is no setting of the service.
    ours && capitals && !word.ends_with('_') && !word.starts_with("AUTHSESSION_TEST_")
}

fn operation_ids() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in ["api/public.yaml", "api/internal.yaml"] {
        let document: Value = serde_yaml_ng::from_str(&read(file)).expect("YAML");
        for (path, methods) in document["paths"].as_mapping().expect("paths") {
            for (_, operation) in methods.as_mapping().expect("methods") {
                let id = operation["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{file} {path:?}: no operationId"));
                found.insert(snake_case(id), path.as_str().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

fn snake_case(name: &str) -> String {
    let letter =
        |c: char| if c.is_ascii_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.to_string() };
    name.chars().map(letter).collect()
}

#[test]
fn error_codes_are_those_of_the_page() {
    let page = column(&read("docs/errors.md"), 1);
    same("error codes", ("src", &words().codes), ("docs/errors.md", &page));
}

#[test]
fn error_codes_are_those_of_the_contracts() {
    let contracts = [read("api/public.yaml"), read("api/internal.yaml")].concat();
    let examples = contracts.lines().filter_map(|line| line.trim().strip_prefix("code: "));
    let codes = examples.filter(|code| !code.starts_with('"')).map(str::to_owned).collect();
    let page = column(&read("docs/errors.md"), 1);
    same("error codes", ("api", &codes), ("docs/errors.md", &page));
}

#[test]
fn settings_are_those_of_the_example() {
    let src: BTreeSet<String> = words().literals.into_iter().filter(|literal| is_variable(literal)).collect();
    let lines = read(".env.example");
    let named = lines.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let mut example: BTreeSet<String> =
        named.map(|(name, _)| name.to_owned()).filter(|name| is_variable(name)).collect();
    // The exporter's own, which only the library reads.
    example.retain(|name| !name.starts_with("OTEL_EXPORTER_OTLP_") || src.contains(name));
    same("settings", ("src", &src), (".env.example", &example));
}

#[test]
fn settings_are_explained_and_nothing_else_is() {
    let example = variables(&read(".env.example"));
    let operations = variables(&read("docs/operations.md"));
    same("settings", (".env.example", &example), ("docs/operations.md", &operations));
    let mut strangers = Vec::new();
    for page in files("docs", ".md")
        .into_iter()
        .chain(["README.md", "Dockerfile", "docker-compose.yml"].map(str::to_owned))
    {
        let unknown = variables(&read(&page)).into_iter().filter(|name| !example.contains(name));
        strangers.extend(unknown.map(|name| format!("{page}: {name}")));
    }
    none("settings that there are not", strangers);
}

/// Every line that is not a comment sets the default, so a copy of the file changes nothing.
#[test]
fn the_example_holds_the_defaults() {
    let lines = read(".env.example");
    let set: Vec<(String, String)> = lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Config::read(set.clone()).expect("a sound configuration");
    let default = Config::read([]).expect("nothing has to be set");
    let defaults: BTreeMap<&str, &str> =
        default.effective().iter().map(|(name, value)| (*name, value.as_str())).collect();
    let other = set.iter().filter_map(|(name, value)| {
        let default = defaults.get(name.as_str()).copied();
        // The service keeps some defaults to itself: it says that nothing is set.
        let same = default == Some(value) || default == Some("(not set)");
        (!same).then(|| format!("{name}={value}, the default is {default:?}"))
    });
    none("values in .env.example that are not the default", other);
}

/// Commented lines show a form that is taken, one at a time, but for files that are not there, and what needs another.
#[test]
fn the_example_shows_forms_that_are_taken() {
    let lines = read(".env.example");
    let shown =
        lines.lines().filter_map(|line| line.strip_prefix('#')).filter_map(|line| line.split_once('='));
    let mut refused = Vec::new();
    for (name, value) in shown.filter(|(name, _)| is_variable(name)) {
        let refused_here = ["_FILE", "_PREVIOUS"].iter().any(|end| name.ends_with(end));
        let read = Config::read([(name.to_owned(), value.to_owned())]);
        if read.is_err() != refused_here {
            refused.push(format!("{name}={value}: {:?}", read.err()));
        }
    }
    none("examples that are not taken, or taken though said not to be", refused);
}

#[test]
fn stored_collections_are_those_of_the_page() {
    let page = read("docs/storage.md");
    let (_, section) = page.split_once("## Collections").expect("the section on collections");
    let (section, _) = section.split_once("\n## ").expect("a section behind it");
    let kinds = column(section, 0)
        .into_iter()
        .map(|name| name.split(':').next().unwrap_or_default().to_owned())
        .collect();
    same("collections", ("src", &words().collections), ("docs/storage.md", &kinds));
}

#[test]
fn every_operation_has_a_handler_of_its_name_and_a_route() {
    let words = words();
    let ids: BTreeSet<String> = operation_ids().into_keys().collect();
    same("operations", ("api", &ids), ("the routes", &words.operations));
    none("operations without a handler of their name", ids.difference(&words.functions).cloned());
}

/// A test file or a test's text that has the operation's name; for those that have none in snake case, their path.
#[test]
fn every_operation_is_tried_from_outside() {
    let tests: Vec<(String, String)> =
        files("tests/it", ".rs").into_iter().map(|path| (read(&path), path)).collect();
    let tried = |name: &str, path: &str| {
        tests.iter().any(|(text, file)| {
            text.contains(name) || file.contains(name) || text.contains(&format!("\"{path}\""))
        })
    };
    let untried = operation_ids().into_iter().filter(|(name, path)| !tried(name, path));
    none("operations that no test in tests/it names", untried.map(|(name, path)| format!("{name} ({path})")));
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for page in files("docs", ".md").into_iter().chain(["README.md".to_owned()]) {
        let text = read(&page);
        let folder = root().join(&page).parent().expect("a file has a folder").to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = targets.map(|target| target.split('#').next().unwrap_or_default());
        for target in local.filter(|target| !target.is_empty() && !target.contains("://")) {
            if !folder.join(target).exists() {
                dead.push(format!("{page}: {target}"));
            }
        }
    }
    none("dead links", dead);
}
