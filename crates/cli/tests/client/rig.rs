//! A server, and somebody who is logged in to it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ended, Running, jackfield};

/// A server in a folder of its own, on a port of its own.
pub(crate) struct Rig {
    pub(crate) server: Running,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// With these flags beside the usual ones.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, flags)
    }

    pub(crate) fn start_in(folder: TempDir, flags: &[&str]) -> Self {
        let mut server = serve(folder.path(), flags);
        let url = server.object(|object| object["type"] == "listening")["url"].clone();
        let token = if folder.path().join("known").exists() {
            std::fs::read_to_string(folder.path().join("known")).unwrap()
        } else {
            let told = server.object(|object| object["type"] == "administrator");
            told["token"].as_str().unwrap().to_owned()
        };
        std::fs::write(folder.path().join("known"), &token).unwrap();
        let url = url.as_str().unwrap().to_owned();
        Self {
            server,
            url,
            token,
            folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command that is allowed everything.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = alone(self.path(), arguments);
        command.env("JACKFIELD_URL", &self.url);
        command.env("JACKFIELD_API_TOKEN", &self.token);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Running::spawn(self.command(arguments)).end()
    }

    /// Runs it to its end, and expects that it went well.
    pub(crate) fn well(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:#?}");
        ended
    }

    /// Expects this exit code.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:#?}");
        ended
    }

    /// Runs it with `--json`, and reads the one object that it tells.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let ended = self.well(&arguments);
        serde_json::from_str(ended.stdout.trim()).unwrap()
    }

    /// Runs it with this on standard input.
    pub(crate) fn with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let file = self.path().join("input");
        std::fs::write(&file, input).unwrap();
        let mut command = self.command(arguments);
        command.stdin(std::fs::File::open(file).unwrap());
        Running::spawn(command).end()
    }
}

/// A server that says what it does in JSON.
pub(crate) fn serve(folder: &Path, flags: &[&str]) -> Running {
    let mut command = alone(
        folder,
        &[
            "serve",
            "--json",
            "--data",
            "data",
            "--listen",
            "127.0.0.1:0",
        ],
    );
    command.args(flags);
    Running::spawn(command)
}

/// A command that knows no server, with settings of its own.
pub(crate) fn alone(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = jackfield(folder, arguments);
    for (name, _) in std::env::vars() {
        if name.starts_with("JACKFIELD_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", folder.join("settings"));
    command
}
