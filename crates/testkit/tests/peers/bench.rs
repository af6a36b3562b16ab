//! A host with one peer, whichever way it comes to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jackfield::wire::manifest::Format;
use jackfield::wire::methods::{Access, AccessGet, Config, GetConfig, GetConfigParams};
use jackfield::{
    ActiveState, Call, CallOptions, Fault, HostBuilder, InstallationId, Manifest, Mode, Session,
    Spec, Token,
};
use jackfield_testkit::peers::{self, Language};
use jackfield_testkit::{TestHost, alive_with, bench_host};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::NOTHING;
use crate::cable::Cable;

/// A host, a session, and where the plugin is external the program that somebody else runs.
pub(crate) struct Bench {
    pub(crate) host: TestHost,
    pub(crate) session: Session,
    language: Language,
    pub(crate) program: Option<Child>,
    url: String,
    /// Stands in the environment of every process of the plugin and of no other.
    pub(crate) mark: String,
    /// Where the plugin writes.
    pub(crate) state: PathBuf,
    /// Where the program is that somebody else runs.
    home: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start(language: Language, mode: Mode) -> Self {
        Self::over(None, language, mode).await
    }

    pub(crate) async fn over(cable: Option<&Cable>, language: Language, mode: Mode) -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let host = bench_host(|builder| match cable {
            Some(cable) => methods(builder)
                .listen(free)
                .public_url(format!("http://{}", cable.near)),
            None => methods(builder),
        })
        .await;
        if let Some(cable) = cable {
            cable.plug(host.local_addr().unwrap());
        }
        let id = InstallationId::new();
        let token = Token::external();
        let home = tempfile::tempdir().unwrap();
        let spec = match mode {
            Mode::Supervised => Spec::supervised(id, language.package()).env("PATH", peers::path()),
            Mode::External => {
                let manifest = language.manifest().to_string();
                let manifest = Manifest::parse(manifest.as_bytes(), Format::Json).unwrap();
                Spec::external(id, manifest, token.hash())
            }
        };
        let session = host.load(spec).unwrap();
        let (mark, state) = match mode {
            Mode::Supervised => (
                format!("plugin_id={id}"),
                host.folder().join(format!("plugins/{id}/state")),
            ),
            Mode::External => (token.reveal().to_owned(), home.path().to_owned()),
        };
        let mut bench = Self {
            url: format!("{}?token={}", host.rpc_url(), token.reveal()),
            host,
            session,
            language,
            program: None,
            mark,
            state,
            home,
        };
        if mode == Mode::External {
            language.install(bench.home.path());
            bench.program = Some(bench.run());
        }
        bench.set(ActiveState::Active).await;
        bench.session.ready().await.unwrap();
        bench
    }

    /// Does what somebody elsewhere does who runs the plugin.
    pub(crate) fn run(&self) -> Child {
        let (program, args) = self.language.command();
        let home = self.home.path();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(home.join("out.log"))
            .unwrap();
        Command::new(program)
            .args(args)
            .current_dir(home)
            .env_clear()
            .env("PATH", peers::path())
            .env("STORYDEN_RPC_URL", &self.url)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        let of_program = self.program.as_ref().and_then(Child::id);
        of_program
            .or(self.session.status().borrow().pid)
            .expect("it runs")
    }

    pub(crate) async fn set(&self, wanted: ActiveState) {
        self.session.set_active_state(wanted).await.unwrap();
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        call(&self.session, method, &params).await
    }

    /// The end of every scenario: the host stops within its grace and nothing is left.
    pub(crate) async fn finish(mut self) {
        let left = self.host.shutdown(Duration::from_secs(10)).await;
        assert_eq!(left.killed, []);
        if let Some(program) = &mut self.program {
            assert_eq!(
                program.try_wait().unwrap(),
                None,
                "it waits for the host to come back"
            );
            interrupt(program);
            let exit = program.wait().await.unwrap();
            assert_eq!(exit.code(), Some(0), "{exit}");
        }
        assert_eq!(alive_with(&self.mark), NOTHING);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_files(&self.host.folder().join("plugins"));
            print_files(self.home.path());
        }
    }
}

/// What the plugin said, for whoever reads of a test that failed.
fn print_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("packages") && !path.ends_with("node_modules") {
            print_files(&path);
        } else if path.to_string_lossy().contains("log") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            println!("{}:\n{text}", path.display());
        }
    }
}

fn interrupt(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("it runs");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// What the plugins of these tests may call.
fn methods(builder: HostBuilder) -> HostBuilder {
    builder
        .method::<GetConfig>(
            async |_: Call<Session>, asked: GetConfigParams| -> Result<Config, Fault> {
                let stored = json!({"colour": "blue", "size": 3, "hidden": true});
                let mut config: Map<String, Value> =
                    serde_json::from_value(stored).expect("an object");
                config.retain(|key, _| asked.keys.is_empty() || asked.keys.contains(key));
                Ok(Config { config })
            },
        )
        .method::<AccessGet>(async |call: Call<Session>, _| -> Result<Access, Fault> {
            Ok(Access {
                access_key: format!("sdbak_{}", call.context.id()),
                api_base_url: "http://localhost:8000".to_owned(),
            })
        })
}

async fn call(session: &Session, method: &str, params: &Value) -> Value {
    let params: Box<RawValue> = to_raw_value(params).unwrap();
    let answer = session.call_raw(method, Some(&params), CallOptions::default());
    serde_json::from_str(answer.await.unwrap().get()).unwrap()
}

pub(crate) async fn echo(session: &Session, given: &Value) -> Value {
    let mut answer = call(session, "echo", given).await;
    assert_eq!(answer["method"], "echo");
    answer["params"].take()
}
