//! What comes in from outside: each direct dependency says why, and all come from the registry by checksum. What runs is
//! the image without a shell, as nobody. (Licences and advisories: `cargo deny check`.)

use std::path::Path;

use super::{none, source::read};

#[test]
fn every_direct_dependency_says_what_it_is_here_for() {
    let manifest = read("Cargo.toml");
    let (mut within, mut silent) = (false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line.ends_with("dependencies]");
        } else if within && line.contains(" = ") && !line.starts_with('#') && !line.contains(" # ") {
            silent.push(line.to_owned());
        }
    }
    none("dependencies without a reason in Cargo.toml", silent);
}

#[test]
fn every_package_comes_from_the_registry_and_is_locked() {
    let lock = read("Cargo.lock");
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let strangers = lock.split("[[package]]").skip(1).filter_map(|package| {
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or("?");
        let sound = package.contains(registry) && package.contains("checksum = ");
        (!sound && name != "\"authsession\"").then(|| name.to_owned())
    });
    none("packages from elsewhere, or without a checksum", strangers);
}

#[test]
fn what_is_banned_is_not_there() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let banned: Vec<&str> =
        deny.split("crate = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(banned.len() >= 5, "{banned:?}");
    let there = banned.into_iter().filter(|name| lock.contains(&format!("name = \"{name}\"\n")));
    none("banned packages", there.map(str::to_owned));
    for word in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "yanked = \"deny\""] {
        assert!(deny.contains(word), "deny.toml lacks {word}");
    }
}

#[test]
fn the_image_is_small_and_runs_as_nobody() {
    let image = read("Dockerfile");
    let (_, last_stage) = image.rsplit_once("\nFROM ").expect("stages");
    assert!(last_stage.starts_with("scratch\n"), "no shell, no package manager");
    assert!(last_stage.contains("\nUSER 65532:65532\n") && !last_stage.contains("\nRUN "));
    assert!(image.contains("cargo build --release --locked"));
    let compose = read("docker-compose.yml");
    for word in ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"] {
        assert!(compose.contains(word), "docker-compose.yml lacks {word}");
    }
}

/// A row of `docs/security.md` that says `met` names what would fail if it were not.
#[test]
fn what_is_met_names_its_test() {
    let page = read("docs/security.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let met: Vec<&Vec<&str>> = rows.iter().filter(|row| row.get(2) == Some(&"met")).collect();
    assert!(met.len() > 15, "{}", met.len());
    none(
        "met by nothing",
        met.iter()
            .filter(|row| tests_in(row.last().unwrap_or(&"")).next().is_none())
            .map(|row| row.join(" | ")),
    );
    let named = page.split('`').filter(|word| word.starts_with("tests/") || word.starts_with("src/"));
    let missing = named.filter(|path| is_source(path) && !has_tests(path)).map(str::to_owned);
    none("files without a test", missing);
}

/// A row of what attackers want names a test file, and a name of a test behind one is in it.
#[test]
fn what_stands_in_an_attackers_way_names_tests_that_exist() {
    let page = read("docs/security.md");
    let (_, rest) = page.split_once("| who wants what |").expect("the table of threats");
    let table = rest.split("\n\n").next().unwrap_or_default();
    let mut wrong = Vec::new();
    let rows = table.lines().skip(2);
    assert!(rows.clone().count() > 25, "{table}");
    for row in rows {
        let cell = row.trim_matches('|').split(" | ").nth(2).unwrap_or_default();
        let mut files = tests_in(cell).peekable();
        // What cannot be prevented says so, and where.
        if files.peek().is_none() && !row.contains("(#what-e-mail-codes-cannot-give)") {
            wrong.push(format!("no test: {row}"));
        }
        let mut file = "";
        for word in cell.split('`').filter(|word| !word.trim().is_empty()) {
            if is_source(word) {
                file = word;
            } else if file.is_empty() || !read(file).contains(&format!("fn {word}(")) {
                wrong.push(format!("{file} has no test {word}"));
            }
        }
    }
    none("threats without a test", wrong);
}

fn tests_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').filter(|word| is_source(word))
}

fn is_source(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|extension| extension == "rs")
}

/// Fuzz targets are tests, too.
fn has_tests(path: &str) -> bool {
    let text = read(path);
    ["#[test]", "#[tokio::test", "on_every_store!", "pub fn stored_records", "pub fn device_key"]
        .iter()
        .any(|word| text.contains(word))
}
