//! Hostile input, on every run of the tests: all that is kept in `corpus/`, and mutations of it, given to the targets.
//! The mutations are the same in every run, so that a run tells about the code and not about luck; libFuzzer looks for
//! new ones (`docs/security.md` says how). `FUZZ_ROUNDS=100000 cargo test --test fuzz` plays more of them, drawn anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod mutate;
mod targets;

use std::{fs, path::PathBuf};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// As many mutations of its corpus each target gets in a run: a few seconds in all. A damaged record meets every
/// operation, which takes its time.
fn rounds_of(name: &str) -> u32 {
    if name == "stored_records" { 500 } else { 1500 }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn play(name: &str) {
    let (_, target) = targets::ALL.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty());
    for (path, data) in &corpus {
        let outcome = std::panic::catch_unwind(|| target(data));
        assert!(outcome.is_ok(), "{}", path.display());
    }
    let seeds: Vec<Vec<u8>> = corpus.into_iter().map(|(_, data)| data).collect();
    let chosen = std::env::var("FUZZ_ROUNDS").ok().map(|rounds| rounds.parse().expect("a number"));
    let config =
        Config { cases: chosen.unwrap_or(rounds_of(name)), failure_persistence: None, ..Config::default() };
    let mut runner = match chosen {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&mutate::mutations_of(seeds), |data| {
        target(&data.0);
        Ok::<(), TestCaseError>(())
    });
    assert!(outcome.is_ok(), "{name}: {}", outcome.unwrap_err());
}

/// The corpus begins with what this release writes, and keeps what releases before it wrote. Where a record takes another
/// form: add the new one beside the old (`FUZZ_RECORDS=write cargo test --test fuzz`).
#[test]
fn the_corpus_has_a_sound_record_of_each_kind() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/stored_records");
    let sound = targets::sound_records();
    assert_eq!(sound.len(), 9, "a job is there only while work is under way");
    for (kind, bytes) in sound {
        let file = folder.join(format!("{}-{}", kind.trim_end_matches(':'), bytes[1]));
        if std::env::var("FUZZ_RECORDS").is_ok() {
            fs::write(&file, &bytes).unwrap();
        }
        assert_eq!(fs::read(&file).ok(), Some(bytes), "{} is not what is written now", file.display());
    }
}

macro_rules! each_on_its_own {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            play(stringify!($name));
        })+

        #[test]
        fn every_target_is_played() {
            assert_eq!(targets::ALL.map(|(name, _)| name), [$(stringify!($name)),+]);
        }
    };
}

each_on_its_own!(device_key, email, ids, requests, settings, stored_records);
