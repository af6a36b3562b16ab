//! What the service knows.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::{Break, Fault, Op, Order, take};
use super::record::Request;
use super::service::Settings;
use super::session::Session;

/// Shared by all connections.
#[derive(Debug)]
pub(super) struct State {
    pub(super) key: String,
    pub(super) root: PathBuf,
    pub(super) settings: Settings,
    pub(super) tasks: TaskTracker,
    /// Cancelled when the service goes.
    pub(super) end: CancellationToken,
    /// Counts what happened, for those who wait.
    changed: watch::Sender<u64>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) sprites: BTreeMap<String, Sprite>,
    pub(super) requests: Vec<Request>,
    pub(super) orders: Vec<Order>,
    /// How often the orders of an operation were cleared: what is held goes on then.
    pub(super) cleared: HashMap<Op, u64>,
    /// Under way now, and at most at once.
    pub(super) under_way: HashMap<Op, (usize, usize)>,
    pub(super) lines: Vec<(String, mpsc::Sender<Break>)>,
    pub(super) signals: bool,
    pub(super) slow: Duration,
    pub(super) last_session: u32,
}

#[derive(Debug)]
pub(super) struct Sprite {
    pub(super) created: SystemTime,
    /// Also those that have ended.
    pub(super) sessions: BTreeMap<u32, Arc<Session>>,
}

/// A request under way, in the record.
#[derive(Debug)]
pub(super) struct Entry {
    state: Arc<State>,
    index: usize,
    op: Op,
}

impl State {
    pub(super) fn new(key: String, root: PathBuf, settings: Settings) -> Self {
        let inner = Inner {
            signals: settings.signals,
            last_session: 1000,
            ..Inner::default()
        };
        Self {
            key,
            root,
            settings,
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            changed: watch::Sender::new(0),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("nobody panics with the lock in hand")
    }

    /// Something happened.
    pub(super) fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The folder that is `/` of a sprite.
    pub(super) fn folder(&self, sprite: &str) -> PathBuf {
        self.root.join(sprite)
    }

    /// The fault that a request of this operation meets, after what only delays it.
    pub(super) async fn meet(&self, op: Op) -> Option<Fault> {
        let (slow, fault, cleared) = {
            let mut inner = self.lock();
            let fault = take(&mut inner.orders, op);
            (
                inner.slow,
                fault,
                inner.cleared.get(&op).copied().unwrap_or(0),
            )
        };
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if fault != Some(Fault::Hold) {
            return fault;
        }
        let mut changed = self.watch();
        let goes_on = |inner: &Inner| inner.cleared.get(&op).is_some_and(|now| *now > cleared);
        while !goes_on(&self.lock()) {
            if changed.changed().await.is_err() {
                break;
            }
        }
        None
    }

    /// Opens the record of a request.
    pub(super) fn begin(self: &Arc<Self>, request: Request) -> Entry {
        let op = request.op;
        let mut inner = self.lock();
        inner.requests.push(request);
        let index = inner.requests.len() - 1;
        let (now, most) = inner.under_way.entry(op).or_default();
        *now += 1;
        *most = (*most).max(*now);
        drop(inner);
        self.tell();
        Entry {
            state: Arc::clone(self),
            index,
            op,
        }
    }

    /// The session of a sprite, also one that has ended.
    pub(super) fn session(&self, sprite: &str, id: &str) -> Option<Arc<Session>> {
        let id: u32 = id.parse().ok()?;
        let inner = self.lock();
        inner.sprites.get(sprite)?.sessions.get(&id).cloned()
    }

    /// A line of a sprite that may be broken from outside.
    pub(super) fn line(&self, sprite: &str) -> mpsc::Receiver<Break> {
        let (sender, receiver) = mpsc::channel(1);
        let mut inner = self.lock();
        inner.lines.retain(|(_, line)| !line.is_closed());
        inner.lines.push((sprite.to_owned(), sender));
        receiver
    }

    pub(super) fn break_lines(&self, sprite: &str, how: Break) -> usize {
        let mut inner = self.lock();
        let mut broken = 0;
        inner.lines.retain(|(name, line)| {
            if name == sprite {
                broken += usize::from(line.try_send(how).is_ok());
            }
            name != sprite && !line.is_closed()
        });
        broken
    }
}

impl Entry {
    pub(super) fn status(&self, status: u16) {
        self.state.lock().requests[self.index].status = Some(status);
        self.state.tell();
    }

    pub(super) fn bytes(&self, bytes: u64) {
        self.state.lock().requests[self.index].bytes = bytes;
        self.state.tell();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some((now, _)) = self.state.lock().under_way.get_mut(&self.op) {
            *now -= 1;
        }
        self.state.tell();
    }
}

/// Ends whatever runs with its working folder below this one.
pub(super) fn sweep(folder: &Path) {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|pid| pid.parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else {
            continue;
        };
        if std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
