//! The program: reads the settings, builds the service, serves it until it is told to stop.

use std::{
    error::Error,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use authsession::{
    app,
    base::{World, chain, settings::Faults},
    config::Config,
    http::{ListenAddress, Stop},
    serve::{Ending, Server},
    telemetry,
};
use tokio::{
    runtime::{Builder, Runtime},
    select,
    signal::unix::{SignalKind, signal},
};
use tracing::{error, info, warn};

const USAGE: &str = "\
Usage: authsession [COMMAND]

Passwordless e-mail-code login. Settings come from the environment: see .env.example.

Commands:
  (none)                 serve until SIGTERM or SIGINT; a second signal cuts
  check-config           say whether the settings are valid, and which hold
  healthcheck [--ready]  ask the service with these settings whether it runs (or is ready)
  --version              print the version
  --help                 print this
";

/// The settings or the arguments are wrong: another try is no use.
const BAD_SETTINGS: u8 = 2;

/// How long `healthcheck` waits. Docker's own limit is 30 s by default.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => with_config(serve),
        ["check-config"] => with_config(check_config),
        ["healthcheck"] => with_config(|config| healthcheck(config, "/healthz")),
        ["healthcheck", "--ready"] => with_config(|config| healthcheck(config, "/readyz")),
        ["--version" | "-V"] => say(&format!("authsession {}\n", env!("CARGO_PKG_VERSION"))),
        ["--help" | "-h"] => say(USAGE),
        [..] => {
            complain(USAGE);
            ExitCode::from(BAD_SETTINGS)
        }
    }
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
    let warnings = config.warnings().into_iter().map(|warning| format!("warning: {warning}"));
    let lines: Vec<String> =
        ["configuration is valid".into()].into_iter().chain(settings).chain(warnings).collect();
    say(&format!("{}\n", lines.join("\n")))
}

fn serve(config: &Config) -> ExitCode {
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
        let ended = runtime.block_on(run(config, telemetry.renderer()));
        finish(runtime);
        ended
    });
    let code = report(ended);
    telemetry.shutdown();
    code
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
async fn run(
    config: &Config,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
) -> Result<Ending, Box<dyn Error>> {
    let (stop, cut) = (Stop::new(), Stop::new());
    listen_to_signals(stop.clone(), cut.clone())?;
    let work = async {
        let app = app::build(config, World::system())?;
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
    for warning in config.warnings() {
        warn!("{warning}");
    }
    let inner = server.internal_addr();
    if !inner.ip().to_canonical().is_loopback() && config.http.internal_tokens.is_empty() {
        warn!(
            addr = %inner,
            "the internal listener is open to everybody who can reach it: AUTHSESSION_INTERNAL_AUTH_TOKENS is not set"
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

/// Asks over HTTP/1.1, by hand: one request, one status line.
fn healthcheck(config: &Config, path: &str) -> ExitCode {
    let address = &config.http.public;
    let healthy = candidates(address).into_iter().any(|address| ask(address, path).is_ok_and(|ok| ok));
    if healthy {
        return ExitCode::SUCCESS;
    }
    complain(&format!("{address} does not answer {path} with 200\n"));
    ExitCode::FAILURE
}

/// Where a service that listens on `address` is reached from the same machine.
fn candidates(address: &ListenAddress) -> Vec<SocketAddr> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let everywhere = || loopback.map(|ip| SocketAddr::new(ip, address.port)).to_vec();
    if address.host.is_empty() || address.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        return everywhere();
    }
    (address.host.as_str(), address.port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

fn ask(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    stream.set_write_timeout(Some(HEALTH_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line)?;
    Ok(status_line == *b"HTTP/1.1 200")
}

fn say(text: &str) -> ExitCode {
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// To stderr. Where even that is closed there is nobody to tell.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
