//! Who may import whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    none, paths,
    source::{Source, sources},
};

/// The table of `docs/architecture.md`. A unit is a folder or file directly in `src/`.
const MAY_IMPORT: [(&str, &[&str]); 12] = [
    ("base", &[]),
    ("engine", &["base"]),
    ("http", &["base"]),
    ("telemetry", &["base"]),
    ("mail", &["base", "http"]),
    ("users", &["base", "engine", "http"]),
    ("session", &["base", "engine", "http", "users"]),
    ("gateway", &["base", "engine", "http", "session"]),
    ("challenge", &["base", "engine", "http", "mail", "session", "users"]),
    ("serve", &["app", "base", "config", "http"]),
    ("healthcheck", &["http", "serve"]),
    ("main", &["app", "base", "config", "gateway", "healthcheck", "http", "serve", "telemetry"]),
];

/// These put everything together.
const MAY_IMPORT_ALL: [&str; 2] = ["app", "config"];

/// Backends and clients, which only their own folder and `app` name. `config` reads their settings, and `gateway` has a
/// Redis of its own, reached with the same lanes.
const CONCRETE: [(&str, &str, &[&str]); 6] = [
    ("engine", "embedded", &["app"]),
    ("engine", "redis", &["app", "config", "gateway"]),
    ("users", "stub", &["app"]),
    ("users", "rest", &["app"]),
    ("mail", "stub", &["app"]),
    ("mail", "rest", &["app"]),
];

/// Files of `users` that may see the store: the built-in directory.
const USERS_OVER_ENGINE: [&str; 2] = ["src/users/stub.rs", "src/users/record.rs"];

/// From unit to unit, with one place that imports so.
fn edges(sources: &[Source]) -> BTreeMap<(String, String), String> {
    let units: BTreeSet<String> = sources.iter().filter_map(Source::unit).collect();
    let mut edges = BTreeMap::new();
    for source in sources {
        let Some(from) = source.unit() else { continue };
        for named in paths::of(source).into_iter().filter(|named| named.ours) {
            let Some(to) = named.segments.first().filter(|to| **to != from && units.contains(*to)) else {
                continue;
            };
            edges
                .entry((from.clone(), to.clone()))
                .or_insert_with(|| format!("{}: {}", source.path, named.written()));
        }
    }
    edges
}

#[test]
fn modules_import_only_whom_the_table_allows() {
    let sources = sources();
    let table = BTreeMap::from(MAY_IMPORT);
    let complaints = edges(&sources).into_iter().filter_map(|((from, to), place)| {
        let allowed = match table.get(from.as_str()) {
            Some(row) => row.contains(&to.as_str()),
            None => MAY_IMPORT_ALL.contains(&from.as_str()),
        };
        (!allowed).then(|| format!("{from} may not import {to}, yet {place}"))
    });
    none("imports against the table (tests/tidy/imports.rs, docs/architecture.md)", complaints);
}

#[test]
fn the_table_has_every_module_and_no_edge_that_nobody_uses() {
    let sources = sources();
    let units: BTreeSet<String> = sources.iter().filter_map(Source::unit).collect();
    let rows: BTreeSet<String> =
        MAY_IMPORT.iter().map(|(unit, _)| *unit).chain(MAY_IMPORT_ALL).map(str::to_owned).collect();
    let strangers = units.difference(&rows).map(|unit| format!("src has {unit}, the table has not"));
    let ghosts = rows.difference(&units).map(|unit| format!("the table has {unit}, src has not"));
    let edges = edges(&sources);
    let unused = MAY_IMPORT.iter().flat_map(|(from, row)| row.iter().map(move |to| (*from, *to))).filter_map(
        |(from, to)| {
            let used = edges.contains_key(&(from.to_owned(), to.to_owned()));
            (!used).then(|| format!("{from} may import {to}, and does not"))
        },
    );
    none("the import table is out of step", strangers.chain(ghosts).chain(unused));
}

#[test]
fn only_the_assembly_names_backends_and_clients() {
    let mut complaints = Vec::new();
    for source in sources() {
        let Some(unit) = source.unit() else { continue };
        for named in paths::of(&source).iter().filter(|named| named.ours) {
            for (home, concrete, guests) in CONCRETE {
                let names = named.segments.iter().map(String::as_str).take(2).eq([home, concrete]);
                if names && unit != home && !guests.contains(&unit.as_str()) {
                    complaints.push(format!("{}: {}", source.path, named.written()));
                }
            }
        }
    }
    none("named outside the assembly", complaints);
}

#[test]
fn of_the_user_clients_only_the_built_in_directory_sees_the_store() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.unit().as_deref() != Some("users") || USERS_OVER_ENGINE.contains(&source.path.as_str()) {
            continue;
        }
        let named = paths::of(&source);
        let store = named
            .iter()
            .find(|named| named.ours && named.segments.first().is_some_and(|unit| unit == "engine"));
        complaints.extend(store.map(|named| format!("{}: {}", source.path, named.written())));
    }
    none("over the engine", complaints);
}

/// Else the one reader of the environment would become a second place that knows how things work.
#[test]
fn the_configuration_knows_settings_and_nothing_else() {
    let sources = sources();
    let config = sources.iter().find(|source| source.path == "src/config.rs").expect("src/config.rs");
    let knows = paths::of(config).into_iter().filter(|named| {
        let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        let setting = segments.iter().any(|segment| *segment == "Settings" || *segment == "Options");
        let foreign =
            named.ours && !matches!(segments[..], ["base" | "config", ..] | [_] | ["engine", "redis"]);
        foreign && !setting
    });
    none("config.rs names more than settings", knows.map(|named| named.written()));
}

/// `docs/architecture.md` shows the same table.
#[test]
fn the_page_shows_the_table_that_is_tested() {
    let mut shown = BTreeMap::new();
    let page = super::source::read("docs/architecture.md");
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1).map(words);
        let (Some(units), Some(row)) = (cells.next(), cells.next()) else { continue };
        for unit in units {
            shown.insert(unit, row.clone());
        }
    }
    let differing = MAY_IMPORT.iter().filter_map(|(unit, row)| {
        let row: BTreeSet<String> = row.iter().map(|unit| (*unit).to_owned()).collect();
        (shown.get(*unit) != Some(&row))
            .then(|| format!("{unit}: {row:?} here, {:?} there", shown.get(*unit)))
    });
    none("docs/architecture.md shows another table", differing);
}

/// The words in backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
