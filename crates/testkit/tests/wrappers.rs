//! Plugins behind something that starts them: a shell, npm, node, `go run`, `uv run`. The process
//! that the host started is then not the one that speaks, and what it forwards, or does not, is
//! its own affair.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jackfield::wire::methods::Ping;
use jackfield::{ActiveState, InstallationId, Policy, ReportedState, Session, Spec};
use jackfield_testkit::peers::{self, Language};
use jackfield_testkit::{
    TestHost, alive, alive_with, bench_host, end, eventually, quick, until, until_state,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const NOTHING: [u32; 0] = [];

/// Starts the plugin in a session of its own, out of reach of every signal but one to itself.
const FAR_CHILD: &str = r#"
    const { spawn } = require("node:child_process");
    const child = spawn("python3", ["plugin.py"], { stdio: "inherit", detached: true });
    child.on("exit", (code) => process.exit(code ?? 1));
    process.on("SIGINT", () => {});
"#;

#[derive(Clone, Copy)]
enum Wrapper {
    Shell,
    NpmExec,
    NpmStart,
    NodeChild,
    GoRun,
    UvRun,
}

macro_rules! table {
    ($($module:ident $wrapper:ident)*) => { $( mod $module {
        use crate::Wrapper::$wrapper;

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn stop_leaves_nothing() {
            crate::stop_leaves_nothing($wrapper).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_killed_wrapper_is_noticed() {
            crate::a_killed_wrapper_is_noticed($wrapper).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_killed_plugin_is_noticed() {
            crate::a_killed_plugin_is_noticed($wrapper).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn two_interrupts_at_once_do_no_harm() {
            crate::two_interrupts_at_once_do_no_harm($wrapper).await;
        }
    } )* };
}

table! {
    shell Shell
    npm_exec NpmExec
    npm_start NpmStart
    node_child NodeChild
    go_run GoRun
    uv_run UvRun
}

async fn stop_leaves_nothing(wrapper: Wrapper) {
    let bench = Bench::start(wrapper).await;
    let tree = bench.tree();
    assert!(tree.len() > 1, "a wrapper and a plugin: {tree:?}");
    bench.set(ActiveState::Inactive).await;
    assert_eq!(bench.tree(), NOTHING);
    // And again, from the start.
    bench.set(ActiveState::Active).await;
    bench.session.ready().await.unwrap();
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    bench.finish().await;
}

async fn a_killed_wrapper_is_noticed(wrapper: Wrapper) {
    let bench = Bench::start(wrapper).await;
    let before = bench.session.status().borrow().clone();
    let tree = bench.tree();
    let wrapper = before.pid.unwrap();
    assert!(tree.contains(&wrapper) && tree.len() > 1, "{tree:?}");
    end(wrapper);
    let status = until(&bench.session, |now| {
        now.state == ReportedState::Active && now.pid != Some(wrapper)
    })
    .await;
    assert_eq!(status.restarts, 1);
    // What it had left behind is gone: two of one plugin would do everything twice.
    let left: Vec<_> = tree.into_iter().filter(|pid| alive(*pid)).collect();
    assert_eq!(left, NOTHING);
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    bench.finish().await;
}

async fn a_killed_plugin_is_noticed(wrapper: Wrapper) {
    let bench = Bench::start(wrapper).await;
    let before = bench.session.status().borrow().clone();
    let plugin = bench.plugin();
    assert_ne!(Some(plugin), before.pid);
    end(plugin);
    until(&bench.session, |now| {
        now.state == ReportedState::Active && now.started_at != before.started_at
    })
    .await;
    assert!(!alive(plugin));
    assert!(bench.session.call::<Ping>(&None).await.unwrap().pong);
    bench.finish().await;
}

/// Ctrl-C reaches a whole process group, and wrappers pass on what they get: a plugin sees the
/// interrupt twice or more, in the middle of its work.
async fn two_interrupts_at_once_do_no_harm(wrapper: Wrapper) {
    let bench = Bench::start(wrapper).await;
    let publish = |numbers: std::ops::Range<usize>| {
        for n in numbers {
            let event = json!({"id": n});
            let published = bench.host.publish("EventThreadPublished", event).unwrap();
            assert_eq!(published.queued, [bench.session.id()]);
        }
    };
    publish(0..20);
    let before = bench.session.status().borrow().pid.unwrap();
    for _ in 0..2 {
        interrupt_group(before);
        // The plugin may be out of the group's reach.
        for pid in bench.tree() {
            interrupt(pid);
        }
    }
    publish(20..40);
    until(&bench.session, |now| {
        now.state == ReportedState::Active && now.pid != Some(before)
    })
    .await;
    publish(40..60);
    let log = bench.log();
    eventually(PATIENCE, "the last event", || {
        seen(&log).last() == Some(&59)
    })
    .await;
    // None comes out of turn or twice. The one that was being handled when the process ended is not
    // handed on again, for it may be what ended it; all others are there.
    let seen = seen(&log);
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert!(seen.len() >= 59, "{seen:?}");

    // Two stops at once, and interrupts from elsewhere beside them.
    let pid = bench.session.status().borrow().pid.unwrap();
    let (one, other, ()) = tokio::join!(
        bench.session.set_active_state(ActiveState::Inactive),
        bench.session.set_active_state(ActiveState::Inactive),
        async { interrupt_group(pid) },
    );
    one.unwrap();
    other.unwrap();
    until_state(&bench.session, ReportedState::Inactive).await;
    assert_eq!(bench.tree(), NOTHING);
    bench.finish().await;
}

struct Bench {
    host: TestHost,
    session: Session,
    mark: String,
}

impl Bench {
    async fn start(wrapper: Wrapper) -> Self {
        // A wrapper that has to build first takes its time.
        let policy = Policy {
            dial_deadline: PATIENCE,
            ..quick()
        };
        let host = bench_host(|builder| builder.policy(policy)).await;
        let id = InstallationId::new();
        let session = host.load(wrapper.spec(id)).unwrap();
        let bench = Self {
            host,
            session,
            mark: format!("plugin_id={id}"),
        };
        bench.set(ActiveState::Active).await;
        bench.session.ready().await.unwrap();
        bench
    }

    async fn set(&self, wanted: ActiveState) {
        self.session.set_active_state(wanted).await.unwrap();
    }

    /// All processes of the plugin, wherever they have gone.
    fn tree(&self) -> Vec<u32> {
        alive_with(&self.mark)
    }

    /// The one that speaks: it has a connection.
    fn plugin(&self) -> u32 {
        let speaks = |pid: &u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd"));
            let links = files.into_iter().flatten().flatten();
            links
                .filter_map(|file| fs::read_link(file.path()).ok())
                .any(|link| connections().contains(&link.to_string_lossy().into_owned()))
        };
        let mut speaking = self.tree().into_iter().filter(speaks);
        let plugin = speaking.next().expect("one of them speaks");
        assert_eq!(speaking.next(), None);
        plugin
    }

    fn log(&self) -> PathBuf {
        let id = self.session.id();
        let folder = self.host.folder().join(format!("plugins/{id}/state"));
        folder.join("events.log")
    }

    async fn finish(self) {
        let left = self.host.shutdown(Duration::from_secs(10)).await;
        assert_eq!(left.killed, []);
        assert_eq!(self.tree(), NOTHING);
    }
}

impl Wrapper {
    fn spec(self, id: InstallationId) -> Spec {
        let (language, command, args): (_, _, &[&str]) = match self {
            Self::Shell => (Language::Python, "sh", &["-c", "python3 plugin.py & wait"]),
            Self::NpmExec => (Language::Node, "npm", &["exec", "-c", "node plugin.mjs"]),
            Self::NpmStart => (Language::Node, "npm", &["start", "--silent"]),
            Self::NodeChild => (Language::Python, "node", &["-e", FAR_CHILD]),
            Self::GoRun => (Language::Go, "go", &["run", "-trimpath", "."]),
            Self::UvRun => (
                Language::Python,
                "uv",
                &[
                    "run",
                    "--no-project",
                    "--offline",
                    "--no-cache",
                    "plugin.py",
                ],
            ),
        };
        let mut spec = Spec::supervised(id, language.run_by(command, args))
            .env("PATH", peers::path())
            .env("npm_config_update_notifier", "false");
        if let Self::UvRun = self {
            let venv = peers::python().parent().map(PathBuf::from).unwrap();
            spec = spec.env("VIRTUAL_ENV", venv.to_str().unwrap());
        }
        if let Self::GoRun = self {
            // All that it needs was fetched when the peers were prepared.
            spec = spec.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
            for key in ["GOPATH", "GOMODCACHE", "GOCACHE"] {
                if let Ok(value) = std::env::var(key) {
                    spec = spec.env(key, value);
                }
            }
        }
        spec
    }
}

/// The ids of the events in a log, each line of which is whole.
fn seen(log: &PathBuf) -> Vec<u64> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            event["id"].as_u64().expect("a number")
        })
        .collect()
}

/// The TCP connections of this machine, as `/proc/<pid>/fd` names them.
fn connections() -> Vec<String> {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1);
    rows.filter_map(|row| {
        let mut fields = row.split_whitespace();
        let state = fields.nth(3)?;
        let inode = fields.nth(5)?;
        (state == ESTABLISHED).then(|| format!("socket:[{inode}]"))
    })
    .collect()
}

fn interrupt(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::INT);
}

fn interrupt_group(leader: u32) {
    let leader = i32::try_from(leader)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process_group(leader.unwrap(), rustix::process::Signal::INT);
}
