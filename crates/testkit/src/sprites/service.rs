//! The service: started, given orders, asked what it saw.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::fault::{Break, Fault, Op, Order};
use super::record::Request;
use super::route;
use super::state::{State, sweep};

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a process goes on after its last line went, if the request does not say; 10 s.
    /// Zero: for ever.
    pub after_disconnect: Duration,
    /// How many bytes of output an attachment gets at first; the last 64 KiB (assumed).
    pub scrollback: usize,
    /// Whether signals may come as frames, and are announced in `X-Sprite-Capabilities`; they are.
    pub signals: bool,
    /// The exit comes as a text message and not as a binary frame; it does not.
    pub exit_as_text: bool,
}

/// The stand-in, on a port of its own, with a folder of its own.
///
/// Dropped, it ends every process that it started, and removes the folder.
#[derive(Debug)]
pub struct Service {
    state: Arc<State>,
    base_url: String,
    folder: TempDir,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            after_disconnect: Duration::from_secs(10),
            scrollback: 64 << 10,
            signals: true,
            exit_as_text: false,
        }
    }
}

impl Service {
    /// Starts it with the defaults.
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// Starts it.
    ///
    /// # Panics
    /// When there is no port or no temporary folder.
    pub async fn with(settings: Settings) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sprites-")
            .tempdir()
            .expect("a temporary folder");
        let root = folder.path().canonicalize().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let secret = RandomState::new().hash_one(address);
        let key = format!("standin/key/{secret:016x}");
        let state = Arc::new(State::new(key, root, settings));
        state.tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            state,
            base_url: format!("http://{address}"),
            folder,
        }
    }

    /// Where it listens, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The only key that it takes.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.state.key
    }

    /// The folder of all sprites.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.state.root
    }

    /// The folder that is `/` of a sprite.
    #[must_use]
    pub fn folder(&self, sprite: &str) -> PathBuf {
        self.state.folder(sprite)
    }

    /// The names of the sprites that there are.
    #[must_use]
    pub fn sprites(&self) -> Vec<String> {
        self.state.lock().sprites.keys().cloned().collect()
    }

    /// The processes that live in a sprite, those they started themselves left out.
    #[must_use]
    pub fn pids(&self, sprite: &str) -> Vec<u32> {
        let inner = self.state.lock();
        let sessions = inner.sprites.get(sprite).map(|sprite| &sprite.sessions);
        let live = sessions.into_iter().flat_map(|sessions| sessions.values());
        live.filter_map(|session| session.process.pid()).collect()
    }

    /// Whether the capability `signal` is there, for lines opened from now on.
    pub fn set_signals(&self, signals: bool) {
        self.state.lock().signals = signals;
    }

    /// Everything waits that long before it is answered; zero ends it.
    pub fn slow(&self, by: Duration) {
        self.state.lock().slow = by;
    }

    /// The next request of this operation meets the fault.
    pub fn next(&self, op: Op, fault: Fault) {
        self.order(op, 0, Some(1), fault);
    }

    /// The `n` next requests of this operation meet the fault.
    pub fn times(&self, op: Op, n: usize, fault: Fault) {
        self.order(op, 0, Some(n), fault);
    }

    /// After `good` requests of this operation one meets the fault.
    pub fn nth(&self, op: Op, good: usize, fault: Fault) {
        self.order(op, good, Some(1), fault);
    }

    /// All requests of this operation meet the fault, until [`Self::clear`].
    pub fn always(&self, op: Op, fault: Fault) {
        self.order(op, 0, None, fault);
    }

    /// No more faults for this operation; what was held goes on.
    pub fn clear(&self, op: Op) {
        {
            let mut inner = self.state.lock();
            inner.orders.retain(|order| order.op != op);
            *inner.cleared.entry(op).or_default() += 1;
        }
        self.state.tell();
    }

    /// Breaks all exec and control lines of a sprite that are open now; says how many.
    pub fn break_lines(&self, sprite: &str, how: Break) -> usize {
        self.state.break_lines(sprite, how)
    }

    /// All requests up to now, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// The paths that were written in a sprite with success, in the order in which they came.
    #[must_use]
    pub fn uploads(&self, sprite: &str) -> Vec<String> {
        let inner = self.state.lock();
        let written = inner.requests.iter().filter(|request| {
            request.op == Op::Write
                && request.succeeded()
                && request.sprite.as_deref() == Some(sprite)
        });
        let paths = written.filter_map(|request| request.value("path"));
        paths.map(str::to_owned).collect()
    }

    /// How many requests of an operation were under way at once at most.
    #[must_use]
    pub fn most_at_once(&self, op: Op) -> usize {
        let inner = self.state.lock();
        inner.under_way.get(&op).map_or(0, |(_, most)| *most)
    }

    /// Whether the API key stood in the URL of any request.
    #[must_use]
    pub fn key_in_url(&self) -> bool {
        let inner = self.state.lock();
        inner.requests.iter().any(|request| request.key_in_url)
    }

    /// Waits until the requests look like this.
    ///
    /// # Panics
    /// When they do not within 20 seconds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&[Request]) -> bool) {
        let mut changed = self.state.watch();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !holds(&self.requests()) {
                changed.changed().await.expect("the state is held");
            }
        });
        if waited.await.is_err() {
            panic!("not within 20 s: {what}: {:#?}", self.requests());
        }
    }

    fn order(&self, op: Op, skip: usize, times: Option<usize>, fault: Fault) {
        let order = Order {
            op,
            skip,
            times,
            fault,
        };
        self.state.lock().orders.push(order);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.state.end.cancel();
        let sprites = std::mem::take(&mut self.state.lock().sprites);
        let sessions = sprites.values().flat_map(|sprite| sprite.sessions.values());
        let mut sessions: Vec<_> = sessions.collect();
        sessions.retain(|session| session.process.kill());
        for session in sessions {
            session.process.reaped();
        }
        sweep(self.folder.path());
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                state.tasks.spawn(connection(stream, Arc::clone(&state)));
            },
            () = state.end.cancelled() => break,
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| route::answer(Arc::clone(&state), request));
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        _ = connection => {}
        () = state.end.cancelled() => {}
    }
}
