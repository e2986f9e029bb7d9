//! What has one home: crates that shape everything they touch, the clock, randomness, the environment.

use super::{
    none,
    paths::{self, Named},
    source::sources,
};

/// Complains of every file outside the home that names a matching path of another crate.
fn only_at_home(rule: &str, home: impl Fn(&str) -> bool, matches: impl Fn(&Named) -> bool) {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !home(&source.path)) {
        let named = paths::of(source);
        let strays = named.iter().filter(|named| !named.ours && matches(named));
        complaints.extend(strays.map(|named| format!("{}: {}", source.path, named.written())));
    }
    none(rule, complaints);
}

fn is_of(named: &Named, name: &str) -> bool {
    named.segments.first().is_some_and(|first| first == name)
}

fn has(named: &Named, name: &str) -> bool {
    named.segments.iter().any(|segment| segment == name)
}

#[test]
fn only_the_edge_knows_the_web_framework() {
    let home = |path: &str| path.starts_with("src/http/") || path.ends_with("/http.rs");
    only_at_home("axum is for src/http/ and files called http.rs", home, |named| is_of(named, "axum"));
}

#[test]
fn only_its_engine_and_the_gateway_speak_redis() {
    let home = |path: &str| path.starts_with("src/engine/redis/") || path.starts_with("src/gateway/redis/");
    only_at_home("redis is for engine/redis and gateway/redis", home, |named| is_of(named, "redis"));
}

#[test]
fn only_the_embedded_engine_knows_its_file_format() {
    let home = |path: &str| path.starts_with("src/engine/embedded/");
    only_at_home("redb is for engine/embedded", home, |named| is_of(named, "redb"));
}

/// `Instant`s may be had anywhere: they measure, and decide nothing that is stored. So may the time on a log line, which
/// the log's own library puts there.
#[test]
fn only_the_world_reads_the_clock_and_draws_randomness() {
    let sources_of_chance = ["now_utc", "now_local", "SysRng", "OsRng", "new_v4", "now_v7"];
    let rule = "the clock and randomness are for base/world.rs";
    only_at_home(
        rule,
        |path| path == "src/base/world.rs",
        |named| {
            is_of(named, "rand")
                || is_of(named, "getrandom")
                || is_of(named, "std") && has(named, "SystemTime")
                || sources_of_chance.iter().any(|name| has(named, name))
        },
    );
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let readers = ["var", "vars", "var_os", "vars_os", "set_var", "remove_var"];
    only_at_home(
        "the environment is for config.rs",
        |path| path == "src/config.rs",
        |named| is_of(named, "envy") || has(named, "env") && readers.iter().any(|name| has(named, name)),
    );
}
