//! Why a plugin is not running, in full.

use std::fmt;
use std::time::Duration;

use jackfield_wire::RuntimeProvider;
use serde::Serialize;

/// Why a plugin went down or never came up: one sentence, and everything that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// One sentence: `exit status 42`.
    pub message: String,
    /// Everything that is known.
    pub details: Box<Details>,
    /// Another attempt cannot mend it.
    #[serde(skip)]
    pub(crate) hopeless: bool,
    /// It is not the plugin's doing.
    #[serde(skip)]
    pub(crate) outage: bool,
    /// Another attempt before that is in vain.
    #[serde(skip)]
    pub(crate) retry_after: Option<Duration>,
}

/// What is known of a [`Failure`]. As JSON, absent fields are left out; `runtime_provider`,
/// `stage`, `error` and `exit_code` are the keys of Storyden's plugin runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Where the plugin was to live.
    pub runtime_provider: RuntimeProvider,
    /// How far it had come.
    pub stage: Stage,
    /// The same sentence as [`Failure::message`].
    pub error: String,
    /// The exit code, where it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal, where one ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The last lines it wrote, at most 20, on either stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How far a launch had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its files were being unpacked.
    Deploy,
    /// Its process was being started.
    Start,
    /// Its process ran and did not dial.
    Dial,
    /// Its process ended.
    Exit,
}

impl Failure {
    /// A failure that another attempt may mend.
    #[must_use]
    pub fn new(provider: RuntimeProvider, stage: Stage, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            details: Box::new(Details {
                runtime_provider: provider,
                stage,
                error: message.clone(),
                exit_code: None,
                signal: None,
                last_lines: Vec::new(),
                hint: None,
            }),
            message,
            hopeless: false,
            outage: false,
            retry_after: None,
        }
    }

    /// The same failure, as one that no further attempt can mend: the plugin is `errored` at once.
    #[must_use]
    pub fn hopeless(mut self) -> Self {
        self.hopeless = true;
        self
    }

    /// The same failure, as one that is not the plugin's doing: the network, a service that is down. It counts as no
    /// crash and is never given up; the delays grow as after crashes, with a random part, so that a hundred plugins do
    /// not come back in one moment.
    #[must_use]
    pub fn outage(mut self) -> Self {
        self.outage = true;
        self
    }

    /// The same failure, after which another attempt within this time is in vain: somebody's rate limit.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.details.hint = Some(hint.into());
        self
    }
}

impl Failure {
    /// Whether it is not the plugin's doing ([`outage`](Self::outage)): it is outlasted.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.outage
    }

    /// How long to wait before another attempt, where it would be this long otherwise.
    pub(crate) fn delay(&self, otherwise: Duration) -> Duration {
        let mut delay = otherwise;
        if self.outage {
            let mut byte = [0];
            // Without a random source they all come back at once, which is no worse than that.
            let _ = getrandom::fill(&mut byte);
            delay = delay.saturating_add(otherwise.mul_f64(f64::from(byte[0]) / 512.0));
        }
        delay.max(self.retry_after.unwrap_or_default())
    }
}

impl fmt::Display for Failure {
    /// The message, then the hint, then the last lines, each on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.details.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        for line in &self.details.last_lines {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deploy => "deploy",
            Self::Start => "start",
            Self::Dial => "dial",
            Self::Exit => "exit",
        })
    }
}
