//! `jackfield external`

use std::path::PathBuf;
use std::time::Duration;

use jackfield::wire::env;
use jackfield::{InstallationId, Spec, Token};
use serde_json::json;

use super::run::warn;
use crate::command_error::CommandError;
use crate::live::{self, Options};
use crate::out::{Out, Style};
use crate::place::Place;
use crate::setup::{self, Setup, SetupError, Temporary};
use crate::signals::Signals;
use crate::source;

const HELP: &str = "\
Prints the address at which the program has to dial in, with a token that holds as long as this
command runs, and waits for it: for ever, or as long as --timeout says. The program may go and come
back. Its output stays where you started it. For a program on another machine, listen on an address
that it can reach.

Examples:
  jackfield external hello/manifest.json
  jackfield external hello --listen 127.0.0.1:7331 --call greet '{\"name\":\"you\"}'
  jackfield external hello --listen 0.0.0.0:7331       and put this machine's name into the address";

/// Let a program that you start yourself dial in, follow it, call it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The program's manifest, or the folder that it is in
    manifest: PathBuf,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(args: Args, temporary: &Temporary, out: &Out) -> Result<(), CommandError> {
    let plan = args.options.plan(args.options.timeout, Duration::ZERO)?;
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let (manifest, warnings) = source::manifest(&args.manifest, out).await?;
    plan.fits(&manifest)?;
    for warning in warnings.into_iter().chain(plan.oddities(&manifest)) {
        warn(out, &warning);
    }

    let bench = Setup {
        place: Place::Here,
        data: args.options.data,
        listen: args.options.listen,
        policy: setup::policy(args.options.timeout, Duration::from_secs(3), 3),
        config: plan.config.clone().unwrap_or_default(),
    };
    let bench = bench.build(temporary).await?;
    let id = InstallationId::default();
    let token = Token::external();
    let spec = Spec::external(id, manifest.clone(), token.hash());
    let session = bench.host.load(spec).map_err(SetupError::from)?;

    let object = json!({
        "type": "loaded", "id": id, "plugin": manifest.id, "name": manifest.name,
        "version": manifest.version, "mode": session.mode(),
    });
    let name = out.style(
        Style::Bold,
        format_args!("{} {}", manifest.name, manifest.version),
    );
    out.tell(
        &object,
        format_args!("{name}: start it with this in its environment; Ctrl-C ends"),
    );
    // The one place where the token is shown.
    let url = format!("{}?token={}", bench.host.rpc_url(), token.reveal());
    let object = json!({ "type": "url", "url": url, "env": { env::RPC_URL: url } });
    out.result(&object, format_args!("export {}='{url}'", env::RPC_URL));
    let followed = live::follow(&bench.host, &session, &plan, &mut signals, out).await;
    Ok(followed?)
}
