//! The working folder: what stands there while a plugin runs and afterwards, and whose files are believed.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jackfield_grpc::Spawn;
use jackfield_testkit::grpc::{Bed, KvClient, Stranger, get, pid_in};
use jackfield_testkit::{
    Again, alive, as_program, end, eventually, parent_of, tell, until_file, within,
};
use serde_json::json;

use crate::RIG;

/// The files of the working folder.
fn files(bed: &Bed) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(bed.file(".ftl")).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

/// A file identifies the process while it runs, readable by its owner alone, and is gone with it: after a stop, a
/// crash, a kill.
#[tokio::test]
async fn a_file_as_long_as_the_plugin() {
    for how in ["stop", "crash", "kill", "drop"] {
        let bed = Bed::default();
        let plugin = within(bed.spawn(RIG, "").spawn::<KvClient>())
            .await
            .unwrap();
        let files_then = files(&bed);
        let [file] = &files_then[..] else {
            panic!("{files_then:?}")
        };
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&plugin.child.pid().to_string()), "{text}");
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        match how {
            "stop" => drop(within(plugin.stop()).await),
            "crash" => {
                get(&plugin.client, "exit:1").await.unwrap_err();
                within(plugin.child.exited()).await;
            }
            "kill" => {
                end(plugin.child.pid());
                within(plugin.child.exited()).await;
            }
            _ => {
                drop(plugin);
                eventually(Duration::from_secs(5), "it is gone", || {
                    files(&bed).is_empty()
                })
                .await;
            }
        }
        assert!(files(&bed).is_empty(), "after {how}");
    }
}

/// Files as the original writes them, under the name that it gives them: right or wrong, they are not believed, no
/// process is touched, they stay as they are, and the spawn works.
#[tokio::test]
async fn pid_files_of_others_are_left_alone() {
    let stranger = Stranger::run("sleep", "1000");
    let pid = stranger.pid();
    let group = rustix::process::getpgid(None).unwrap().as_raw_nonzero();
    for text in [
        pid.to_string(),
        format!("{pid}\n"),
        format!("-{pid}"),
        format!("-{group}"),
        std::process::id().to_string(),
        "0".into(),
        "-1".into(),
        "1".into(),
        String::new(),
        "\n".into(),
        "garbage".into(),
        "99999999999999999999999".into(),
        "12 34".into(),
        "\u{0}\u{1}\u{7f}".into(),
        "x".repeat(1 << 20),
    ] {
        let bed = Bed::default();
        std::fs::create_dir(bed.file(".ftl")).unwrap();
        let file = bed.with(".ftl/grpc_rig.pid", &text);
        let plugin = within(bed.spawn(RIG, "--identity well").spawn::<KvClient>()).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{text:.40}: {error}"));
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), "well");
        within(plugin.stop()).await;
        assert_eq!(std::fs::read_to_string(file).unwrap(), text);
        assert!(alive(pid), "{text:.40}");
    }
    stranger.kill().await;
}

/// The same for files that look as if they were ours: of a stranger's process, of another boot, cut short, of odd
/// kinds.
#[tokio::test]
async fn leases_that_make_no_sense() {
    let stranger = Stranger::run("sleep", "1000");
    let pid = stranger.pid();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim();
    let lease = |boot: &str, start: u64| {
        format!(
            "jackfield-lease=1\nboot={boot}\ninit={pid} {start}\nmark=0123456789abcdef0123\nprogram={pid} {start}\n"
        )
    };
    for text in [
        lease(boot, 1),
        lease("01234567-89ab-cdef-0123-456789abcdef", 1),
        lease(boot, 1).replace("mark=0123456789abcdef0123\n", "mark=\n"),
        lease(boot, 1).replace("mark=0123456789abcdef0123\n", ""),
        lease(boot, 1)[..40].to_owned(),
        format!(
            "jackfield-lease=1\nboot={boot}\ninit=-1 1\nmark=0123456789abcdef0123\nprogram=0 0\n"
        ),
        String::new(),
        "\u{0}".repeat(1000),
    ] {
        let bed = Bed::default();
        std::fs::create_dir(bed.file(".ftl")).unwrap();
        let _ = bed.with(".ftl/grpc_rig-1.lease", &text);
        let _ = bed.with(".ftl/grpc_rig-x.lease", &text);
        let plugin = within(bed.spawn(RIG, "--identity well").spawn::<KvClient>()).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{text:.40}: {error}"));
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), "well");
        assert!(alive(pid), "{text}");
        within(plugin.stop()).await;
    }
    let bed = Bed::default();
    std::fs::create_dir_all(bed.file(".ftl/grpc_rig-1.lease")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bed.file(".ftl/grpc_rig-2.lease")).unwrap();
    std::os::unix::fs::symlink("/nowhere", bed.file(".ftl/grpc_rig-3.lease")).unwrap();
    within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    stranger.kill().await;
}

/// Two of one executable, side by side in one folder: each is its own.
#[tokio::test]
async fn two_plugins_share_a_folder() {
    let bed = Bed::default();
    let first = within(bed.spawn(RIG, "--identity first").spawn::<KvClient>())
        .await
        .unwrap();
    let second = within(bed.spawn(RIG, "--identity second").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&first.client, "identity").await.unwrap(), "first");
    assert_eq!(get(&second.client, "identity").await.unwrap(), "second");
    assert_eq!(files(&bed).len(), 2);
    within(first.stop()).await;
    assert_eq!(get(&second.client, "identity").await.unwrap(), "second");
    assert_eq!(files(&bed).len(), 1);
    let third = within(bed.spawn(RIG, "--identity third").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&second.client, "identity").await.unwrap(), "second");
    within(second.stop()).await;
    assert_eq!(get(&third.client, "identity").await.unwrap(), "third");
}

/// Not a test of its own: another host in the same folder, until it is killed.
#[tokio::test]
async fn second_host() {
    let Some(folder) = as_program() else { return };
    let orders = "--identity theirs --deaf --grandchild-session".split(' ');
    let file = folder.join("theirs");
    let spawn = Spawn::new("rig", RIG)
        .folder(&folder)
        .args(orders)
        .arg(&file);
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    tell(&json!({
        "pid": plugin.child.pid(),
        "identity": get(&plugin.client, "identity").await.unwrap(),
    }));
    std::future::pending::<()>().await;
}

/// Two hosts in one folder with one executable: neither touches the other's, and when one is killed the other's goes
/// on and what is left of the first is gone.
#[tokio::test]
async fn two_hosts_share_a_folder() {
    let bed = Bed::default();
    let first = within(bed.spawn(RIG, "--identity ours").spawn::<KvClient>())
        .await
        .unwrap();
    let mut host = Again::run("places::second_host", bed.path(), |_| {});
    let told = host.told().await;
    assert_eq!(told["identity"], "theirs");
    let theirs = u32::try_from(told["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(get(&first.client, "identity").await.unwrap(), "ours");
    let third = within(bed.spawn(RIG, "--identity third").spawn::<KvClient>())
        .await
        .unwrap();
    assert!(alive(theirs));
    let sleeper = pid_in(&bed.file("theirs")).await;
    assert!(alive(sleeper));
    host.kill().await;
    eventually(Duration::from_secs(2), "theirs are gone", || {
        !alive(theirs) && !alive(sleeper)
    })
    .await;
    assert_eq!(get(&first.client, "identity").await.unwrap(), "ours");
    within(bed.spawn(RIG, "").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&first.client, "identity").await.unwrap(), "ours");
    assert_eq!(get(&third.client, "identity").await.unwrap(), "third");
}

/// A host that died together with all that watched over its plugins: what survived is reaped by the next spawn in
/// that folder.
#[tokio::test]
async fn what_a_dead_host_left_is_reaped() {
    let bed = Bed::default();
    let mut host = Again::run("places::second_host", bed.path(), |_| {});
    let theirs = u32::try_from(host.told().await["pid"].as_u64().unwrap()).unwrap();
    let sleeper = pid_in(&bed.file("theirs")).await;
    let init = parent_of(theirs).unwrap();
    assert_ne!(init, host.pid(), "somebody watches over the plugin");
    let stop = rustix::process::Pid::from_raw(i32::try_from(init).unwrap()).unwrap();
    rustix::process::kill_process(stop, rustix::process::Signal::STOP).unwrap();
    host.kill().await;
    end(init);
    eventually(Duration::from_secs(5), "the plugin is gone", || {
        !alive(theirs)
    })
    .await;
    if !alive(sleeper) {
        // Something else took care of it already, a control group say.
        return;
    }
    let plugin = within(bed.spawn(RIG, "--identity next").spawn::<KvClient>())
        .await
        .unwrap();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), "next");
    eventually(Duration::from_secs(5), "what was left is gone", || {
        !alive(sleeper)
    })
    .await;
    within(plugin.stop()).await;
    assert!(files(&bed).is_empty(), "{:?}", files(&bed));
}

/// The same executable by different names and paths; odd names.
#[tokio::test]
async fn odd_names() {
    let bed = Bed::default();
    for name in [
        "ö 'x' $y",
        "-dash",
        ".hidden",
        "a\nb",
        "con",
        &"n".repeat(200),
    ] {
        std::os::unix::fs::symlink(RIG, bed.file(name)).unwrap();
        let spawn = bed.spawn(&bed.file(name), "--birth @/birth --identity odd");
        let plugin = within(spawn.spawn::<KvClient>()).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{name}: {error}"));
        until_file(bed.file("birth")).await;
        assert_eq!(get(&plugin.client, "identity").await.unwrap(), "odd");
        within(plugin.stop()).await;
    }
    assert!(files(&bed).is_empty(), "{:?}", files(&bed));
}
