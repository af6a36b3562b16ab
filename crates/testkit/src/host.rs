//! A host for a test: real, over a temporary folder, with short delays.

use std::ops::Deref;
use std::time::Duration;

use jackfield::{Host, HostBuilder, Policy, ReportedState, Session, Status};

/// Longer than anything in a test takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with the folder that goes with it.
#[derive(Debug)]
pub struct TestHost {
    host: Host,
    folder: tempfile::TempDir,
}

impl TestHost {
    /// Its data folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Deref for TestHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// A policy for tests: delays of 10 to 100 ms, a grace of half a second.
#[must_use]
pub fn quick() -> Policy {
    Policy {
        delay: Duration::from_millis(10),
        delay_cap: Duration::from_millis(100),
        stop_grace: Duration::from_millis(500),
        probe: Duration::from_millis(300),
        ..Policy::default()
    }
}

/// A host over a temporary folder; `with` changes what the test is about.
///
/// # Panics
/// When the host cannot be built.
pub async fn bench_host(with: impl FnOnce(HostBuilder) -> HostBuilder) -> TestHost {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let builder = Host::builder().data_folder(folder.path()).policy(quick());
    let host = with(builder).build().await.expect("the host builds");
    TestHost { host, folder }
}

/// Waits for a status.
///
/// # Panics
/// When it does not come within a minute; says what there was instead.
pub async fn until(session: &Session, what: impl Fn(&Status) -> bool) -> Status {
    let mut status = session.status();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(|now| what(now))).await;
    match found {
        Ok(Ok(status)) => status.clone(),
        _ => panic!(
            "waited in vain; now {:#?}\nhistory {:#?}",
            *session.status().borrow(),
            session.history()
        ),
    }
}

/// Waits for a reported state.
///
/// # Panics
/// When it does not come within a minute.
pub async fn until_state(session: &Session, state: ReportedState) -> Status {
    until(session, |status| status.state == state).await
}
