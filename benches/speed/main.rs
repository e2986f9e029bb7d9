//! How fast the service is: beside references that do the same work with as little as possible, in turns, in one run.
//! `cargo bench --bench speed -- --help` says how it is asked; `docs/performance.md` holds what it said.
//!
//! `rows` is the table. For each row two `party`s are started, each with the processes and the `store` it needs. In turn
//! each gets some `work` ready and does it under `load`; `rounds` compares, `report` tells. Under `cargo test` the same
//! runs with a handful of requests: the answers are looked at, the times are not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::future_not_send,
    missing_docs,
    reason = "as in tests; and figures for people need no more than a float holds"
)]

mod bed;
mod cost;
#[path = "../../tests/harness/mod.rs"]
mod harness;
mod load;
mod mailbox;
mod options;
mod party;
mod people;
mod process;
mod reference;
mod report;
mod rounds;
mod rows;
mod scale;
mod store;
mod wire;
mod work;

use std::process::ExitCode;

use bed::Bed;
use options::{Options, Task};
use report::Report;
use rows::ROWS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match options::parse(&arguments) {
        Ok(Task::Reference(arguments)) => reference::serve(&arguments),
        Ok(Task::Say(text)) => print!("{text}"),
        Ok(Task::List) => ROWS.iter().for_each(|row| println!("{:20} {}", row.name, row.operation)),
        Ok(Task::Measure(options)) => return measure(&options),
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Fails where answers were wrong or missing, never for a time.
fn measure(options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(everything(options));
    if !options.smoke {
        report.tell(options);
    }
    let wrong = report.wrong();
    for story in &wrong {
        eprintln!("WRONG {story}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn everything(options: &Options) -> Report {
    let bed = Bed::new(options);
    let mut report = Report::default();
    for row in ROWS.iter().filter(|row| options.wants(row.name)) {
        eprintln!("{}: {} / {}", row.name, row.operation, row.against);
        report.speed.extend(rounds::measure(row, &bed).await);
    }
    if options.wants("cost") {
        eprintln!("cost: memory, start, size");
        report.cost = cost::measure(&bed).await;
    }
    if options.scale {
        report.scale = scale::measure(&bed, options.sessions).await;
    }
    report
}
