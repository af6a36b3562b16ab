//! A host for a test: real, over a temporary folder, with short delays.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jackfield::package::Package;
use jackfield::{
    ActiveState, Host, HostBuilder, InstallationId, Policy, ReportedState, Session, Spec, Status,
    Token,
};
use serde_json::Value;

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
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder as text, which stands in the environment of all that its plugins start.
    #[must_use]
    pub fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Loads a package; it stays inactive.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn install(&self, package: Arc<Package>) -> Session {
        let spec = Spec::supervised(InstallationId::new(), package);
        self.host.load(spec).expect("it loads")
    }

    /// Loads a package and starts it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn start(&self, package: Arc<Package>) -> Session {
        let session = self.install(package);
        let started = session.set_active_state(ActiveState::Active).await;
        started.expect("the session lives");
        session
    }

    /// Loads a package, starts it and waits until it is active.
    ///
    /// # Panics
    /// When it does not become active within a minute.
    pub async fn run(&self, package: Arc<Package>) -> Session {
        let session = self.start(package).await;
        within(session.ready()).await.expect("it becomes active");
        session
    }

    /// Loads a program that dials in with this token; it is wanted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn expect(&self, manifest: &Value) -> (Session, Token) {
        let manifest = jackfield::Manifest::check_value(manifest).into_result();
        let token = Token::external();
        let spec = Spec::external(
            InstallationId::new(),
            manifest.expect("a sound manifest"),
            token.hash(),
        );
        let session = self.host.load(spec).expect("it loads");
        let wanted = session.set_active_state(ActiveState::Active).await;
        wanted.expect("the session lives");
        (session, token)
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
    let host = host_in(folder.path(), with).await;
    TestHost { host, folder }
}

/// A host over this folder; `with` changes what the test is about.
///
/// # Panics
/// When the host cannot be built.
pub async fn host_in(folder: &Path, with: impl FnOnce(HostBuilder) -> HostBuilder) -> Host {
    let builder = Host::builder().data_folder(folder).policy(quick());
    with(builder).build().await.expect("the host builds")
}

/// Waits for what has to come within a minute.
///
/// # Panics
/// When it does not.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, what).await;
    done.expect("it comes within a minute")
}

/// The states that a session went through, oldest first.
#[must_use]
pub fn states(session: &Session) -> Vec<ReportedState> {
    let history = session.history();
    history.iter().map(|change| change.state).collect()
}

/// The same, where a process ended while its line was open: whether the line or the exit is
/// noticed first is up to the system, so the moment between the two is left out.
#[must_use]
pub fn states_of_crashes(session: &Session) -> Vec<ReportedState> {
    use ReportedState::{Active, Connecting, Errored, Restarting};
    let mut states = states(session);
    let mut at = 1;
    while at + 1 < states.len() {
        if let [Active, Connecting, Restarting | Errored] = states[at - 1..=at + 1] {
            states.remove(at);
        }
        at += 1;
    }
    states
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
