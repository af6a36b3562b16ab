//! What the program finds when it starts, and what becomes of one that cannot.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::pin::pin;

use common::{Host, exit, line, lines, mark, python, sh, stat};
use jackfield_process::{Command, ExitStatus, Lease, Signal, SpawnError};

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    for (script, status, shown) in [
        ("exit 0", ExitStatus::Code(0), "exit status 0"),
        ("exit 42", ExitStatus::Code(42), "exit status 42"),
        ("exit 255", ExitStatus::Code(255), "exit status 255"),
        ("kill -9 $$", ExitStatus::Signal(9), "signal: killed (9)"),
        (
            "kill -TERM $$",
            ExitStatus::Signal(15),
            "signal: terminated (15)",
        ),
    ] {
        let child = sh(&mark(), script).spawn().await.unwrap();
        let exit = exit(&child).await;
        assert_eq!(exit.status, status, "{script}");
        assert_eq!(exit.status.to_string(), shown);
        assert!(!exit.asked && exit.left.is_empty());
    }
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let program = if fs::exists("/usr/bin/env").unwrap() {
        "/usr/bin/env"
    } else {
        "/bin/env"
    };
    let child = Command::new(program)
        .env("A", "1")
        .env("EMPTY", "")
        .env("B", "x=y\nz");
    let mut child = child.spawn().await.unwrap();
    let seen = lines(child.take_output().unwrap()).await.join("\n");
    assert_eq!(seen, "A=1\nB=x=y\nz\nEMPTY=");

    let child = Command::new(program).inherit_env(["PATH", "NO_SUCH_*"]);
    let mut child = child.spawn().await.unwrap();
    let seen = lines(child.take_output().unwrap()).await;
    assert_eq!(seen, [format!("PATH={}", std::env::var("PATH").unwrap())]);
}

#[tokio::test]
async fn arguments_folder_and_streams_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir(folder.join("inner")).unwrap();
    let script = folder.join("inner/run.sh");
    fs::write(
        &script,
        "#!/bin/sh\npwd\nfor a; do echo \"[$a]\"; done\ncat\nls -l /proc/self/fd/0\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let child = Command::new("./inner/run.sh")
        .args(["", "two words", "$x"])
        .current_dir(folder.clone());
    let mut child = child.inherit_env(["PATH"]).spawn().await.unwrap();
    let seen = lines(child.take_output().unwrap()).await;
    let folder = folder.to_str().unwrap();
    assert_eq!(seen[..4], [folder, "[]", "[two words]", "[$x]"]);
    assert!(seen[4].ends_with("/dev/null"), "{seen:?}");
    assert_eq!(seen.len(), 5);
}

const SELF: &str = r#"
import os, re
status = open("/proc/self/status").read()
for name in ("SigBlk", "SigIgn", "SigCgt"):
    print(name, int(re.search(name + r":\s*(\w+)", status).group(1), 16))
print("fds", sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1])
print("leads", os.getpid() == os.getpgid(0))
"#;

/// Python itself ignores SIGPIPE and SIGXFSZ and catches SIGINT.
const PYTHON_IGNORES: u64 = 1 << (13 - 1) | 1 << (25 - 1);

#[tokio::test]
async fn no_descriptor_no_signal_and_no_group_of_the_host_reaches_the_program() {
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = python(&mark(), SELF).spawn().await.unwrap();
    let pid = child.pid();
    let mut output = child.take_output().unwrap();
    assert_eq!(line(&mut output, "SigBlk").await, "0");
    let ignored: u64 = line(&mut output, "SigIgn").await.parse().unwrap();
    assert_eq!(ignored & !PYTHON_IGNORES, 0);
    assert_eq!(line(&mut output, "fds").await, "[0, 1, 2]");
    assert_eq!(line(&mut output, "leads").await, "True");
    assert!(pid > 1 && exit(&child).await.status.success());

    // A shell adds nothing of its own to what is ignored.
    let mut child = sh(&mark(), "grep -E 'SigIgn|SigBlk' /proc/self/status")
        .spawn()
        .await
        .unwrap();
    let seen = lines(child.take_output().unwrap()).await;
    assert!(
        seen.iter().all(|line| line.ends_with("\t0000000000000000")),
        "{seen:?}"
    );
    assert_eq!(seen.len(), 2);
}

/// What a process has open, in order, without numbers.
fn open_files(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let mut names: Vec<_> = entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|name| Some(name.to_str()?.split(':').next()?.to_owned()))
        .filter(|name| !name.ends_with("/cgroup.kill"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_init_holds_nothing_of_the_host() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = sh(&mark(), "echo up; exec sleep 1000")
        .spawn()
        .await
        .unwrap();
    line(&mut child.take_output().unwrap(), "up").await;
    let init = common::parent(child.pid());
    let expected = [
        "/dev/null",
        "/dev/null",
        "/dev/null",
        "anon_inode",
        "socket",
    ];
    // It may not yet have been on a processor since the program began.
    let until = tokio::time::Instant::now() + common::LONG;
    let mut open = open_files(init);
    while open.len() > expected.len() && tokio::time::Instant::now() < until {
        tokio::task::yield_now().await;
        open = open_files(init);
    }
    assert_eq!(open, expected, "its signals and the line to the host");
    assert_eq!(
        fs::read_to_string(format!("/proc/{init}/comm")).unwrap(),
        "jackfield-init\n"
    );
    assert_eq!(
        fs::read_link(format!("/proc/{init}/cwd")).unwrap().to_str(),
        Some("/")
    );
    assert_ne!(
        stat(init).unwrap()[2],
        stat(std::process::id()).unwrap()[2],
        "another process group"
    );
    drop(listener);
}

/// Not a test: the host of the one below.
#[tokio::test]
async fn a_host_that_ignores_signals() {
    if Host::scenario().is_none() {
        return;
    }
    let mut child = sh(
        &mark(),
        "grep SigIgn /proc/self/status; echo up; exec sleep 1000",
    )
    .spawn()
    .await
    .unwrap();
    let mut output = child.take_output().unwrap();
    println!("ignored {}", line(&mut output, "SigIgn:").await);
    line(&mut output, "up").await;
    println!("child {}", child.pid());
    child.signal(Signal::Terminate);
    println!("status {}", exit(&child).await.status);
}

#[tokio::test]
async fn what_the_host_ignores_is_not_ignored_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    // With SIGCHLD ignored there is nothing to reap for the host, either.
    let mut host = Host::start(
        "a_host_that_ignores_signals",
        "",
        &mark(),
        folder.path(),
        "trap '' CHLD INT TERM HUP USR1",
    );
    assert_eq!(host.line("ignored").await, "0000000000000000");
    host.line("child").await;
    assert_eq!(host.line("status").await, "signal: terminated (15)");
}

fn refused(result: Result<jackfield_process::Child, SpawnError>) -> SpawnError {
    let error = result.map(drop).expect_err("it cannot be run");
    assert!(error.is_permanent(), "{error}");
    error
}

#[tokio::test]
async fn what_cannot_be_executed_is_an_error_and_not_an_exit() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8], mode| {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", b"#!/bin/sh\n", 0o644);
    file("lost", b"#!/no/such/interpreter\n", 0o755);
    file("dos", b"#!/bin/sh\r\necho\r\n", 0o755);
    file("text", b"echo hello\n", 0o755);
    file("empty", b"", 0o755);
    file("garbage", b"\x7fELF\x02\x01\x01 and no more", 0o755);
    let spawn = |name: &str| {
        Command::new(name)
            .current_dir(folder.path().to_owned())
            .spawn()
    };

    assert!(matches!(refused(spawn("").await), SpawnError::Empty));
    assert!(matches!(
        refused(spawn("./none").await),
        SpawnError::NotFound { .. }
    ));
    let error = refused(spawn("plain").await);
    assert_eq!(error.hint(), Some("did you mean ./plain?"), "{error}");
    assert!(matches!(
        refused(spawn("./plain").await),
        SpawnError::NotExecutable { hint: Some(_), .. }
    ));
    assert!(matches!(
        refused(spawn(".").await),
        SpawnError::NotExecutable { .. } | SpawnError::NotFound { .. }
    ));
    let error = refused(spawn("./lost").await);
    assert!(
        matches!(&error, SpawnError::BadInterpreter { interpreter, .. } if interpreter == "/no/such/interpreter")
    );
    let error = refused(spawn("./dos").await);
    assert!(error.to_string().contains(r"/bin/sh\r"), "{error}");
    for name in ["./text", "./empty", "./garbage"] {
        let error = refused(spawn(name).await);
        assert!(
            matches!(error, SpawnError::WrongFormat { hint: Some(_), .. }),
            "{name}: {error}"
        );
    }

    let error = refused(Command::new("/bin/sh").arg("a\0b").spawn().await);
    assert!(error.to_string().contains("argument 1"), "{error}");
    let error = refused(Command::new("/bin/sh").env("A=B", "x").spawn().await);
    assert!(matches!(error, SpawnError::Invalid { .. }), "{error}");
    let error = refused(Command::new("/bin/sh").env("A", "x\0").spawn().await);
    assert!(error.to_string().contains("\"A\""), "{error}");
    let error = refused(
        Command::new("/bin/sh")
            .args(std::iter::repeat_n("x".repeat(100_000), 100))
            .spawn()
            .await,
    );
    assert!(matches!(error, SpawnError::Invalid { .. }), "{error}");
    let error = refused(
        Command::new("/bin/sh")
            .current_dir("/no/such/folder".into())
            .spawn()
            .await,
    );
    assert!(matches!(error, SpawnError::Folder { .. }), "{error}");
}

#[tokio::test]
async fn a_lease_that_cannot_be_kept_starts_nothing() {
    let mark = mark();
    let lease = |folder: &str, mark: &str| Lease {
        folder: folder.into(),
        name: "x".into(),
        mark: mark.into(),
    };
    for lease in [
        lease("/no/such/folder", &mark),
        lease("/tmp", "in nobody's environment"),
    ] {
        let error = sh(&mark, "exec sleep 1000")
            .lease(lease)
            .spawn()
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            matches!(error, SpawnError::Lease(_)) && !error.is_permanent(),
            "{error}"
        );
    }
    assert_eq!(common::with_mark(&mark), [].into());
}

/// An unpacked program that another thread's fork still holds open for writing must not be an error.
/// One thread forks for all. While it looked the programs up as well, a search path on a disk that
/// hangs kept every other program from starting.
#[tokio::test]
async fn a_slow_search_for_one_program_holds_no_other_up() {
    let path = "/no/such/folder:".repeat(1 << 20);
    let slow = pin!(Command::new("nowhere").env("PATH", path).spawn());
    let quick = async {
        // The slow one has been polled before, so it was there first.
        sh(&mark(), "exit 3").spawn().await.unwrap()
    };
    tokio::select! {
        biased;
        _ = slow => panic!("the slow one came first"),
        child = quick => assert_eq!(exit(&child).await.status, ExitStatus::Code(3)),
    }
}

#[tokio::test]
async fn a_program_that_was_just_written_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fresh");
    fs::copy("/bin/sh", &path).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let spawn = Command::new(&path).args(["-c", "exit 7"]).spawn();
    // Closed only when the program has been forked and has met ETXTBSY: its file is another than the host's then.
    let (child, ()) = tokio::join!(spawn, async {
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || {
            std::thread::park_timeout(std::time::Duration::from_millis(50));
            drop(writer);
        })
        .await
        .unwrap();
    });
    assert_eq!(exit(&child.unwrap()).await.status, ExitStatus::Code(7));
}

#[tokio::test]
async fn a_spawn_that_is_not_waited_for_leaves_nothing() {
    let mark = mark();
    let mut polls = 0;
    loop {
        let mut spawn = std::pin::pin!(sh(&mark, "exec sleep 1000").spawn());
        let mut done = false;
        // Dropped after one poll, after two, ...: at every point where it waits.
        for _ in 0..=polls {
            let poll = std::future::poll_fn(|context| {
                std::task::Poll::Ready(spawn.as_mut().poll(context))
            });
            if poll.await.is_ready() {
                done = true;
                break;
            }
            tokio::task::yield_now().await;
        }
        polls += 1;
        if done || polls > 2000 {
            break;
        }
        if polls > 8 {
            polls *= 2;
        }
    }
    let left = tokio::task::spawn_blocking(move || common::all_ended(&mark, common::LONG))
        .await
        .unwrap();
    assert_eq!(left, [].into());
}
