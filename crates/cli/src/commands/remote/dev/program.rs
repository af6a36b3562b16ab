//! The plugin's program, with all that it starts.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use jackfield::Manifest;
use jackfield::runtime::{Exit, Line};
use jackfield::wire::env;
use jackfield_process::{Child, Command, SpawnError};
use tokio::sync::mpsc;

/// How it is started: again and again.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) folder: PathBuf,
    /// Instead of the manifest's command.
    pub(super) instead: Vec<OsString>,
    /// Where it dials.
    pub(super) url: String,
}

/// One that runs. Dropped, it is killed with all that it started.
pub(super) struct Program {
    child: Child,
    output: Option<mpsc::Receiver<Line>>,
    exited: Pin<Box<dyn Future<Output = Exit> + Send>>,
}

/// What it does.
#[derive(Debug)]
pub(super) enum Doing {
    Wrote(Line),
    /// It has ended, and everything that it wrote was handed out before.
    Exited(Exit),
}

impl Recipe {
    /// What is run, for people.
    pub(super) fn words(&self, manifest: &Manifest) -> Vec<OsString> {
        if !self.instead.is_empty() {
            return self.instead.clone();
        }
        let command = manifest.command.iter().chain(&manifest.args);
        command.map(OsString::from).collect()
    }

    /// The file that the command is, where it lies in the folder.
    pub(super) fn file(&self, manifest: &Manifest) -> Option<PathBuf> {
        let words = self.words(manifest);
        let program = Path::new(words.first()?);
        let own = program.is_relative() && program.components().count() > 1;
        own.then(|| {
            self.folder
                .join(program.strip_prefix(".").unwrap_or(program))
        })
    }

    /// Starts it, with the environment of this command: it is the author's own program on the author's own machine.
    pub(super) async fn start(&self, manifest: &Manifest) -> Result<Program, SpawnError> {
        let mut words = self.words(manifest).into_iter();
        let mut child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .env(env::RPC_URL, &self.url)
            .env(env::STORYDEN_RPC_URL, &self.url)
            .inherit_env(["*"])
            .current_dir(self.folder.clone())
            .spawn()
            .await?;
        let output = child.take_output();
        let exited = Box::pin(child.exited());
        Ok(Program {
            child,
            output,
            exited,
        })
    }
}

impl Program {
    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Interrupts it; kills it after a grace.
    pub(super) fn stop(&self) {
        self.child.stop();
    }

    pub(super) fn kill(&self) {
        self.child.kill();
    }

    /// What it does next. Cancel safe; not to be asked after its end.
    pub(super) async fn next(&mut self) -> Doing {
        if let Some(output) = &mut self.output {
            if let Some(line) = output.recv().await {
                return Doing::Wrote(line);
            }
            self.output = None;
        }
        Doing::Exited((&mut self.exited).await)
    }
}
