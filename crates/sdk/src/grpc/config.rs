//! Flags and environment.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use jackfield_wire::grpc;

use super::listen::Bind;

const BIND: &str = "jackfield-bind";
const LEVEL: &str = "jackfield-log-level";

/// Said to a person who starts a plugin by hand.
const BY_HAND: &str = "A plugin is started by its host, which says where to listen. To try it by hand: \
                       --bind http://127.0.0.1:8080";

/// What every plugin is told, and what this one asked for.
pub(crate) struct Told<C> {
    /// Where to listen; there unless a socket was inherited.
    pub(crate) bind: Option<Bind>,
    /// As it was written.
    pub(crate) level: String,
    pub(crate) own: C,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Untold {
    /// Help or version, which were asked for; styled.
    Asked(clap::Error),
    /// Flags or environment are wrong.
    Wrong(String),
}

/// The name under which this program was called.
pub(crate) fn program() -> String {
    env::args_os()
        .next()
        .and_then(|path| {
            let name = Path::new(&path).file_name()?;
            Some(name.to_string_lossy().into_owned())
        })
        .unwrap_or_else(|| "plugin".to_owned())
}

/// Reads flags, then environment, then defaults.
pub(crate) fn read<C: clap::Args>(
    version: Option<String>,
    inherited: bool,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Told<C>, Untold> {
    let mut command = C::augment_args(base(version, inherited));
    let mut matches = command.try_get_matches_from_mut(args).map_err(untold)?;
    let own = C::from_arg_matches_mut(&mut matches)
        .map_err(|error| untold(error.format(&mut command)))?;
    Ok(Told {
        bind: matches.remove_one(BIND),
        level: matches.remove_one(LEVEL).unwrap_or_default(),
        own,
    })
}

fn base(version: Option<String>, inherited: bool) -> Command {
    let bind = Arg::new(BIND)
        .long("bind")
        .value_name("BIND")
        .required(!inherited)
        .value_parser(ValueParser::new(|text: &str| Bind::read(text)))
        .help("Where to listen, as http://127.0.0.1:8080; hosts say so by themselves");
    let level = Arg::new(LEVEL)
        .long("log-level")
        .value_name("LEVEL")
        .default_value("info")
        .help("How much to log: trace, debug, info, warn or error");
    let ignored = ["log-json", "log-timestamps", "log-color"].map(|name| {
        Arg::new(name)
            .long(name)
            .num_args(0..=1)
            .require_equals(true)
            .action(ArgAction::Append)
            .hide(true)
    });
    Command::new(program())
        .version(version.unwrap_or_else(|| "(no version)".to_owned()))
        .arg(from_env(bind, grpc::BIND))
        .arg(from_env(level, grpc::LOG_LEVEL))
        .args(ignored)
}

/// Set to nothing is not set.
fn from_env(arg: Arg, name: &'static str) -> Arg {
    match env::var_os(name) {
        Some(value) if value.is_empty() => arg,
        _ => arg.env(name),
    }
}

fn untold(error: clap::Error) -> Untold {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Untold::Asked(error),
        ErrorKind::MissingRequiredArgument => Untold::Wrong(missing(&error)),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Untold::Wrong(line.strip_prefix("error: ").unwrap_or(line).to_owned())
        }
    }
}

/// `missing flags: --bind=BIND, --folder=FOLDER`.
fn missing(error: &clap::Error) -> String {
    let flags = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(flags)) => flags.clone(),
        Some(ContextValue::String(flag)) => vec![flag.clone()],
        _ => Vec::new(),
    };
    let by_hand = flags.iter().any(|flag| flag.starts_with("--bind "));
    let flags: Vec<String> = flags
        .iter()
        .map(|flag| flag.replacen(" <", "=", 1).replace('>', ""))
        .collect();
    let mut text = format!("missing flags: {}", flags.join(", "));
    if by_hand {
        text.push('\n');
        text.push_str(BY_HAND);
    }
    text
}
