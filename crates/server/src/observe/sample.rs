//! What is, at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use jackfield::{InstallationId, Mode, ReportedState, Session};
use tokio::time::{Instant, timeout_at};

use super::family::{
    BUILD_INFO, CALLS_OPEN, CPU, Family, MEMORY, PARKED, PLUGINS, PROCESSES, RESTARTS, WAITING,
};
use crate::registry::Registry;

/// One value of a figure.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) family: &'static Family,
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

/// How long the database may take over all plugins; what it has not told by then is left out.
const PATIENCE: Duration = Duration::from_secs(5);

const STATES: [ReportedState; 7] = [
    ReportedState::Inactive,
    ReportedState::Starting,
    ReportedState::Connecting,
    ReportedState::Active,
    ReportedState::Stopping,
    ReportedState::Restarting,
    ReportedState::Errored,
];

/// Everything that is computed, the samples of one figure beside each other.
pub(super) async fn now(registry: &Registry) -> Vec<Sample> {
    let parts = registry.parts();
    let sessions = parts.host.sessions();
    let ids: Vec<_> = sessions
        .iter()
        .map(|session| (session.id(), of(session)))
        .collect();
    // Reads /proc, a file for each process.
    let here = tokio::task::spawn_blocking(move || plugins(&sessions)).await;
    let mut samples = here.unwrap_or_default();
    samples.extend(events(registry, &ids).await);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    samples.push(sample(&BUILD_INFO, vec![("version", version)], 1.0));
    samples.sort_by(|a, b| a.family.name.cmp(b.family.name));
    samples
}

/// How a plugin is named: by its installation, and for people by what its manifest says.
fn of(session: &Session) -> Vec<(&'static str, String)> {
    vec![
        ("plugin", session.id().to_string()),
        ("name", session.manifest().id.to_string()),
    ]
}

fn plugins(sessions: &[Session]) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut states = BTreeMap::new();
    for mode in [Mode::Supervised, Mode::External] {
        for state in STATES {
            states.insert((mode.to_string(), state.to_string()), 0);
        }
    }
    for session in sessions {
        let status = session.status().borrow().clone();
        let key = (session.mode().to_string(), status.state.to_string());
        *states.entry(key).or_default() += 1;
        let mut add = |family, value| samples.push(sample(family, of(session), value));
        add(&RESTARTS, f64::from(status.restarts));
        if let Some(usage) = session.usage() {
            add(&MEMORY, float(usage.memory_bytes));
            add(&CPU, usage.cpu.as_secs_f64());
            add(&PROCESSES, float(usage.processes as u64));
        }
        let (to_plugin, from_plugin) = session.open_calls();
        for (direction, open) in [("to_plugin", to_plugin), ("from_plugin", from_plugin)] {
            let mut labels = of(session);
            labels.push(("direction", direction.to_owned()));
            samples.push(sample(&CALLS_OPEN, labels, float(open as u64)));
        }
    }
    for ((mode, state), count) in states {
        let labels = vec![("state", state), ("mode", mode)];
        samples.push(sample(&PLUGINS, labels, f64::from(count)));
    }
    samples
}

async fn events(
    registry: &Registry,
    ids: &[(InstallationId, Vec<(&'static str, String)>)],
) -> Vec<Sample> {
    let parts = registry.parts();
    let until = Instant::now() + PATIENCE;
    let mut samples = Vec::new();
    for (id, labels) in ids {
        let asked = async {
            let lag = parts.deliveries.lag(*id).await;
            (lag.waiting, parts.store.count_parked(*id).await)
        };
        let Ok((waiting, parked)) = timeout_at(until, asked).await else {
            tracing::warn!("the database takes its time: figures of events are left out");
            break;
        };
        samples.push(sample(&WAITING, labels.clone(), float(waiting)));
        if let Ok(parked) = parked {
            let parked = u64::try_from(parked).unwrap_or_default();
            samples.push(sample(&PARKED, labels.clone(), float(parked)));
        }
    }
    samples
}

fn sample(family: &'static Family, labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample {
        family,
        labels,
        value,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are floats")]
fn float(value: u64) -> f64 {
    value as f64
}
