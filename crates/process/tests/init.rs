//! The init itself: killed, stopped, and what it costs.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{exit, line, mark, parent, sh, with_mark};
use jackfield_process::{Child, Command, ExitStatus, Lease};

fn lease(folder: &Path, mark: &str) -> Lease {
    Lease {
        folder: folder.to_owned(),
        name: "plugin".to_owned(),
        mark: mark.to_owned(),
    }
}

async fn ready(command: Command) -> Child {
    let mut child = command.spawn().await.expect("it can be run");
    line(&mut child.take_output().expect("not taken yet"), "ready").await;
    child
}

/// Three grandchildren: in the program's group, in a group and in a session of its own.
const FAMILY: &str = "
import os, signal, time
for step in (lambda: None, os.setpgrp, os.setsid):
    r, w = os.pipe()
    if os.fork() == 0:
        step()
        for s in (1, 2, 3, 13, 15): signal.signal(s, signal.SIG_IGN)
        os.write(w, b'x')
        time.sleep(1000)
    os.read(r, 1)
print('ready')
time.sleep(1000)
";

#[tokio::test]
async fn the_tree_of_a_killed_init_is_swept_by_its_mark() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let child = ready(common::python(&mark, FAMILY).lease(lease(folder.path(), &mark))).await;
    assert_eq!(with_mark(&mark).len(), 4);
    common::kill(parent(child.pid()));
    let end = exit(&child).await;
    assert_eq!(
        (end.status, end.asked, end.left),
        (ExitStatus::Lost, false, vec![])
    );
    assert_eq!(with_mark(&mark), BTreeSet::new());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the lease is gone"
    );
}

#[tokio::test]
async fn without_a_lease_the_group_is_swept() {
    let mark = mark();
    let child = ready(common::python(
        &mark,
        &FAMILY.replace(", os.setpgrp, os.setsid", ","),
    ))
    .await;
    assert_eq!(with_mark(&mark).len(), 2);
    common::kill(parent(child.pid()));
    assert_eq!(exit(&child).await.status, ExitStatus::Lost);
    assert_eq!(with_mark(&mark), BTreeSet::new());
}

#[tokio::test]
async fn an_init_that_does_not_answer_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    // Without a lease those are found that were below it, wherever they have gone since.
    let given_up = async |has_lease: bool| {
        let mark = mark();
        let mut command = common::python(&mark, FAMILY);
        if has_lease {
            command = command.lease(lease(folder.path(), &mark));
        }
        let child = ready(command).await;
        assert_eq!(with_mark(&mark).len(), 4);
        common::freeze(parent(child.pid()));
        child.kill();
        let end = exit(&child).await;
        assert_eq!((end.status, end.asked), (ExitStatus::Lost, true));
        assert_eq!(with_mark(&mark), BTreeSet::new());
    };
    tokio::join!(given_up(true), given_up(false));
}

#[tokio::test]
async fn a_lease_lies_there_exactly_while_the_tree_lives() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let child =
        ready(sh(&mark, "echo ready; exec sleep 1000").lease(lease(folder.path(), &mark))).await;
    let (program, init) = (child.pid(), parent(child.pid()));
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files, [folder.path().join(format!("plugin-{init}.lease"))]);
    // It is brought up to date beside the start, which does not wait for it.
    let until = tokio::time::Instant::now() + common::LONG;
    let text = loop {
        let text = fs::read_to_string(&files[0]).unwrap();
        if text.contains("program=") || tokio::time::Instant::now() > until {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let (init_start, start) = (common::start_time(init), common::start_time(program));
    for line in [
        "jackfield-lease=1".to_owned(),
        format!("init={init} {init_start}"),
        format!("program={program} {start}"),
        format!("mark={mark}"),
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} in {text:?}");
    }
    child.kill();
    exit(&child).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let missing = Command::new("/no/such/program")
        .env("MARK", &mark)
        .lease(lease(folder.path(), &mark));
    assert!(missing.spawn().await.is_err());
    let broken = folder.path().join("broken");
    fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let broken = Command::new(broken)
        .env("MARK", &mark)
        .lease(lease(folder.path(), &mark));
    assert!(broken.spawn().await.is_err());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing but the broken program"
    );
}

/// Where no control group can be made there is nothing to test: `None`.
fn cgroup(pid: u32) -> Option<String> {
    let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    group
        .rsplit('/')
        .next()
        .filter(|name| name.starts_with("jackfield-"))
        .map(str::to_owned)
}

#[tokio::test]
async fn nobody_leaves_the_control_group() {
    // In a session of its own, and with nothing in its environment.
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let command = sh(
        &mark,
        "setsid env -i /bin/sh -c 'echo pid $$; exec sleep 1000' & wait",
    );
    let mut child = command
        .cgroup(true)
        .lease(lease(folder.path(), &mark))
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    let escaped: u32 = line(&mut output, "pid").await.parse().unwrap();
    let Some(group) = cgroup(child.pid()) else {
        child.kill();
        exit(&child).await;
        return;
    };
    assert_eq!(cgroup(escaped), Some(group.clone()));
    let file = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read_to_string(file).unwrap();
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("cgroup="))
        .unwrap()
        .to_owned();
    assert!(path.ends_with(&group) && fs::exists(&path).unwrap());

    common::kill(parent(child.pid()));
    assert_eq!(exit(&child).await.status, ExitStatus::Lost);
    assert!(!common::alive(escaped));
    assert!(!fs::exists(&path).unwrap(), "it is removed");
}
