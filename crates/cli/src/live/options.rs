//! What `run` and `external` have in common.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jackfield::Manifest;
use serde_json::{Map, Value};

use crate::actions::{Action, Typed};
use crate::command_error::CommandError;
use crate::config;

/// Options of every command that follows a plugin.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    typed: Typed,
    /// What the plugin is configured with: JSON, or a file of it. Sent whenever it becomes active,
    /// and the answer when it asks for its configuration
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// End after the calls and events; without any, as soon as the plugin is active
    #[arg(long)]
    once: bool,
    /// How long to wait for the plugin to become active, and for each answer: 500ms, 30s, 2m
    /// [default: 30s; for a program that dials in by itself, for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Keep the plugin's files, state and logs in this folder; without it they go away at the end
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// Where the host listens for plugins [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// What is wanted of a plugin.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Sent whenever the plugin becomes active.
    pub(crate) config: Option<Map<String, Value>>,
    /// Done in this order once it is active.
    pub(crate) actions: Vec<Action>,
    /// Whether that is all.
    pub(crate) once: bool,
    /// How long it may take to become active; `None`: for ever.
    pub(crate) patience: Option<Duration>,
    /// How long an answer may take.
    pub(crate) answer_within: Duration,
    /// How long it may take to stop.
    pub(crate) stop_within: Duration,
}

/// The event would not reach the plugin.
#[derive(Debug, thiserror::Error)]
#[error("{plugin} does not consume the event {event}")]
pub(crate) struct NotConsumed {
    plugin: String,
    event: String,
    /// What it consumes.
    pub(crate) consumed: Vec<String>,
}

impl Options {
    /// Looks at everything that was typed, before anything is started.
    pub(crate) fn plan(
        &self,
        patience: Option<Duration>,
        grace: Duration,
    ) -> Result<Plan, CommandError> {
        Ok(Plan {
            actions: self.typed.parse()?,
            config: self.config.as_deref().map(config::read).transpose()?,
            once: self.once,
            patience,
            answer_within: self.timeout.unwrap_or(Duration::from_secs(30)),
            // The grace is the process's; ending what is behind it takes a moment, too.
            stop_within: grace + Duration::from_secs(5),
        })
    }
}

impl Plan {
    /// Whether all of it can reach this plugin.
    pub(crate) fn fits(&self, manifest: &Manifest) -> Result<(), NotConsumed> {
        for action in &self.actions {
            if let Action::Event { name, .. } = action
                && !manifest.events_consumed.contains(name)
            {
                return Err(NotConsumed {
                    plugin: manifest.name.clone(),
                    event: name.clone(),
                    consumed: manifest.events_consumed.clone(),
                });
            }
        }
        Ok(())
    }

    /// What is odd with the configuration.
    pub(crate) fn oddities(&self, manifest: &Manifest) -> Vec<String> {
        let Some((config, schema)) = self
            .config
            .as_ref()
            .zip(manifest.configuration_schema.as_ref())
        else {
            return Vec::new();
        };
        config
            .keys()
            .filter(|key| schema.fields.iter().all(|field| field.id != **key))
            .map(|key| format!("--config: the manifest's schema has no field `{key}`"))
            .collect()
    }
}
