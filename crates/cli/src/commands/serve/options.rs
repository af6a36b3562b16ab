//! What an operator can choose, by flag or by variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jackfield::{Policy, RuntimeProvider};
use jackfield_server::config::Events;
use jackfield_server::{Config, Logging};

use super::run::ServeError;
use crate::commands::run::variable;
use crate::logging::level;
use crate::out::colour;

const HELP: &str = "\
At the first start an administrator token is made and told, once. `jackfield login` takes it, and then every command
for plugins on a server works. SIGTERM and Ctrl-C drain: no new requests, plugins stopped, everything written; a
second one ends it at once. Every flag is also a variable: JACKFIELD_ and its name, --public-url is
JACKFIELD_PUBLIC_URL. Packages in S3 take the usual AWS_... variables. RUST_LOG or -v say how much is logged.

Examples:
  jackfield serve                                     everything in ./jackfield-data, on 127.0.0.1:7411
  jackfield serve --listen 0.0.0.0:7411 --public-url https://plugins.example.org
  jackfield serve --database postgres://jackfield@db/jackfield --packages s3://bucket/plugins
  jackfield serve --new-admin-token                   for those who lost theirs
  jackfield serve --token-file /run/secrets/admin     for scripts: nothing secret is printed";

/// Run the server: plugins behind an HTTP API, kept over restarts
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The folder for everything that is not kept elsewhere; made when it is not there
    #[arg(
        long,
        value_name = "FOLDER",
        env = "JACKFIELD_DATA",
        default_value = "./jackfield-data"
    )]
    data: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JACKFIELD_LISTEN",
        default_value = "127.0.0.1:7411"
    )]
    listen: SocketAddr,
    /// The database: `sqlite:…` or `postgres://…` [default: jackfield.db in the data folder]
    #[arg(
        long,
        value_name = "URL",
        env = "JACKFIELD_DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
    /// Where packages are kept: `s3://bucket/prefix` or `file:///folder` [default: packages in the data folder]
    #[arg(long, value_name = "URL", env = "JACKFIELD_PACKAGES")]
    packages: Option<String>,
    /// How plugins and clients reach this server, where that is not the address it listens on
    #[arg(long, value_name = "URL", env = "JACKFIELD_PUBLIC_URL")]
    public_url: Option<String>,
    /// The API of the application, which plugins are told of with their access key [default: this server]
    #[arg(long, value_name = "URL", env = "JACKFIELD_APPLICATION_URL")]
    application_url: Option<String>,
    /// Where supervised plugins run: `local`, `sprites` (needs SPRITES_API_KEY and --public-url), or `none` [default: local]
    #[arg(long, value_name = "PLACE", env = "JACKFIELD_RUNTIME")]
    runtime: Option<RuntimeProvider>,
    /// Another address of the Sprites service
    #[cfg(feature = "sprites")]
    #[arg(long, value_name = "URL", env = "SPRITES_API_URL", hide = true)]
    sprites_url: Option<String>,
    /// Take packages from addresses that are private, too
    #[arg(long, env = "JACKFIELD_ALLOW_PRIVATE_DOWNLOADS")]
    allow_private_downloads: bool,
    /// How long everything may take to stop; what has not then is killed and named
    #[arg(long, value_name = "TIME", env = "JACKFIELD_GRACE", default_value = "20s", value_parser = humantime::parse_duration)]
    grace: Duration,

    /// Make another administrator token and tell it
    #[arg(
        long,
        env = "JACKFIELD_NEW_ADMIN_TOKEN",
        help_heading = "Administrator"
    )]
    new_admin_token: bool,
    /// Write an administrator token that is made into this file, for its owner alone, instead of printing it
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKFIELD_TOKEN_FILE",
        help_heading = "Administrator"
    )]
    pub(super) token_file: Option<PathBuf>,

    /// How the server's own log is written to standard error
    #[arg(
        long,
        value_name = "FORMAT",
        env = "JACKFIELD_LOG_FORMAT",
        default_value = "text",
        help_heading = "Watching it"
    )]
    log_format: LogFormat,
    /// Send traces and figures to an OTLP collector over HTTP: http://localhost:4318
    #[arg(
        long,
        value_name = "URL",
        env = "JACKFIELD_OTLP",
        help_heading = "Watching it"
    )]
    otlp: Option<String>,

    #[command(flatten)]
    plugins: PluginOptions,
    #[command(flatten)]
    events: EventOptions,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// An object per line
    Json,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Plugins")]
struct PluginOptions {
    /// Add a variable to every plugin's environment; may be repeated (in the variable: one on each line)
    #[arg(long, value_name = "KEY=VALUE", env = "JACKFIELD_PLUGIN_ENV", hide_env_values = true, value_delimiter = '\n', value_parser = variable)]
    plugin_env: Vec<(String, String)>,
    /// Restarts in a row after crashes, before a plugin is given up
    #[arg(
        long,
        value_name = "COUNT",
        env = "JACKFIELD_RESTARTS",
        default_value_t = 3
    )]
    restarts: u32,
    /// The delay before the first restart; it doubles
    #[arg(long, value_name = "TIME", env = "JACKFIELD_RESTART_DELAY", default_value = "1s", value_parser = humantime::parse_duration)]
    restart_delay: Duration,
    /// The longest delay between restarts
    #[arg(long, value_name = "TIME", env = "JACKFIELD_RESTART_DELAY_CAP", default_value = "60s", value_parser = humantime::parse_duration)]
    restart_delay_cap: Duration,
    /// How long a plugin has to run before earlier crashes are forgotten
    #[arg(long, value_name = "TIME", env = "JACKFIELD_SETTLE", default_value = "30s", value_parser = humantime::parse_duration)]
    settle: Duration,
    /// Time that a plugin has to connect
    #[arg(long, value_name = "TIME", env = "JACKFIELD_DIAL_DEADLINE", default_value = "30s", value_parser = humantime::parse_duration)]
    dial_deadline: Duration,
    /// Deadline of a call for which none is given
    #[arg(long, value_name = "TIME", env = "JACKFIELD_CALL_DEADLINE", default_value = "30s", value_parser = humantime::parse_duration)]
    call_deadline: Duration,
    /// Time between the interrupt and the kill when a plugin is stopped
    #[arg(long, value_name = "TIME", env = "JACKFIELD_STOP_GRACE", default_value = "3s", value_parser = humantime::parse_duration)]
    stop_grace: Duration,
    /// How long a request waits for a plugin to become active
    #[arg(long, value_name = "TIME", env = "JACKFIELD_ACTIVATION_DEADLINE", default_value = "5m", value_parser = humantime::parse_duration)]
    activation_deadline: Duration,
    /// How many plugins are started at once when the server starts
    #[arg(
        long,
        value_name = "COUNT",
        env = "JACKFIELD_PARALLEL_ACTIVATIONS",
        default_value_t = 8
    )]
    parallel_activations: usize,
    /// The largest package: 50MiB, 1000000
    #[arg(long, value_name = "SIZE", env = "JACKFIELD_MAX_PACKAGE", default_value = "50MiB", value_parser = bytes)]
    max_package: u64,
    /// How many versions of a plugin are kept, the one that counts included
    #[arg(long, value_name = "COUNT", env = "JACKFIELD_KEEP_VERSIONS", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    keep_versions: u16,
    /// How much of each plugin's log is kept; the oldest lines go
    #[arg(long, value_name = "SIZE", env = "JACKFIELD_LOG_SIZE", default_value = "64MiB", value_parser = bytes)]
    log_size: u64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Events")]
struct EventOptions {
    /// How old an event may become before a plugin that was down misses it
    #[arg(long, value_name = "TIME", env = "JACKFIELD_EVENT_MAX_AGE", default_value = "7d", value_parser = humantime::parse_duration)]
    event_max_age: Duration,
    /// How many events are kept
    #[arg(
        long,
        value_name = "COUNT",
        env = "JACKFIELD_EVENT_MAX_COUNT",
        default_value_t = 100_000
    )]
    event_max_count: u64,
    /// The delay after a first refusal; it doubles
    #[arg(long, value_name = "TIME", env = "JACKFIELD_EVENT_RETRY_DELAY", default_value = "1s", value_parser = humantime::parse_duration)]
    event_retry_delay: Duration,
    /// The longest delay between attempts
    #[arg(long, value_name = "TIME", env = "JACKFIELD_EVENT_RETRY_CAP", default_value = "60s", value_parser = humantime::parse_duration)]
    event_retry_cap: Duration,
    /// After how many refusals an event is parked
    #[arg(long, value_name = "COUNT", env = "JACKFIELD_EVENT_PARK_AFTER", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    event_park_after: u32,
}

impl Args {
    /// How the server logs: always what matters. `RUST_LOG` counts more than `-v`.
    pub(super) fn logging(&self, verbose: u8) -> Logging {
        let filter = std::env::var("RUST_LOG").ok();
        let filter = filter.filter(|filter| !filter.is_empty());
        Logging {
            format: match self.log_format {
                LogFormat::Text => jackfield_server::LogFormat::Text,
                LogFormat::Json => jackfield_server::LogFormat::Json,
            },
            filter: filter.unwrap_or_else(|| level(verbose.saturating_add(1)).to_owned()),
            colour: colour(&std::io::stderr()),
            otlp: self.otlp.clone(),
        }
    }

    /// Everything that the server is told; looked at before anything is started.
    pub(super) fn config(self) -> Result<Config, ServeError> {
        let var = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        let mut config = Config::new(self.data);
        config.listen = self.listen;
        config.database = self.database;
        config.packages = self.packages;
        config.packages_options = aws(std::env::vars_os());
        // The names that plugins' hosts had before.
        config.public_url = self.public_url.or_else(|| var("PUBLIC_API_ADDRESS"));
        config.application_url = self.application_url;
        config.runtime_provider = match (self.runtime, var("PLUGIN_RUNTIME_PROVIDER")) {
            (Some(provider), _) => provider,
            (None, Some(text)) => text.parse().map_err(ServeError::Provider)?,
            (None, None) => RuntimeProvider::Local,
        };
        match config.runtime_provider {
            RuntimeProvider::None | RuntimeProvider::Local => {}
            #[cfg(feature = "sprites")]
            RuntimeProvider::Sprites => {
                let sprites = crate::place::Sprites::new(
                    config.public_url.as_deref(),
                    self.sprites_url,
                    Some(&config.data),
                )?;
                config.public_url = Some(sprites.public_address().to_owned());
                config.runtime = Some(sprites.runtime());
            }
            #[cfg(not(feature = "sprites"))]
            other => return Err(crate::setup::SetupError::NoPlace(other).into()),
        }
        config.allow_private_downloads = self.allow_private_downloads;
        config.new_administrator = self.new_admin_token;
        config.grace = self.grace;
        config.otlp = self.otlp;
        config.plugin_env = self.plugins.plugin_env;
        config.activation_deadline = self.plugins.activation_deadline;
        config.parallel_activations = self.plugins.parallel_activations.max(1);
        config.max_package = self.plugins.max_package;
        config.keep_versions = self.plugins.keep_versions.into();
        config.log_limits.total = self.plugins.log_size;
        config.log_limits.file = config.log_limits.file.min(self.plugins.log_size / 4);
        config.policy = Policy {
            restarts: self.plugins.restarts,
            delay: self.plugins.restart_delay,
            delay_cap: self.plugins.restart_delay_cap,
            settle: self.plugins.settle,
            dial_deadline: self.plugins.dial_deadline,
            call_deadline: self.plugins.call_deadline,
            stop_grace: self.plugins.stop_grace,
            ..Policy::default()
        };
        config.events = Events {
            max_age: self.events.event_max_age,
            max_count: self.events.event_max_count,
            retry_delay: self.events.event_retry_delay,
            retry_cap: self.events.event_retry_cap,
            park_after: self.events.event_park_after,
        };
        Ok(config)
    }
}

/// The variables of the package store, by the names that it has for them.
fn aws(
    vars: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Vec<(String, String)> {
    let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    let vars = vars.filter_map(text);
    let aws = vars.filter(|(key, value)| key.starts_with("AWS_") && !value.is_empty());
    aws.map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect()
}

/// `50MiB`, `1000000`.
fn bytes(text: &str) -> Result<u64, &'static str> {
    let wrong = "a size is expected, such as 50MiB or 1000000";
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(wrong),
    };
    let number: u64 = number.parse().map_err(|_| wrong)?;
    number.checked_mul(1 << shift).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn config(line: &[&str]) -> Config {
        let line = std::iter::once("x").chain(line.iter().copied());
        Line::parse_from(line).args.config().unwrap()
    }

    /// What is typed in `default_value` is what the server has by itself.
    #[test]
    fn the_defaults_are_those_of_the_server() {
        let mut ours = config(&[]);
        ours.packages_options.clear();
        let theirs = Config::new("./jackfield-data");
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn what_is_typed_arrives() {
        let config = config(&[
            "--plugin-env",
            "A=1",
            "--plugin-env",
            "B=x=y",
            "--max-package",
            "2k",
            "--runtime",
            "none",
            "--event-park-after",
            "2",
            "--grace",
            "1s",
            "--new-admin-token",
        ]);
        let env = [("A", "1"), ("B", "x=y")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(config.plugin_env, env);
        assert_eq!(config.max_package, 2048);
        assert_eq!(config.runtime_provider, RuntimeProvider::None);
        assert_eq!(config.events.park_after, 2);
        assert_eq!(config.grace, Duration::from_secs(1));
        assert!(config.new_administrator);
    }

    #[test]
    fn the_store_gets_the_variables_that_are_set() {
        let vars = [("AWS_REGION", "here"), ("AWS_ENDPOINT", ""), ("HOME", "/")];
        let vars = vars.map(|(key, value)| (key.into(), value.into()));
        assert_eq!(
            aws(vars.into_iter()),
            [("aws_region".to_owned(), "here".to_owned())]
        );
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("50MiB"), Ok(50 << 20));
        assert_eq!(bytes("7"), Ok(7));
        assert_eq!(bytes("3 g"), Ok(3 << 30));
        assert!(bytes("x").is_err() && bytes("1TiB").is_err() && bytes("99999999999g").is_err());
    }
}
