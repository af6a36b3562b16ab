//! The server, from its start to what did not stop.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use jackfield::wire::UnknownRuntimeProvider;
use jackfield_server::{Ended, LoggingError, Server, StartError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::options::Args;
use crate::command_error::CommandError;
use crate::commands::run::warn;
use crate::live::LiveError;
use crate::out::{Out, Style};
use crate::secret_file;
use crate::setup::SetupError;
use crate::signals::Signals;

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("PLUGIN_RUNTIME_PROVIDER: {0}")]
    Provider(UnknownRuntimeProvider),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Log(LoggingError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write the administrator token into {}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
}

/// How long the last spans may take on their way.
const FLUSH: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: Args, verbose: u8, out: &Out) -> Result<(), CommandError> {
    let telemetry = args.logging(verbose).start();
    let telemetry = telemetry.map_err(ServeError::Log)?;
    let served = serve(args, out).await;
    telemetry.end(FLUSH).await;
    served
}

async fn serve(args: Args, out: &Out) -> Result<(), CommandError> {
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let token_file = args.token_file.clone();
    let config = args.config()?;
    let public = config.public_url.clone();
    let server = tokio::select! {
        server = Server::start(config) => server.map_err(ServeError::from)?,
        () = signals.next() => return Err(LiveError::Interrupted.into()),
    };

    let url = format!("http://{}", server.address());
    let object = json!({ "type": "listening", "url": url, "public_url": public });
    let at = out.style(Style::Bold, &url);
    out.tell(
        &object,
        format_args!("listening on {at} (documentation of the API: {url}/docs/)"),
    );
    if let Some(token) = server.administrator_token() {
        administrator(token, &url, token_file, out)?;
    }

    let stop = CancellationToken::new();
    let mut running = pin!(server.run(stop.clone().cancelled_owned()));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = signals.next() => {
                if stop.is_cancelled() {
                    return Err(LiveError::Killed.into());
                }
                out.tell(
                    &json!({ "type": "draining" }),
                    "stopping: plugins first; once more ends it at once",
                );
                stop.cancel();
            }
        }
    };
    told(&ended, out);
    Ok(())
}

/// The one place where the token is shown.
fn administrator(
    token: &str,
    url: &str,
    file: Option<PathBuf>,
    out: &Out,
) -> Result<(), ServeError> {
    if let Some(path) = file {
        let written = secret_file::write(&path, &format!("{token}\n"));
        written.map_err(|source| ServeError::TokenFile {
            path: path.clone(),
            source,
        })?;
        let object = json!({ "type": "administrator", "token_file": path });
        let path = path.display();
        out.tell(
            &object,
            format_args!(
                "the administrator token is in {path}; next: jackfield login {url} < {path}"
            ),
        );
        return Ok(());
    }
    let object = json!({ "type": "administrator", "token": token });
    let next = out.style(Style::Bold, format_args!("jackfield login {url}"));
    out.tell(
        &object,
        format_args!(
            "administrator token, shown this once: {}\nnext, in another terminal: {next}",
            out.style(Style::Bold, token)
        ),
    );
    Ok(())
}

fn told(ended: &Ended, out: &Out) {
    let killed: Vec<String> = ended.killed.iter().map(ToString::to_string).collect();
    for id in &killed {
        warn(
            out,
            &format!("the plugin {id} did not stop in time and was killed"),
        );
    }
    out.tell(&json!({ "type": "stopped", "killed": killed }), "stopped");
}
