//! `jackfield run`

use std::path::PathBuf;
use std::time::Duration;

use jackfield::Spec;
use serde_json::json;

use crate::command_error::CommandError;
use crate::live::{self, Options};
use crate::out::{Out, Style};
use crate::place::PlaceOptions;
use crate::setup::{self, Setup, SetupError, Temporary};
use crate::signals::Signals;
use crate::source;

const HELP: &str = "\
Follows the plugin until Ctrl-C, which stops it and all that it started; a second Ctrl-C kills it.
Answers go to standard output, everything else to standard error.

Examples:
  jackfield run hello                                  the plugin in the folder, as it is now
  jackfield run hello.zip --call greet '{\"name\":\"you\"}'  call a method
  jackfield run hello --call ping null                 what every plugin answers
  jackfield run hello --once --call greet '{\"name\":\"you\"}' 2>/dev/null | jq .greeting
  jackfield run hello --config '{\"greeting\":\"Ahoy\"}' --event EventThreadPublished '{\"id\":\"1\"}'
  jackfield run hello --data ./data --env LOG=debug    keep its state; give it a variable";

/// Run a plugin from its package or folder, follow what it does, call it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A package (.zip), or the folder of a plugin, which is packed and checked first
    package: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    place: PlaceOptions,
    /// Add a variable to the plugin's environment, which is otherwise almost empty; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Restarts in a row after crashes, before the plugin is given up
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    restarts: u32,
    /// Time between the interrupt and the kill when the plugin is stopped
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    grace: Duration,
}

pub(crate) async fn run(args: Args, temporary: &Temporary, out: &Out) -> Result<(), CommandError> {
    let timeout = args.options.timeout.unwrap_or(Duration::from_secs(30));
    let plan = args.options.plan(Some(timeout), args.grace)?;
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let packed = temporary.folder()?;
    let source = tokio::select! {
        source = source::open_to_run(&args.package, packed, out) => source?,
        () = signals.next() => return Err(live::LiveError::Interrupted.into()),
    };
    let manifest = source.package.manifest().clone();
    plan.fits(&manifest)?;
    let odd = source.warnings.into_iter().chain(plan.oddities(&manifest));
    for warning in odd.chain(source::missing_program(&manifest)) {
        warn(out, &warning);
    }

    let place = args.place.place(args.options.data.as_deref())?;
    let bench = Setup {
        place,
        data: args.options.data,
        listen: args.options.listen,
        policy: setup::policy(Some(timeout), args.grace, args.restarts),
        config: plan.config.clone().unwrap_or_default(),
    };
    let bench = bench.build(temporary).await?;
    let id = bench.installation(&manifest.id)?;
    let spec = Spec::supervised(id, source.package);
    let spec = args
        .env
        .into_iter()
        .fold(spec, |spec, (key, value)| spec.env(key, value));
    let session = bench.host.load(spec).map_err(SetupError::from)?;

    let command: Vec<&str> = manifest
        .command
        .iter()
        .chain(&manifest.args)
        .map(String::as_str)
        .collect();
    let object = json!({
        "type": "loaded", "id": id, "plugin": manifest.id, "name": manifest.name,
        "version": manifest.version, "mode": session.mode(), "command": command,
    });
    let name = out.style(
        Style::Bold,
        format_args!("{} {}", manifest.name, manifest.version),
    );
    out.tell(
        &object,
        format_args!("{name}: {}; Ctrl-C stops it", command.join(" ")),
    );
    let followed = live::follow(&bench.host, &session, &plan, &mut signals, out).await;
    let left = bench.place.leave(id).await;
    followed?;
    Ok(left?)
}

/// Something odd that keeps nobody from going on.
pub(crate) fn warn(out: &Out, warning: &str) {
    let object = json!({ "type": "warning", "message": warning });
    out.tell(
        &object,
        format_args!("{} {warning}", out.style(Style::Odd, "warning:")),
    );
}

/// `KEY=VALUE`.
pub(crate) fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected"),
    }
}
