//! Every way in which a command can fail: its exit code, and what to do about it.

use std::error::Error;
use std::io;

use jackfield::{BuildError, Mode};
use jackfield_package::{OpenError, PackError, Reason, Rejected};
use jackfield_plugin::RunError;
use serde_json::{Map, Value, json};

use crate::actions::ActionError;
use crate::client::UploadError;
use crate::commands::check::CheckFailed;
use crate::commands::demo::DemoError;
use crate::commands::new::NewError;
use crate::commands::pack::PackCommandError;
#[cfg(feature = "server")]
use crate::commands::serve::ServeError;
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::live::{LiveError, NotConsumed};
use crate::out::{Out, Style, plain};
use crate::setup::SetupError;
use crate::source::{ManifestError, SourceError};

/// Why a command failed, as it is told.
#[derive(Debug)]
pub(crate) struct CommandError {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    /// What to do about it.
    hints: Vec<String>,
    /// What went wrong with the plugin, in full.
    failure: Option<Value>,
    /// What the server said, in full.
    problem: Option<Map<String, Value>>,
    /// It was told already, in full.
    told: bool,
}

impl CommandError {
    pub(crate) fn new(exit: Exit, error: impl Error + Send + Sync + 'static) -> Self {
        Self {
            exit,
            error: Box::new(error),
            hints: Vec::new(),
            failure: None,
            problem: None,
            told: false,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What went wrong with the plugin, as JSON: message and details.
    pub(crate) fn failure(mut self, failure: Option<Value>) -> Self {
        let details = failure.as_ref().map(|failure| &failure["details"]);
        let hint = details.and_then(|details| details["hint"].as_str());
        let hint = hint.map(plain).filter(|hint| !self.hints.contains(hint));
        self.hints.extend(hint);
        self.failure = failure;
        self
    }

    /// What the server said.
    pub(crate) fn problem(mut self, problem: Map<String, Value>) -> Self {
        self.problem = Some(problem);
        self
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says it: to people what and what to do, to programs one object.
    pub(crate) fn tell(&self, out: &Out) {
        if self.told {
            return;
        }
        let causes = self.causes();
        let mut object = json!({
            "type": "error",
            "message": self.error.to_string(),
            "causes": causes,
            "hints": self.hints,
            "exit_code": self.exit.code(),
        });
        if let Some(failure) = &self.failure {
            object["failure"] = failure.clone();
        }
        if let Some(problem) = &self.problem {
            object["problem"] = json!(problem);
        }
        if out.is_json() {
            return out.tell(&object, "");
        }
        let message = self.error.to_string();
        let message: Vec<String> = message.lines().map(plain).collect();
        out.say(format_args!(
            "{} {}",
            out.style(Style::Bad, "error:"),
            message.join("\n")
        ));
        for cause in causes {
            out.say(format_args!(
                "  because: {}",
                plain(cause.as_str().unwrap_or_default())
            ));
        }
        if let Some(failure) = &self.failure {
            let message = failure["message"].as_str().unwrap_or_default();
            if !self.error.to_string().contains(message) {
                out.say(format_args!("  what went wrong: {}", plain(message)));
            }
            let lines = failure["details"]["last_lines"].as_array();
            for line in lines.into_iter().flatten().filter_map(Value::as_str) {
                out.say(format_args!(
                    "  {} {}",
                    out.style(Style::Dim, "|"),
                    plain(line)
                ));
            }
        }
        for hint in &self.hints {
            out.say(format_args!("  {} {hint}", out.style(Style::Odd, "hint:")));
        }
    }

    /// The causes that say something new.
    fn causes(&self) -> Vec<Value> {
        let mut told = self.error.to_string();
        let mut causes = Vec::new();
        let mut next = self.error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !told.contains(&text) {
                told.push_str(&text);
                causes.push(text.into());
            }
            next = cause.source();
        }
        causes
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Refused, error)
    }
}

impl From<ActionError> for CommandError {
    fn from(error: ActionError) -> Self {
        Self::new(Exit::Usage, error)
            .hint("quote JSON for the shell: --call greet '{\"name\": \"you\"}'")
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error).hint(
            "--config takes a file of JSON, or JSON itself: --config '{\"greeting\": \"Hello\"}'",
        )
    }
}

impl From<NotConsumed> for CommandError {
    fn from(error: NotConsumed) -> Self {
        let hint = if error.consumed.is_empty() {
            "its manifest lists no events_consumed: list the event there".to_owned()
        } else {
            format!(
                "its manifest lists these events_consumed: {}",
                error.consumed.join(", ")
            )
        };
        Self::new(Exit::Usage, error).hint(hint)
    }
}

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        let hint = source_hint(&error);
        let new = Self::new(Exit::Refused, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

/// What to do about a package or folder that is none.
pub(crate) fn source_hint(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::Missing(_) => Some(
            "give a package (.zip) or the folder of a plugin; `jackfield new hello --lang python` writes one",
        ),
        SourceError::IsManifest(_) => Some(
            "give the folder that it is in; to let a program dial in that you start yourself: `jackfield external <manifest>`",
        ),
        SourceError::Open(OpenError::Rejected(rejected)) => rejected_hint(rejected),
        SourceError::Pack(error) => pack_hint(error),
        SourceError::Open(_) => None,
        SourceError::Write { .. } => {
            Some("make room there, or name another folder for temporary files in TMPDIR")
        }
    }
}

fn pack_hint(error: &PackError) -> Option<&'static str> {
    match error {
        PackError::NoManifest { .. } => Some(
            "every plugin has a manifest; `jackfield new <folder> --lang python` writes a plugin with one",
        ),
        PackError::Rejected(rejected) => rejected_hint(rejected),
        PackError::TooMuch { .. } => {
            Some("put into the folder what the plugin needs to run, and nothing else")
        }
        _ => None,
    }
}

fn rejected_hint(rejected: &Rejected) -> Option<&'static str> {
    rejected.reasons.iter().find_map(|reason| match reason {
        Reason::NotZip(_) => {
            Some("a package is a zip archive; `jackfield pack <folder>` makes one")
        }
        Reason::Command { command, .. } if command.contains("target/") => {
            Some("build it first: `cargo build --release` in its folder")
        }
        Reason::Command { .. } => {
            Some("build the plugin first, or correct `command` in its manifest")
        }
        Reason::NoManifest { .. } => Some("pack the plugin's own folder, not the one around it"),
        _ => None,
    })
}

impl From<UploadError> for CommandError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Source(error) => error.into(),
            UploadError::Checksum { .. } => Self::new(Exit::Refused, error)
                .hint("it is not the file that was meant, or not whole"),
        }
    }
}

impl From<ManifestError> for CommandError {
    fn from(error: ManifestError) -> Self {
        let hint = match &error {
            ManifestError::Missing(_) | ManifestError::NotAManifest(_) => {
                Some("give the manifest of the program, or the folder that it is in")
            }
            ManifestError::Read { .. } | ManifestError::Invalid { .. } => None,
        };
        let new = Self::new(Exit::Refused, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

impl From<SetupError> for CommandError {
    fn from(error: SetupError) -> Self {
        let hint = match &error {
            SetupError::Build(BuildError::Listen { .. }) => {
                Some("choose another port with --listen, or leave it out for a free one")
            }
            SetupError::Build(BuildError::Data { .. } | BuildError::InUse { .. }) => Some(
                "choose another folder with --data, or leave it out for one that goes away at the end",
            ),
            #[cfg(feature = "sprites")]
            SetupError::Missing(_) => Some(
                "set them in the environment; the address is where the sandbox reaches this host, such as https://plugins.example.org",
            ),
            #[cfg(feature = "sprites")]
            SetupError::Left { .. } => {
                Some("delete it in the console of the service, or with its own command line")
            }
            SetupError::NoPlace(_) => Some("choose another with --runtime"),
            SetupError::BadNames { .. } => {
                Some("remove the file, or choose another folder with --data")
            }
            _ => None,
        };
        let new = Self::new(Exit::Refused, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

impl From<LiveError> for CommandError {
    fn from(error: LiveError) -> Self {
        match &error {
            LiveError::Failed { failure, .. } => {
                let failure = Some(json!(failure));
                Self::new(Exit::Plugin, error).failure(failure)
            }
            LiveError::NotActive { failure, mode, .. } => {
                let (failure, mode) = (failure.clone(), *mode);
                let new = Self::new(Exit::Plugin, error)
                    .failure(failure.as_ref().map(|failure| json!(failure)));
                match (mode, failure) {
                    (_, Some(_)) => new,
                    (Mode::External, None) => new.hint(
                        "start the program with JACKFIELD_RPC_URL as it was printed; it is another one each time",
                    ),
                    (Mode::Supervised, None) => new
                        .hint("it has to dial the URL in JACKFIELD_RPC_URL when it starts")
                        .hint("give it longer with --timeout"),
                }
            }
            LiveError::Calls { .. } => Self::new(Exit::Call, error),
            LiveError::Interrupted | LiveError::Killed => Self::new(Exit::Interrupted, error),
            LiveError::Ended(_) => Self::new(Exit::Plugin, error),
        }
    }
}

impl From<CheckFailed> for CommandError {
    fn from(error: CheckFailed) -> Self {
        Self {
            told: true,
            ..Self::new(Exit::Refused, error)
        }
    }
}

impl From<PackCommandError> for CommandError {
    fn from(error: PackCommandError) -> Self {
        let hint = match &error {
            PackCommandError::NotAFolder(_) => Some("give the folder of a plugin"),
            PackCommandError::Exists(_) => {
                Some("replace it with --force, or write another file with -o")
            }
            PackCommandError::Pack(error) => pack_hint(error),
            PackCommandError::Write { .. } => Some("write it elsewhere with -o"),
        };
        let new = Self::new(Exit::Refused, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

impl From<NewError> for CommandError {
    fn from(error: NewError) -> Self {
        let (exit, hint) = match &error {
            NewError::NotEmpty(_) => (
                Exit::Refused,
                Some("choose another folder, or overwrite its files with --force"),
            ),
            NewError::NotAFolder(_) => (Exit::Refused, Some("choose another name")),
            NewError::Id { .. } | NewError::Author { .. } => (
                Exit::Usage,
                Some("letters, digits and hyphens between them are taken"),
            ),
            NewError::Name { .. } => (
                Exit::Usage,
                Some("1 to 100 letters, without quotes, backslashes and line breaks"),
            ),
            NewError::Sdk { .. } => (
                Exit::Usage,
                Some(
                    "--sdk takes the folder of the crate jackfield-plugin: crates/sdk in a checkout",
                ),
            ),
            NewError::Write { .. } => (Exit::Refused, None),
        };
        let new = Self::new(exit, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

impl From<DemoError> for CommandError {
    fn from(error: DemoError) -> Self {
        let hint = match &error {
            DemoError::NoLanguage => Some("install python3 (3.10 or newer) or node (18 or newer)"),
            _ => None,
        };
        let exit = match &error {
            DemoError::Interrupted => Exit::Interrupted,
            _ => Exit::Plugin,
        };
        let new = Self::new(exit, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

#[cfg(feature = "server")]
impl From<ServeError> for CommandError {
    fn from(error: ServeError) -> Self {
        use jackfield_server::{LoggingError, StartError};
        let hint = match error {
            ServeError::Setup(error) => return error.into(),
            ServeError::Provider(_) => {
                return Self::new(Exit::Usage, error).hint("local, sprites and none are known");
            }
            ServeError::Log(LoggingError::Filter { .. }) => Some("correct RUST_LOG"),
            ServeError::Log(_) => Some("correct --otlp"),
            ServeError::Start(StartError::Listen { .. }) => {
                Some("choose another address with --listen; port 0 takes a free one")
            }
            ServeError::Start(_) => None,
            ServeError::TokenFile { .. } => {
                Some("start once more with --new-admin-token and a file that can be written")
            }
        };
        let new = Self::new(Exit::Refused, error);
        hint.into_iter().fold(new, Self::hint)
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        Self::new(Exit::Plugin, error)
    }
}
