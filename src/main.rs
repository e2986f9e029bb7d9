//! The program: reads the settings, builds the service, serves it until it is told to stop.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use authsession::{
    app,
    base::{World, chain, settings::Faults},
    config::{Config, Listeners},
    gateway::{self, Checkpoint, Progress},
    healthcheck,
    http::Stop,
    serve::{Ending, Server},
    telemetry,
};
use tokio::{
    runtime::{Builder, Runtime},
    select,
    signal::unix::{SignalKind, signal},
};
use tracing::{error, info, warn};

/// Memory is given back by other threads than took it: the system's allocator spends a fifth of a revoke on that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
Usage: authsession [COMMAND]

Passwordless e-mail-code login. Settings come from the environment: see .env.example.

Commands:
  (none)                 serve until SIGTERM or SIGINT; a second signal cuts
  reproject [--from CHECKPOINT] [--per-second N]
                         write every record of the gateway's Redis anew, beside a running service; go on from where
                         another run told that it was; N sessions a second at most (10000)
  check-config           say whether the settings are valid, and which hold
  healthcheck [--ready]  ask the service with these settings whether it runs (or is ready)
  --version              print the version
  --help                 print this
";

/// The settings or the arguments are wrong: another try is no use.
const BAD_SETTINGS: u8 = 2;

/// Renders the metrics.
type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => with_config(serve),
        ["reproject", options @ ..] => match ReprojectOptions::parse(options) {
            Some(options) => with_config(|config| reproject(config, options)),
            None => misused(),
        },
        ["check-config"] => with_config(check_config),
        ["healthcheck"] => ask("/healthz"),
        ["healthcheck", "--ready"] => ask("/readyz"),
        ["--version" | "-V"] => say(&format!("authsession {}\n", env!("CARGO_PKG_VERSION"))),
        ["--help" | "-h"] => say(USAGE),
        [..] => misused(),
    }
}

fn misused() -> ExitCode {
    complain(USAGE);
    ExitCode::from(BAD_SETTINGS)
}

fn with_config(command: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match Config::from_env() {
        Ok(config) => command(&config),
        Err(Faults(faults)) => {
            for fault in faults {
                complain(&format!("{fault}\n"));
            }
            ExitCode::from(BAD_SETTINGS)
        }
    }
}

fn check_config(config: &Config) -> ExitCode {
    let settings = config.effective().iter().map(|(name, value)| format!("{name}={value}"));
    let warnings =
        config.warnings(World::system().now()).into_iter().map(|warning| format!("warning: {warning}"));
    let lines: Vec<String> =
        ["configuration is valid".into()].into_iter().chain(settings).chain(warnings).collect();
    say(&format!("{}\n", lines.join("\n")))
}

fn serve(config: &Config) -> ExitCode {
    with_runtime(config, |metrics| run(config, metrics), report)
}

/// Does `work`, then `report`s, with a log and a runtime.
fn with_runtime<T, F: Future<Output = Result<T, Box<dyn Error>>>>(
    config: &Config,
    work: impl FnOnce(Metrics) -> F,
    report: impl FnOnce(Result<T, Box<dyn Error>>) -> ExitCode,
) -> ExitCode {
    // Before the runtime and after it: exporters block while they are made and flushed.
    let telemetry = match telemetry::start(&config.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            complain(&format!("authsession cannot start: {}\n", chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    install_panic_hook();
    let ended = Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
        let ended = runtime.block_on(work(telemetry.renderer()));
        finish(runtime);
        ended
    });
    let code = report(ended);
    telemetry.shutdown();
    code
}

fn reproject(config: &Config, options: ReprojectOptions) -> ExitCode {
    with_runtime(config, |_| rebuild(config, options), report_rebuilt)
}

/// What `reproject` takes.
struct ReprojectOptions {
    from: Checkpoint,
    per_second: u32,
}

impl ReprojectOptions {
    fn parse(mut arguments: &[&str]) -> Option<Self> {
        // Some tenth of what one Redis can do.
        let mut options = Self { from: Checkpoint::START, per_second: 10_000 };
        while let [name, value, rest @ ..] = arguments {
            match *name {
                "--from" => options.from = value.parse().ok()?,
                "--per-second" => options.per_second = value.parse().ok().filter(|number| *number > 0)?,
                _ => return None,
            }
            arguments = rest;
        }
        arguments.is_empty().then_some(options)
    }
}

/// The last line of the log, and the exit code that goes with it.
fn report(ended: Result<Ending, Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(ending) => {
            info!(?ending, "stopped");
            ExitCode::from(ending.exit_code())
        }
        Err(error) => {
            error!(cause = chain(&*error), "cannot start");
            complain(&format!("authsession cannot start: {}\n", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

/// From the first instruction to the last answer. The second signal drops all of it where it stands.
async fn run(config: &Config, metrics: Metrics) -> Result<Ending, Box<dyn Error>> {
    let (stop, cut) = (Stop::new(), Stop::new());
    listen_to_signals(stop.clone(), cut.clone())?;
    let work = async {
        let app = app::build(config, &World::system())?;
        app.serve_metrics(move || metrics());
        let server = Server::bind(app, config).await?;
        warn_of(config, &server);
        Ok(server.run(stop).await)
    };
    select! {
        ended = work => ended,
        () = cut.cancelled() => {
            warn!("told twice to stop: unfinished work was cut off");
            Ok(Ending::Cut)
        }
    }
}

fn warn_of(config: &Config, server: &Server) {
    for warning in config.warnings(World::system().now()) {
        warn!("{warning}");
    }
    let inner = server.internal_addr();
    let knows_callers = config.serve.internal.tls.as_ref().is_some_and(|files| files.client_ca.is_some());
    let open = config.http.internal_tokens.is_empty() && !knows_callers;
    if open && !inner.ip().to_canonical().is_loopback() {
        warn!(
            addr = %inner,
            "the internal listener is open to everybody who can reach it: neither AUTHSESSION_INTERNAL_AUTH_TOKENS nor \
             AUTHSESSION_INTERNAL_TLS_CLIENT_CA_FILE is set"
        );
    }
}

/// The first SIGTERM or SIGINT tells `stop`, the second `cut`.
fn listen_to_signals(stop: Stop, cut: Stop) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        for told in [stop, cut] {
            select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        }
    });
    Ok(())
}

/// Until all is written, or until the first signal.
async fn rebuild(
    config: &Config,
    ReprojectOptions { from, per_second }: ReprojectOptions,
) -> Result<Option<(Progress, gateway::Ending)>, Box<dyn Error>> {
    let (stop, cut) = (Stop::new(), Stop::new());
    listen_to_signals(stop.clone(), cut.clone())?;
    let Some(reprojection) = app::reprojection(config, World::system(), per_second)? else { return Ok(None) };
    let mut progress = Progress::starting(from);
    let ending = select! {
        ending = reprojection.run(&mut progress, &stop) => ending,
        () = cut.cancelled() => gateway::Ending::Stopped,
    };
    Ok(Some((progress, ending)))
}

fn report_rebuilt(ended: Result<Option<(Progress, gateway::Ending)>, Box<dyn Error>>) -> ExitCode {
    let (progress, why) = match ended {
        Ok(None) => {
            info!("nothing to reproject: there is no Redis, and gateways follow the store's own events");
            return ExitCode::SUCCESS;
        }
        Ok(Some((progress, gateway::Ending::Complete))) => {
            progress.tell("every session is reprojected");
            return if progress.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Ok(Some((progress, gateway::Ending::Stopped))) => (progress, "told to stop".to_owned()),
        Ok(Some((progress, gateway::Ending::Unavailable(error)))) => (progress, chain(&error)),
        Err(error) => return report(Err(error)),
    };
    progress.tell("not every session is reprojected");
    complain(&format!("not done: {why}; to go on: authsession reproject --from {}\n", progress.at));
    ExitCode::FAILURE
}

/// What blocks a thread, such as a name that is being looked up, does not keep the process alive.
fn finish(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Logs where a panic happened, once. Not what it said: such texts may quote what a caller sent.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "panic");
    }));
}

fn ask(path: &str) -> ExitCode {
    let Listeners { http, serve } = Listeners::from_env();
    if healthcheck::answers(&http.public, &serve.public, path) {
        return ExitCode::SUCCESS;
    }
    complain(&format!("{} does not answer {path} with 200\n", http.public));
    ExitCode::FAILURE
}

fn say(text: &str) -> ExitCode {
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// To stderr. Where even that is closed there is nobody to tell.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
