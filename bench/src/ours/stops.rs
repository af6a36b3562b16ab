//! A hundred plugins that are stopped at once.

use std::collections::BTreeMap;
use std::path::Path;

use jackfield::Session;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Bench, activate, package, stop};
use crate::protocol::{Answer, Driven, Failure, nanos};

/// Many plugins of one kind.
pub struct Stops {
    _bench: Bench,
    sessions: Vec<Session>,
}

impl Stops {
    /// So many of them, none active yet.
    ///
    /// # Errors
    /// When they are not loaded.
    pub async fn start(plugin: &Path, args: &[&str], count: usize) -> Result<Self, Failure> {
        let bench = Bench::new().await?;
        let package = package(plugin, args, json!({}))?;
        let sessions = (0..count).map(|_| bench.load(&package));
        let sessions = sessions.collect::<Result<_, _>>()?;
        Ok(Self {
            _bench: bench,
            sessions,
        })
    }

    async fn all<F>(&self, act: impl Fn(Session) -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mut acts: JoinSet<_> = self.sessions.iter().cloned().map(act).collect();
        while let Some(done) = acts.join_next().await {
            done??;
        }
        Ok(())
    }
}

impl Driven for Stops {
    /// `one`: a stop while all others run on. `all`: all at once.
    async fn time(&self) -> Result<Answer, Failure> {
        self.all(|session| async move { activate(&session).await })
            .await?;
        let first = self.sessions.first().ok_or("no plugins")?;
        let began = Instant::now();
        stop(first).await?;
        let one = nanos(began);
        activate(first).await?;
        let began = Instant::now();
        self.all(|session| async move { stop(&session).await })
            .await?;
        let all = nanos(began);
        Ok(Answer {
            figures: BTreeMap::from([
                ("one_ns".to_owned(), one as f64),
                ("all_ns".to_owned(), all as f64),
            ]),
            ..Answer::default()
        })
    }
}

impl std::fmt::Debug for Stops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stops").finish_non_exhaustive()
    }
}
