//! What a child is born with, where it runs, and what is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jackfield::ReportedState::Connecting;
use jackfield::{ActiveState, CallOptions, InstallationId, Spec};
use jackfield_testkit::{
    Again, Rig, as_program, bench_host, environment, host_in, manifest, package, tell, until,
    until_state, within,
};
use serde_json::{Value, json};

use crate::RIG;

/// The environment of the child is exactly the allow-list, what the operator adds and three
/// variables; the original handed on all of its own, database passwords and all.
#[tokio::test]
async fn the_environment_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let host = [
        ("PATH", std::env::var("PATH").unwrap()),
        ("HOME", "/home/of-the-host".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("LC_TIME", "de_DE".to_owned()),
        ("TZ", "Europe/Berlin".to_owned()),
        ("TMPDIR", std::env::temp_dir().display().to_string()),
        ("DATABASE_URL", "postgres://secret".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("LCX", "not a locale".to_owned()),
        ("LD_PRELOAD", String::new()),
        ("JACKFIELD_RPC_URL", "ws://elsewhere/rpc".to_owned()),
        ("JACKFIELD_STATE_DIR", "/elsewhere".to_owned()),
        ("OF_THE_OPERATOR", "overridden".to_owned()),
    ];
    let mut program = Again::run("places::host_with_secrets", folder.path(), |command| {
        command.env_clear().envs(host.clone());
    });
    let mut born: BTreeMap<String, String> = serde_json::from_value(program.told().await).unwrap();
    let url = born.remove("JACKFIELD_RPC_URL").unwrap();
    assert!(url.starts_with("ws://127.0.0.1:"), "{url}");
    assert_eq!(born.remove("STORYDEN_RPC_URL"), Some(url));
    assert_eq!(born.remove("JACKFIELD_RPC_FD").as_deref(), Some("3"));
    let state = PathBuf::from(born.remove("JACKFIELD_STATE_DIR").unwrap());
    assert!(state.starts_with(folder.path().canonicalize().unwrap()) && state.is_dir());
    assert_eq!(born.remove("OF_THE_OPERATOR").as_deref(), Some("x"));
    assert_eq!(born.remove("OF_THE_PLUGIN").as_deref(), Some("y=z"));
    let allowed = ["PATH", "HOME", "LANG", "LC_ALL", "LC_TIME", "TZ", "TMPDIR"];
    let expected: BTreeMap<String, String> = host
        .into_iter()
        .filter(|(name, _)| allowed.contains(name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(born, expected);
}

/// Not a test of its own: the host of the one above.
#[tokio::test]
async fn host_with_secrets() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, |builder| builder.env("OF_THE_OPERATOR", "x")).await;
    let package = package(
        // Not through a shell, which would add variables of its own.
        &manifest(json!({"command": RIG, "args": ["--never-dial"]})),
        &[],
    );
    let spec = Spec::supervised(InstallationId::new(), package)
        .env("OF_THE_PLUGIN", "y=z")
        .env("STORYDEN_RPC_URL", "ws://not-yours/rpc");
    let session = host.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    let status = until(&session, |s| s.state == Connecting && s.pid.is_some()).await;
    tell(&json!(environment(status.pid.unwrap()).await));
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
}

/// The URL is the one the host really listens on; the original had `localhost:8000` in its code.
#[tokio::test]
async fn the_url_is_the_real_one() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
        let host = bench_host(|builder| builder.listen(address.parse().unwrap())).await;
        let session = host.run(Rig::new("").package(RIG)).await;
        let pid = session.status().borrow().pid.unwrap();
        let url = environment(pid).await["JACKFIELD_RPC_URL"].clone();
        let start = format!("{}?plugin_id={}&token=", host.rpc_url(), session.id());
        assert!(url.starts_with(&start), "{url}");
        let port = host.local_addr().unwrap().port();
        assert!(url.contains(&format!(":{port}/rpc")), "{url}");
    }
}

/// Standard input is empty, standard output and error are not the host's, and nothing else of the
/// host is open in the child but the socket that is meant for it.
#[tokio::test]
async fn nothing_of_the_host_is_open_in_the_child() {
    let host = bench_host(|builder| builder).await;
    let script = r#"cat > "$JACKFIELD_STATE_DIR/stdin" && ls /proc/self/fd > "$JACKFIELD_STATE_DIR/tmp" \
        && mv "$JACKFIELD_STATE_DIR/tmp" "$JACKFIELD_STATE_DIR/fds"; exec sleep 1000"#;
    let session = host.start(jackfield_testkit::shell(script)).await;
    let pid = until_state(&session, Connecting).await.pid.unwrap();
    let state = PathBuf::from(environment(pid).await["JACKFIELD_STATE_DIR"].clone());
    let fds = jackfield_testkit::until_file(state.join("fds")).await;
    // 3 is the socket, 4 the folder that `ls` reads.
    assert_eq!(
        fds.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3", "4"]
    );
    assert_eq!(std::fs::read(state.join("stdin")).unwrap(), b"");
}

struct Place {
    cwd: PathBuf,
    state: PathBuf,
}

/// A rig that is one of several packages: `version` and a file of its own.
fn version(n: usize) -> std::sync::Arc<jackfield::package::Package> {
    let manifest = manifest(json!({
        "version": format!("{n}.0.0"), "command": RIG, "args": [],
    }));
    let name = format!("only-in-{n}");
    package(&manifest, &[(&name, b"x")])
}

async fn place(session: &jackfield::Session) -> Place {
    let answer = session.call_raw("env", None, CallOptions::default());
    let answer: Value = serde_json::from_str(within(answer).await.unwrap().get()).unwrap();
    Place {
        cwd: answer["cwd"].as_str().unwrap().into(),
        state: answer["env"]["JACKFIELD_STATE_DIR"]
            .as_str()
            .unwrap()
            .into(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The plugin's own folder outlives upgrades; two packages are kept beside the current one, each
/// in a folder of its own with nothing of the others in it.
#[tokio::test]
async fn upgrades_keep_the_state_and_two_packages() {
    let host = bench_host(|builder| builder).await;
    let id = InstallationId::new();
    let mut places = Vec::new();
    for n in 1..=5 {
        let session = host.load(Spec::supervised(id, version(n))).unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        let place = place(&session).await;
        assert!(place.cwd.join(format!("only-in-{n}")).exists());
        assert_eq!(names(&place.cwd).len(), 2, "{:?}", names(&place.cwd));
        std::fs::write(place.state.join(format!("by-{n}")), "kept").unwrap();
        places.push(place);
        host.unload(id).await;
    }
    assert!(places.windows(2).all(|pair| pair[0].state == pair[1].state));
    assert!(places.windows(2).all(|pair| pair[0].cwd != pair[1].cwd));
    assert_eq!(names(&places[0].state).len(), 5);
    let kept: Vec<bool> = places.iter().map(|place| place.cwd.exists()).collect();
    assert_eq!(kept, [false, false, true, true, true]);
    // Back to an older one: it is there, and the newer ones stay.
    let session = host.load(Spec::supervised(id, version(4))).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    assert_eq!(place(&session).await.cwd, places[3].cwd);
    assert!(places[4].cwd.exists());
    // Uninstalled, nothing is left.
    host.uninstall(id).await.unwrap();
    assert!(!places[0].state.exists() && !places[4].cwd.exists());
    assert!(host.session(id).is_none());
}

/// What a plugin changed in its own package, its program included, is as it was at its next start.
#[tokio::test]
async fn a_package_that_was_tampered_with_is_put_right() {
    let host = bench_host(|builder| builder).await;
    let script: &[u8] = b"#!/bin/sh\nexec \"$RIG\"\n";
    let manifest = manifest(json!({"command": "./run.sh"}));
    let spec = Spec::supervised(
        InstallationId::new(),
        package(&manifest, &[("run.sh", script)]),
    );
    let session = host.load(spec.env("RIG", RIG)).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    let cwd = place(&session).await.cwd;
    let file = cwd.join("run.sh");
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "#!/bin/sh\nexit 66\n").unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    assert_eq!(std::fs::read(place_of(&cwd, "run.sh")).unwrap(), script);
    std::fs::remove_file(&file).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
}

fn place_of(cwd: &Path, name: &str) -> PathBuf {
    cwd.join(name)
}
