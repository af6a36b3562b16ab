//! A supervised plugin and its session.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield::{CallOptions, ReportedState, Session};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Bench, activate, package, stop};
use crate::payload::{self, Echo, RAW_ECHO, Text};
use crate::protocol::{Answer, Driven, Failure, nanos};

/// How the plugin comes to its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It dials the WebSocket that it is told.
    Dial,
    /// It takes the socket that it is handed.
    Local,
}

/// Messages of this size and more are passed on as JSON, as whoever has large ones does.
const LARGE: usize = 64 << 10;

/// One plugin to call, and one to be started again and again.
pub struct Sessions {
    _bench: Bench,
    /// The last large message that was sent.
    large: Mutex<Option<Arc<RawValue>>>,
    session: Session,
    other: Session,
}

impl Sessions {
    /// Both loaded, the first one active.
    ///
    /// # Errors
    /// When it does not become active.
    pub async fn start(plugin: &Path, way: Way) -> Result<Self, Failure> {
        let bench = Bench::new().await?;
        let args: &[&str] = match way {
            Way::Dial => &["--dial"],
            Way::Local => &[],
        };
        let package = package(plugin, args, json!({}))?;
        let session = bench.load(&package)?;
        let other = bench.load(&package)?;
        activate(&session).await?;
        call(&session, 200).await?;
        Ok(Self {
            _bench: bench,
            large: Mutex::default(),
            session,
            other,
        })
    }
}

/// What the method's name adds to an object that is answered.
const TAG: usize = r#""method":"","#.len() + RAW_ECHO.len();

impl Sessions {
    /// Made once: what is measured is how it is carried.
    fn large(&self, bytes: usize) -> Result<Arc<RawValue>, Failure> {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        match &*large {
            Some(known) if known.get().len() == bytes => Ok(Arc::clone(known)),
            _ => {
                let made: Arc<RawValue> = RawValue::from_string(payload::json(bytes))?.into();
                Ok(Arc::clone(large.insert(made)))
            }
        }
    }
}

async fn call(session: &Session, bytes: usize) -> Result<(), Failure> {
    let params = Text::of(bytes);
    let answer = session.call::<Echo>(&params).await?;
    match answer.text.len() == params.text.len() {
        true => Ok(()),
        false => Err("an echo of another size".into()),
    }
}

impl Driven for Sessions {
    async fn call(&self, bytes: usize) -> Result<(), Failure> {
        if bytes < LARGE {
            return call(&self.session, bytes).await;
        }
        let (params, options) = (self.large(bytes)?, CallOptions::default());
        let answer = self
            .session
            .call_raw(RAW_ECHO, Some(&params), options)
            .await?;
        match answer.get().len() == bytes + TAG {
            true => Ok(()),
            false => Err("an echo of another size".into()),
        }
    }

    async fn spawn(&self) -> Result<u64, Failure> {
        let began = Instant::now();
        activate(&self.other).await?;
        call(&self.other, 200).await?;
        let took = nanos(began);
        stop(&self.other).await?;
        Ok(took)
    }
}

/// A plugin that is killed, and comes back.
pub struct Restarted(Sessions);

impl Restarted {
    /// As [`Sessions::start`].
    ///
    /// # Errors
    /// When it does not become active.
    pub async fn start(plugin: &Path, way: Way) -> Result<Self, Failure> {
        Ok(Self(Sessions::start(plugin, way).await?))
    }
}

impl Driven for Restarted {
    /// From the kill to the first answer of the next process.
    async fn time(&self) -> Result<Answer, Failure> {
        let session = &self.0.session;
        let mut status = session.status();
        let pid = status.borrow().pid.ok_or("it does not run")?;
        let raw = i32::try_from(pid)?;
        let target = rustix::process::Pid::from_raw(raw).ok_or("not a pid")?;
        let began = Instant::now();
        rustix::process::kill_process(target, rustix::process::Signal::KILL)?;
        status
            .wait_for(|now| {
                now.state == ReportedState::Active && now.pid.is_some_and(|now| now != pid)
            })
            .await?;
        call(session, 200).await?;
        Ok(Answer {
            each_ns: vec![nanos(began)],
            ..Answer::default()
        })
    }

    async fn spawn(&self) -> Result<u64, Failure> {
        self.0.spawn().await
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Restarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restarted").finish_non_exhaustive()
    }
}
