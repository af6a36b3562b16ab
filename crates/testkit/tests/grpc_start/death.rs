//! It ends with its parent, whoever that was, and not before.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use jackfield_testkit::{alive, end, eventually, until_file, within};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::RIG;
use crate::bench::{Place, Started, get};

/// A shell that starts the plugin and waits, and the plugin's process, once it listens.
async fn under_a_shell(place: &Place, prefix: &str, program: &str, orders: &str) -> (Child, u32) {
    let script = format!("{prefix} {program} {orders} & echo $!; wait");
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .env("FTL_BIND", place.url(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let pid = within(lines.next_line()).await.unwrap().unwrap();
    let pid: u32 = pid.parse().unwrap();
    let client = place.client();
    let listens = async {
        while client.ping(kv::PingRequest::default()).await.is_err() {
            assert!(alive(pid), "it ended before it was ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(listens).await;
    (shell, pid)
}

/// How long it lived when its parent was killed.
async fn outlived(prefix: &str, program: &str, orders: &str) -> Duration {
    let place = Place::hold();
    let (mut shell, pid) = under_a_shell(&place, prefix, program, orders).await;
    let began = Instant::now();
    shell.kill().await.unwrap();
    while alive(pid) {
        if began.elapsed() > Duration::from_secs(3) {
            end(pid);
            panic!("it lives 3 s after its parent's death");
        }
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

/// Most of the time within a tenth of a second, on a machine that does other things, too.
async fn ends_in_time(prefix: &str, program: &str, orders: &str) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(outlived(prefix, program, orders).await);
        if best < Duration::from_millis(100) {
            return;
        }
    }
    panic!("{best:?} at best");
}

#[tokio::test]
async fn under_the_same_user() {
    ends_in_time("", RIG, "").await;
}

/// In the middle of its constructor, too: one that waits, and one that blocks.
#[tokio::test]
async fn in_the_constructor() {
    ends_in_time("", RIG, "--constructor 60000").await;
    ends_in_time("", RIG, "--constructor-blocks 60000").await;
}

/// While it drains, with a grace that would let it go on for long.
#[tokio::test]
async fn in_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::hold();
    let (mut shell, pid) = under_a_shell(&place, "", RIG, "--grace 600000").await;
    let client = place.client();
    let order = format!("hold:{}", folder.path().display());
    let call = get(&client, &order);
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => panic!("{answer:?}"),
        _ = until_file(folder.path().join("began")) => {}
    }
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let closed = async { while TcpStream::connect(place.address).await.is_ok() {} };
    within(closed).await;
    assert!(alive(pid), "it drains");
    shell.kill().await.unwrap();
    eventually(Duration::from_secs(1), "it is gone", || !alive(pid)).await;
}

/// Under another user than its parent, who it may not signal.
#[tokio::test]
async fn under_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open.clone()).unwrap();
    let copy = folder.path().join("grpc_start_rig");
    std::fs::copy(RIG, &copy).unwrap();
    std::fs::set_permissions(&copy, open).unwrap();
    let prefix = "exec setpriv --reuid=65534 --regid=65534 --clear-groups --";
    ends_in_time(prefix, &copy.display().to_string(), "").await;
}

/// Under another user it serves like any other: nothing is taken for its parent's death.
#[tokio::test]
async fn another_user_is_no_death() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open.clone()).unwrap();
    let copy = folder.path().join("grpc_start_rig");
    std::fs::copy(RIG, &copy).unwrap();
    std::fs::set_permissions(&copy, open).unwrap();
    let place = Place::hold();
    let mut child = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&copy)
        .env("FTL_BIND", place.url(""))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut served = 0;
    // Longer than the original's poll.
    while began.elapsed() < Duration::from_millis(1500) || served == 0 {
        assert!(child.try_wait().unwrap().is_none());
        assert!(began.elapsed() < Duration::from_secs(30));
        match get(&place.client(), "number").await {
            Ok(_) => served += 1,
            Err(error) => assert_eq!(served, 0, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().await.unwrap();
}

/// The thread that started it ends, its parent does not: it lives on.
#[tokio::test]
async fn the_end_of_a_thread_is_no_death() {
    let place = Place::hold();
    let url = place.url("");
    let start = std::thread::spawn(move || {
        std::process::Command::new(RIG)
            .env("FTL_BIND", url)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let mut child = tokio::task::spawn_blocking(move || start.join().unwrap())
        .await
        .unwrap();
    let began = Instant::now();
    let mut served = 0;
    let mut died = None;
    while died.is_none() && (served < 10 || began.elapsed() < Duration::from_millis(600)) {
        served += usize::from(get(&place.client(), "number").await.is_ok());
        died = child.try_wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    let _ = child.kill();
    let _ = child.wait();
    assert!(died.is_none(), "{died:?}");
}

/// Nobody reads its logs any more: it serves, and ends as it should.
#[tokio::test]
async fn its_outputs_are_closed() {
    let mut started = Started::run("").ready().await;
    let client = started.client();
    get(&client, "number").await.unwrap();
    started.close_stderr().await;
    for _ in 0..20 {
        get(&client, "log:nobody reads this").await.unwrap();
    }
    assert_eq!(get(&client, "number").await.unwrap(), "7");
    started.signal(rustix::process::Signal::TERM);
    assert_eq!(within(started.child.wait()).await.unwrap().code(), Some(0));
}
