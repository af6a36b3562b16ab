//! A real PostgreSQL for tests, from the binaries that `./test` prepares.
//!
//! One server for each process of tests, started when the first of them asks. It listens on a Unix socket in its own
//! folder and nowhere else, keeps nothing safe from a crash of the machine, and ends with the process, however that ends.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use jackfield_process::{Command, Signal};
use rustix::process::geteuid;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::{mpsc, oneshot};

use crate::peers;

/// Who the server runs as when the tests are root, for it refuses that: nobody.
const NOBODY: u32 = 65534;
/// Longer than a start takes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody waits for the URL of a database.
type Wanted = oneshot::Sender<Result<String, String>>;

/// The URL of a database that nobody has used yet: `postgres://…`, to be had for the process's life.
///
/// # Panics
/// When `./test` has not prepared the binaries, or they do not work here: says what they wrote.
pub async fn database() -> String {
    let (tell, told) = oneshot::channel();
    let asked = ASK.send(tell).await;
    asked.expect("the thread of the server lives");
    let made = told.await.expect("the thread of the server lives");
    made.unwrap_or_else(|error| panic!("PostgreSQL: {error}"))
}

/// The way to the thread that owns the server. A test's own runtime ends with the test.
static ASK: LazyLock<mpsc::Sender<Wanted>> = LazyLock::new(|| {
    let (ask, wanted) = mpsc::channel(16);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(serve(wanted));
    });
    ask
});

async fn serve(mut wanted: mpsc::Receiver<Wanted>) {
    let server = Running::start().await;
    let mut made = 0;
    while let Some(tell) = wanted.recv().await {
        let url = match &server {
            Ok(server) => {
                made += 1;
                server.make(&format!("test_{made}")).await
            }
            Err(error) => Err(error.clone()),
        };
        // Who does not wait any more needs no database.
        let _ = tell.send(url);
    }
}

/// The server, for as long as this is held.
struct Running {
    folder: Folder,
    _child: jackfield_process::Child,
}

/// A folder of this process. What processes before it left is removed, since none can clean up after a kill.
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Running {
    async fn start() -> Result<Self, String> {
        let folder = Folder::make().map_err(|error| format!("a folder: {error}"))?;
        let data = folder.path.join("data");
        let data = data.to_str().ok_or("a folder in UTF-8")?;
        let init = [
            "--pgdata",
            data,
            "--username",
            "jackfield",
            "--auth",
            "trust",
            "--no-sync",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--no-instructions",
        ];
        let mut init = spawn("initdb", &init, &folder.path).await?;
        let said = said(&mut init, |_| false).await?;
        let exit = init.exited().await.status;
        if !exit.success() {
            return Err(format!("initdb: {exit}\n{said}"));
        }
        let socket = format!("unix_socket_directories={}", folder.path.display());
        let settings = [
            "listen_addresses=",
            &socket,
            "max_connections=400",
            "shared_buffers=32MB",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
            "max_wal_size=64MB",
            "min_wal_size=32MB",
            "lc_messages=C",
        ];
        let mut arguments = vec!["-D", data];
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        let mut child = spawn("postgres", &arguments, &folder.path).await?;
        said_until_ready(&mut child).await?;
        Ok(Self {
            folder,
            _child: child,
        })
    }

    /// Makes a database; gives its URL.
    async fn make(&self, name: &str) -> Result<String, String> {
        let make = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            connection
                .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
                .await?;
            connection.close().await
        };
        make.await.map_err(|error| error.to_string())?;
        Ok(self.url(name))
    }

    fn url(&self, name: &str) -> String {
        let host = self.folder.path.display();
        format!("postgres://jackfield@localhost/{name}?host={host}&sslmode=disable")
    }
}

impl Folder {
    fn make() -> std::io::Result<Self> {
        let all = std::env::temp_dir().join(format!("jackfield-postgres-{}", geteuid().as_raw()));
        fs::create_dir_all(&all)?;
        for old in fs::read_dir(&all)?.flatten() {
            // Whoever holds the lock lives.
            let lock = File::open(old.path().join("lock"));
            if lock.is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
                let _ = fs::remove_dir_all(old.path());
            }
        }
        let path = tempfile::tempdir_in(&all)?.keep();
        // Held before it can be found.
        let lock = File::create(path.join("new"))?;
        lock.lock()?;
        fs::rename(path.join("new"), path.join("lock"))?;
        if geteuid().is_root() {
            use std::os::unix::fs::{PermissionsExt as _, chown};
            chown(&path, Some(NOBODY), Some(NOBODY))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { path, _lock: lock })
    }
}

/// Starts one of PostgreSQL's programs; as nobody, if we are root, who still may read what only root may.
async fn spawn(
    program: &str,
    arguments: &[&str],
    folder: &Path,
) -> Result<jackfield_process::Child, String> {
    let program = peers::prepared("postgres/bin").join(program);
    let mut command = if geteuid().is_root() {
        let nobody = NOBODY.to_string();
        Command::new("setpriv")
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .args([
                "--inh-caps",
                "+dac_read_search",
                "--ambient-caps",
                "+dac_read_search",
            ])
            .arg(program)
    } else {
        Command::new(program)
    };
    command = command
        .args(arguments)
        .inherit_env(["PATH", "TMPDIR"])
        .env("LC_ALL", "C")
        .current_dir(folder.to_path_buf())
        .stop_signal(Signal::Interrupt);
    command.spawn().await.map_err(|error| error.to_string())
}

async fn said_until_ready(child: &mut jackfield_process::Child) -> Result<(), String> {
    let ready = |line: &str| line.contains("database system is ready to accept connections");
    let said = said(child, ready).await?;
    if said.lines().next_back().is_some_and(ready) {
        return Ok(());
    }
    Err(format!("postgres does not get ready:\n{said}"))
}

/// What a program writes until a line that ends it, or its end.
async fn said(
    child: &mut jackfield_process::Child,
    last: impl Fn(&str) -> bool,
) -> Result<String, String> {
    let mut lines = child.take_output().ok_or("taken twice")?;
    let mut said = String::new();
    let read = async {
        while let Some(line) = lines.recv().await {
            let line = String::from_utf8_lossy(&line.text);
            said.push_str(&line);
            said.push('\n');
            if last(&line) {
                break;
            }
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.map(|()| said.clone())
        .map_err(|_| format!("not within {PATIENCE:?}; so far:\n{said}"))
}
