//! The loop over everything that happens with a plugin at work.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use jackfield::Manifest;
use jackfield::runtime::{Exit, Stream};
use jackfield_process::SpawnError;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::installation::{prepare, reread};
use super::program::{Doing, Program, Recipe};
use super::relay::Relay;
use super::watch::Watch;
use super::wire::line;
use crate::client::Remote;
use crate::command_error::CommandError;
use crate::commands::run::warn;
use crate::live::LiveError;
use crate::out::{Out, Style, plain};
use crate::setup::SetupError;
use crate::signals::Signals;
use crate::source;

const HELP: &str = "\
Finds the external installation of this plugin on the server, by its manifest's id, or makes one; tells the server its
manifest as it is now; then runs its command in the folder. The program dials a relay in this command, which dials the
server: every call and every answer is shown, with -v what is in them. The program is started again when a file in the
folder changes and when it ends; Ctrl-C ends it and everything that it started. It gets another token each time, so
that a program with the old one is not connected any more.

Not watched: hidden files, target, node_modules, __pycache__, venv, logs, tmp, databases, and what --ignore names. A
command that a build makes counts, wherever it lies.

Examples:
  jackfield dev hello
  jackfield dev hello -v                           with parameters and answers
  jackfield dev hello -- python3 -X dev plugin.py  another command than the manifest's
  jackfield dev hello --ignore data.json";

/// Work on a plugin in its folder, connected to the server: restarted at every change, every call shown
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The folder of the plugin, or its manifest
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Do not start it again when a file changes
    #[arg(long)]
    no_watch: bool,
    /// The name of a file or folder whose changes do not count; may be repeated
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    #[command(flatten)]
    remote: Remote,
    /// What is run instead of the manifest's command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Why nobody can work on it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("the manifest has no command")]
    NoCommand,
    #[error("cannot find {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the plugin cannot be started")]
    Spawn(#[from] SpawnError),
    #[error("cannot listen on this machine")]
    Listen(#[source] io::Error),
    #[error("cannot watch the folder")]
    Watch(#[source] notify::Error),
    #[error("`{0}` has several external installations on the server: {list}", list = .1.join(", "))]
    Several(String, Vec<String>),
}

/// One thing that happened.
enum Event {
    Signal,
    Changed(PathBuf),
    Doing(Doing),
    /// Time to start it again.
    Due,
    Relay(io::Error),
}

/// What is known of the program.
enum State {
    Running(Program),
    /// It is being stopped, to be started again.
    Restarting(Program),
    /// We go; it is being stopped.
    Stopping(Program),
    /// It has ended, and is started again then.
    Waiting(Instant),
}

/// Files are written in bursts.
const BURST: Duration = Duration::from_millis(300);

/// After crashes in a row.
const LONGEST: Duration = Duration::from_secs(30);

/// Whoever ran for this long did not crash at its start.
const SETTLED: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: Args, bodies: bool, out: &Out) -> Result<(), CommandError> {
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let client = args.remote.client()?;
    let (mut manifest, warnings) = source::manifest(&args.folder, out).await?;
    for warning in &warnings {
        warn(out, warning);
    }
    let folder = folder(&args.folder)?;
    if args.command.is_empty() && manifest.command.as_deref().is_none_or(str::is_empty) {
        return Err(DevError::NoCommand.into());
    }
    let (id, token) = prepare(&client, &manifest, out).await?;
    let relay = Relay::listen(client.base(), token, out).await;
    let relay = relay.map_err(DevError::Listen)?;
    let recipe = Recipe {
        folder: folder.clone(),
        instead: args.command,
        url: relay.url().map_err(DevError::Listen)?,
    };
    let mut watch = match args.no_watch {
        true => None,
        false => {
            let watch = Watch::new(&folder, recipe.file(&manifest), &args.ignore);
            Some(watch.map_err(DevError::Watch)?)
        }
    };

    let mut relayed = pin!(relay.serve(bodies));
    let mut crashes = 0;
    let mut began = Instant::now();
    let mut state = State::Waiting(began);
    // Changes that are not acted on yet, and when they are.
    let mut burst: Option<(PathBuf, Instant)> = None;
    loop {
        let due = due(&state, burst.as_ref());
        let event = tokio::select! {
            biased;
            () = signals.next() => Event::Signal,
            doing = doing(&mut state) => Event::Doing(doing),
            Some(path) = changed(&mut watch) => Event::Changed(path),
            () = wait(due) => Event::Due,
            error = &mut relayed => Event::Relay(error),
        };
        state = match (event, state) {
            (Event::Signal, State::Running(program) | State::Restarting(program)) => {
                say(out, "stopping", "stopping; once more kills it");
                program.stop();
                State::Stopping(program)
            }
            (Event::Signal, State::Stopping(program)) => {
                program.kill();
                return Err(LiveError::Killed.into());
            }
            (Event::Signal, State::Waiting(_)) => return Ok(()),
            (Event::Relay(error), _) => return Err(DevError::Listen(error).into()),
            (Event::Changed(path), state) => {
                burst = Some((path, Instant::now() + BURST));
                state
            }
            (Event::Doing(Doing::Wrote(wrote)), state) => {
                let text = plain(&String::from_utf8_lossy(&wrote.text));
                let (kind, style) = match wrote.stream {
                    Stream::Stdout => ("stdout", Style::Plain),
                    Stream::Stderr => ("stderr", Style::Odd),
                };
                let object = json!({ "type": "output", "stream": kind, "text": text });
                line(out, &object, kind, out.style(style, text));
                state
            }
            (Event::Doing(Doing::Exited(exit)), State::Stopping(_)) => {
                say(out, "exited", &format!("ended: {}", exit.status));
                return Ok(());
            }
            (Event::Doing(Doing::Exited(_)), State::Restarting(_)) => {
                State::Waiting(Instant::now())
            }
            (Event::Doing(Doing::Exited(exit)), _) => {
                if began.elapsed() > SETTLED {
                    crashes = 0;
                }
                let delay = ended(&exit, &mut crashes, out);
                State::Waiting(Instant::now() + delay)
            }
            (Event::Due, state) => match (burst.take_if(|(_, at)| *at <= Instant::now()), state) {
                (Some((path, _)), state) => {
                    let short = path.strip_prefix(&folder).unwrap_or(&path);
                    say(out, "changed", &format!("{} was changed", short.display()));
                    crashes = 0;
                    // What the server closes meanwhile has to be seen.
                    let reread = reread(&client, &id, &args.folder, &manifest, out);
                    let now = tokio::select! {
                        now = reread => now,
                        error = &mut relayed => return Err(DevError::Listen(error).into()),
                    };
                    manifest = now.unwrap_or(manifest);
                    match state {
                        State::Running(program) => {
                            program.stop();
                            State::Restarting(program)
                        }
                        State::Waiting(_) => State::Waiting(Instant::now()),
                        other => other,
                    }
                }
                (None, State::Waiting(at)) if at <= Instant::now() => {
                    began = Instant::now();
                    match recipe.start(&manifest).await {
                        Ok(program) => {
                            started(&program, &recipe, &manifest, out);
                            State::Running(program)
                        }
                        // At the first time it is what was typed; later a build may be on its way.
                        Err(error) if watch.is_none() => return Err(DevError::Spawn(error).into()),
                        Err(error) => {
                            say(
                                out,
                                "failed",
                                &format!("cannot be started: {error}; waiting for a change"),
                            );
                            State::Waiting(Instant::now() + LONGEST)
                        }
                    }
                }
                (None, state) => state,
            },
        };
    }
}

async fn doing(state: &mut State) -> Doing {
    match state {
        State::Running(program) | State::Restarting(program) | State::Stopping(program) => {
            program.next().await
        }
        State::Waiting(_) => std::future::pending().await,
    }
}

async fn changed(watch: &mut Option<Watch>) -> Option<PathBuf> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// When there is something to do, if nothing happens before.
fn due(state: &State, burst: Option<&(PathBuf, Instant)>) -> Option<Instant> {
    let start = match state {
        State::Waiting(at) => Some(*at),
        State::Running(_) | State::Restarting(_) | State::Stopping(_) => None,
    };
    start.into_iter().chain(burst.map(|(_, at)| *at)).min()
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn folder(typed: &std::path::Path) -> Result<PathBuf, DevError> {
    let folder = match typed.is_dir() {
        true => typed,
        false => typed.parent().unwrap_or(typed),
    };
    let folder = if folder.as_os_str().is_empty() {
        std::path::Path::new(".")
    } else {
        folder
    };
    folder.canonicalize().map_err(|source| DevError::Folder {
        path: folder.to_owned(),
        source,
    })
}

fn started(program: &Program, recipe: &Recipe, manifest: &Manifest, out: &Out) {
    let words = recipe.words(manifest);
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let object = json!({ "type": "started", "pid": program.pid(), "command": words });
    let text = format!("{} (pid {})", plain(&words.join(" ")), program.pid());
    line(out, &object, "started", text);
}

/// It ended by itself. How long to wait before it is started again.
fn ended(exit: &Exit, crashes: &mut u32, out: &Out) -> Duration {
    let delay = match exit.status.success() {
        // It asked for it; not in a hot loop.
        true => Duration::from_millis(200),
        false => {
            *crashes += 1;
            Duration::from_secs(1 << (*crashes - 1).min(5)).min(LONGEST)
        }
    };
    let object = json!({ "type": "exited", "status": exit.status.to_string(), "again_in_ms": delay.as_millis() as u64 });
    let style = if exit.status.success() {
        Style::Odd
    } else {
        Style::Bad
    };
    let words = out.style(style, format_args!("ended: {}", exit.status));
    line(
        out,
        &object,
        "exited",
        format_args!(
            "{words}; again in {:.1} s, or at a change",
            delay.as_secs_f64()
        ),
    );
    delay
}

pub(super) fn say(out: &Out, kind: &str, text: &str) {
    let object = json!({ "type": kind, "text": text });
    line(out, &object, kind, text);
}

impl From<DevError> for CommandError {
    fn from(error: DevError) -> Self {
        use crate::exit::Exit;
        let (exit, hint) = match &error {
            DevError::NoCommand => (Exit::Usage, Some("name one in the manifest, or after `--`")),
            DevError::Spawn(_) => (
                Exit::Plugin,
                Some("build it first, or name another command after `--`"),
            ),
            DevError::Watch(_) => (Exit::Refused, Some("go without: --no-watch")),
            DevError::Several(..) => (
                Exit::Refused,
                Some("remove all but one: jackfield remove <id>"),
            ),
            DevError::Folder { .. } | DevError::Listen(_) => (Exit::Refused, None),
        };
        let new = Self::new(exit, error);
        hint.into_iter().fold(new, Self::hint)
    }
}
