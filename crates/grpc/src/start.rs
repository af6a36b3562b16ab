//! From a description to a plugin that is ready.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use jackfield_process::{Command, Exit, Lease};
use jackfield_wire::{Level, env, grpc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::PluginClient;
use crate::error::{NotReady, ProcessState, SpawnError};
use crate::folder;
use crate::lines::Lines;
use crate::offer::Offer;
use crate::plugin::{Child, Plugin};
use crate::ready::Last;
use crate::spawn::Spawn;

/// How often a program is run again that cannot listen on a port that is held.
const UNHELD: u32 = 3;

/// What a failed `bind(2)` is called in the languages of this world.
const IN_USE: [&str; 3] = ["eaddrinuse", "address already in use", "address in use"];

pub(crate) async fn spawn<C: PluginClient>(spawn: Spawn) -> Result<Plugin<C>, SpawnError> {
    let folder =
        std::path::absolute(&spawn.folder).map_err(|source| SpawnError::WorkingFolder {
            path: spawn.folder.clone(),
            source,
        })?;
    let work = folder.join(folder::NAME);
    // Made while a thread looks at the folder.
    let make = async {
        match spawn.working_folder {
            true => make(&work, &spawn.executable).await,
            false => Ok(()),
        }
    };
    let (made, offer) = tokio::join!(make, async { Offer::new() });
    made?;
    let mut offer = offer.map_err(SpawnError::Offer)?;
    let deadline = Instant::now()
        + spawn
            .start_timeout
            .min(Duration::from_secs(365 * 24 * 3600));
    let mut tries = 0;
    loop {
        offer = offer.settings(spawn.settings.clone());
        let within = deadline.saturating_duration_since(Instant::now());
        let command = command(&spawn, &offer, &folder, &work)?;
        match run(&spawn, &offer, command, within).await {
            Err(SpawnError::Exited { exit, .. }) if tries < UNHELD && in_use(&exit) => {
                tries += 1;
                offer = Offer::new().map_err(SpawnError::Offer)?.unheld();
                tracing::debug!(
                    scope = spawn.name,
                    tries,
                    "cannot listen: run again on another port, which is not held"
                );
            }
            result => return result,
        }
    }
}

async fn make(work: &Path, executable: &Path) -> Result<(), SpawnError> {
    let (path, executable) = (work.to_owned(), executable.to_owned());
    let made = spawn_blocking(move || folder::prepare(&path, &executable)).await;
    made.unwrap_or_else(|_| Err(std::io::Error::other("the runtime is shutting down")))
        .map_err(|source| SpawnError::WorkingFolder {
            path: work.to_owned(),
            source,
        })
}

/// What is set later is stronger; what is inherited, weakest.
fn command(
    spawn: &Spawn,
    offer: &Offer,
    folder: &Path,
    work: &Path,
) -> Result<Command, SpawnError> {
    let mark = mark().map_err(SpawnError::Offer)?;
    let command = Command::new(&spawn.executable)
        .args(&spawn.args)
        .current_dir(folder.to_owned())
        .stop_signal(spawn.stop_signal)
        .grace(spawn.grace);
    let mut command = offer
        .apply(command)
        .env(grpc::WORKING_DIR, work)
        .env(grpc::LOG_LEVEL, told(spawn.log_level));
    for (key, value) in &spawn.env {
        command = command.env(key, value);
    }
    command = command.env(env::LAUNCH, &mark).inherit_env(&spawn.allowed);
    if spawn.working_folder {
        command = command.lease(Lease {
            folder: PathBuf::from(work),
            name: folder::lease_name(&spawn.executable),
            mark,
        });
    }
    Ok(command)
}

/// Runs it once. However this ends but well, nothing of it runs any more.
async fn run<C: PluginClient>(
    spawn: &Spawn,
    offer: &Offer,
    command: Command,
    within: Duration,
) -> Result<Plugin<C>, SpawnError> {
    let running: Arc<OnceLock<Weak<jackfield_process::Child>>> = Arc::default();
    let processes = {
        let running = Arc::clone(&running);
        move || {
            let process = running.get().and_then(Weak::upgrade);
            process.map(|it| it.processes()).unwrap_or_default()
        }
    };
    let (runs, last) = (CancellationToken::new(), Last::default());
    let mut settling = pin!(offer.settle_noting(processes, runs.cancelled(), within, &last));
    let mut spawning = pin!(command.spawn());
    let mut settled = None;
    // The first ping waits in the socket already when the program comes to it.
    let mut process = loop {
        tokio::select! {
            biased;
            process = &mut spawning => break process?,
            early = &mut settling, if settled.is_none() => settled = Some(early),
        }
    };
    let lines = process.take_output();
    let recorded = Lines::new(spawn).follow(lines);
    let child = Child::new(process, recorded);
    let _ = running.set(child.weak());
    runs.cancel();
    let settled = tokio::select! {
        // A ping that was answered before the end is worth nothing after it.
        biased;
        _ = child.gone() => None,
        settled = async {
            match settled {
                Some(settled) => settled,
                None => settling.await,
            }
        } => Some(settled),
    };
    let name = spawn.name.clone();
    match settled {
        Some(Ok((endpoint, client))) => {
            tracing::debug!(scope = name, pid = child.pid(), endpoint = %endpoint.uri(), "online");
            Ok(Plugin {
                child,
                endpoint,
                client,
            })
        }
        Some(Err(not_ready)) => {
            let state = ProcessState::of(child.pid());
            child.kill();
            let tail = child.exited().await.tail;
            Err(match not_ready {
                // What was left of the time is nobody's business.
                NotReady::TimedOut { reason, .. } => SpawnError::NotReady {
                    name,
                    not_ready: NotReady::TimedOut {
                        within: spawn.start_timeout,
                        reason,
                    },
                    state,
                    tail,
                },
                NotReady::Unimplemented { service, message } => SpawnError::Unimplemented {
                    name,
                    service,
                    message,
                    tail,
                },
            })
        }
        None => Err(SpawnError::Exited {
            name,
            exit: Box::new(child.exited().await),
            reason: last.own(),
        }),
    }
}

/// What the plugin is told: records are filtered where they arrive, so that a log of all can be kept.
fn told(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug | Level::Info | Level::Warn | Level::Error => "DEBUG",
    }
}

fn in_use(exit: &Exit) -> bool {
    let says_so = |line: &String| {
        let line = line.to_lowercase();
        IN_USE.iter().any(|words| line.contains(words))
    };
    !exit.asked && !exit.status.success() && exit.tail.iter().any(says_so)
}

/// Names this one launch. Not secret.
fn mark() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use jackfield_process::ExitStatus;

    use super::*;

    #[test]
    fn plugins_are_told_debug_unless_more_is_wanted() {
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            assert_eq!(told(level), "DEBUG");
        }
        assert_eq!(told(Level::Trace), "trace");
    }

    #[test]
    fn a_port_in_use_is_understood_in_many_languages() {
        let exit = |line: &str, code| Exit {
            status: ExitStatus::Code(code),
            asked: false,
            tail: vec!["starting".to_owned(), line.to_owned()],
            left: Vec::new(),
        };
        for line in [
            "Error: listen EADDRINUSE: address already in use 127.0.0.1:4711",
            "listen tcp 127.0.0.1:4711: bind: address already in use",
            "OSError: [Errno 98] Address already in use",
            "java.net.BindException: Address already in use",
            "Address in use (os error 98)",
        ] {
            assert!(in_use(&exit(line, 1)), "{line}");
        }
        assert!(!in_use(&exit("no such file", 1)));
        assert!(
            !in_use(&exit("address already in use", 0)),
            "it did not fail"
        );
    }
}
