//! `docs/reliability.md` in step with the tests: every row names one, and every test that is named is there.

use super::{
    none,
    source::{read, root},
};

const PAGE: &str = "docs/reliability.md";

/// The tests that `line` names: `engines::cluster::a_killed_master_loses_nothing_acknowledged`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| word.split("::").count() == 3)
}

/// Whether `test` is a function of the file that its name leads to.
fn exists(test: &str) -> bool {
    let mut parts = test.split("::");
    let (Some(binary), Some(module), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let path = format!("tests/{binary}/{module}.rs");
    root().join(&path).is_file() && read(&path).contains(&format!("fn {name}("))
}

#[test]
fn every_fault_names_a_test_that_there_is() {
    let page = read(PAGE);
    let unknown = page.lines().flat_map(named).filter(|test| !exists(test)).map(str::to_owned);
    none("tests that docs/reliability.md names and that there are not", unknown);
    let mut faults = Vec::new();
    let mut in_faults = false;
    for line in page.lines() {
        // The tables of faults are those whose head asks for a test.
        in_faults = line.starts_with('|') && (in_faults || line.contains("| test"));
        faults.extend(in_faults.then_some(line));
    }
    let rows = faults.iter().filter(|row| !row.contains("---") && !row.contains("| test"));
    none(
        "rows of docs/reliability.md without a test",
        rows.filter(|row| named(row).next().is_none()).map(|row| (*row).to_owned()),
    );
    assert!(faults.len() > 20, "the tables are there");
}
