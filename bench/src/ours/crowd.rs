//! Many sessions of programs that dial in.

use std::path::Path;
use std::sync::Arc;

use futures_util::lock::Mutex;
use jackfield::wire::manifest::Format;
use jackfield::wire::methods::Event;
use jackfield::{CallOptions, Host, InstallationId, Manifest, Method, Session, Spec, Token};
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::{Bench, activate};
use crate::crowd::{self, Crowd};
use crate::payload::{self, Text};
use crate::protocol::{Answer, Driven, Failure, Load, nanos};
use crate::usage;

/// Many sessions, all connected.
pub struct OurCrowd {
    bench: Bench,
    sessions: Vec<Session>,
    empty_kib: f64,
    crowd: Mutex<Crowd>,
}

impl OurCrowd {
    /// Loads that many and lets them in.
    ///
    /// # Errors
    /// When they do not become active.
    pub async fn start(peer: &Path, connections: usize) -> Result<Self, Failure> {
        let bench = Bench::new().await?;
        let host: &Host = &bench.host;
        let empty_kib = usage::of_self().get("rss_kib").copied().unwrap_or(f64::NAN);
        let manifest = br#"{"id": "crowd", "author": "jackfield", "name": "Crowd", "description": "", "version": "1.0.0",
            "events_consumed": ["Tick"]}"#;
        let mut sessions = Vec::with_capacity(connections);
        let mut urls = Vec::with_capacity(connections);
        let door = host.local_addr().ok_or("the host does not listen")?;
        for _ in 0..connections {
            let token = Token::external();
            let manifest = Manifest::parse(manifest, Format::Json)?;
            let spec = Spec::external(InstallationId::new(), manifest, token.hash());
            let session = host.load(spec)?;
            session
                .set_active_state(jackfield::ActiveState::Active)
                .await?;
            urls.push(format!("ws://{door}/rpc?token={}", token.reveal()));
            sessions.push(session);
        }
        let mut crowd = Crowd::start(peer).await?;
        crowd.dial(&urls).await?;
        for session in &sessions {
            activate(session).await?;
        }
        Ok(Self {
            sessions,
            empty_kib,
            crowd: Mutex::new(crowd),
            bench,
        })
    }

    async fn acknowledged(&self) {
        for session in &self.sessions {
            while session.open_calls() != (0, 0) {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Driven for OurCrowd {
    /// One event to all.
    async fn time(&self) -> Result<Answer, Failure> {
        let payload = Text::of(200 - r#""event":"Tick","#.len());
        let mut crowd = self.crowd.lock().await;
        crowd.expect(self.sessions.len()).await?;
        let began = Instant::now();
        let published = self.bench.host.publish("Tick", payload)?;
        if published.queued.len() != self.sessions.len() {
            return Err("not everybody gets it".into());
        }
        crowd.answered().await?;
        self.acknowledged().await;
        Ok(Answer {
            each_ns: vec![nanos(began)],
            ..Answer::default()
        })
    }

    async fn load(&self, load: Load) -> Result<Answer, Failure> {
        let params = RawValue::from_string(payload::json(load.bytes))?;
        let params: Arc<RawValue> = params.into();
        let before = usage::of_self();
        let mut turns = self.sessions.iter().cycle();
        let mut calls = JoinSet::new();
        let mut ticks = interval(crowd::TICK);
        for round in crowd::rounds(load) {
            ticks.tick().await;
            for session in turns.by_ref().take(round) {
                let (session, params) = (session.clone(), Arc::clone(&params));
                calls.spawn(async move {
                    let options = CallOptions::default();
                    session.call_raw(Event::NAME, Some(&params), options).await
                });
            }
            while let Some(called) = calls.try_join_next() {
                called??;
            }
        }
        while let Some(called) = calls.join_next().await {
            called??;
        }
        Ok(crowd::cost(&before, load.count))
    }

    async fn look(&self) -> Result<Answer, Failure> {
        Ok(crowd::look(self.empty_kib, self.sessions.len()))
    }
}

impl std::fmt::Debug for OurCrowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OurCrowd").finish_non_exhaustive()
    }
}
