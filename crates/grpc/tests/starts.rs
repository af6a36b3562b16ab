//! Plugins that start.

mod common;

use std::time::Duration;

use common::{Bed, Client, start, until, within};
use jackfield_grpc::{Endpoint, ExitStatus, Level, Plugin, PluginClient as _, Signal};

#[tokio::test]
async fn over_the_port_and_over_the_socket() {
    let bed = Bed::new();
    let (tcp, unix) = tokio::join!(start(bed.rig("")), start(bed.rig("--socket")));
    let port = tcp.endpoint.port().unwrap();
    assert_eq!(
        tcp.endpoint.uri().to_string(),
        format!("http://127.0.0.1:{port}/")
    );
    assert_eq!(unix.endpoint.port(), None);
    for plugin in [&tcp, &unix] {
        let extra: Client = plugin.endpoint.client();
        assert_eq!(extra.ping().await.unwrap(), None);
        assert_eq!(
            bed.leases()
                .iter()
                .filter(|it| it.contains("python3"))
                .count(),
            bed.leases().len()
        );
    }
    assert_eq!(
        bed.leases().len(),
        2,
        "two plugins of one executable in one folder"
    );
    for plugin in [tcp, unix] {
        let exit = within(plugin.stop()).await;
        assert_eq!((exit.status, exit.asked), (ExitStatus::Code(0), true));
        assert_eq!(exit.tail.last().unwrap(), "asked to stop");
        assert!(plugin.client.ping().await.is_err(), "nobody is there");
    }
    assert!(bed.leases().is_empty(), "removed: {:?}", bed.leases());
}

#[tokio::test]
async fn it_listens_on_every_address() {
    let bed = Bed::new();
    let plugin = start(bed.rig("--address 0.0.0.0")).await;
    assert!(plugin.endpoint.port().is_some());
}

#[tokio::test]
async fn it_is_asked_until_it_is_ready() {
    let bed = Bed::new();
    for orders in ["--unready 3", "--unready 3 --socket", "--constructor 0.3"] {
        let plugin = start(bed.rig(orders)).await;
        assert_eq!(plugin.client.ping().await.unwrap(), None);
    }
}

#[tokio::test]
async fn it_cannot_listen_on_a_port_that_is_held() {
    let bed = Bed::new();
    let plugin = start(bed.rig("--no-reuse")).await;
    assert!(plugin.endpoint.port().is_some());
    let tries = bed
        .messages()
        .iter()
        .filter(|line| line.starts_with("args "))
        .count();
    assert_eq!(tries, 2);
}

#[tokio::test]
async fn the_environment_is_as_agreed() {
    let bed = Bed::new();
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let relative = format!(
        "{up}{}",
        bed.folder
            .path()
            .display()
            .to_string()
            .trim_start_matches('/')
    );
    let plugin = start(
        bed.rig("--env")
            .folder(&relative)
            .log_level(Level::Warn)
            .env("MINE", "first")
            .envs([("MINE", "second"), ("TZ", "UTC")]),
    )
    .await;
    let said = bed.messages();
    let env = |name: &str| {
        let lines = said
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("env {name}=")));
        lines.map(str::to_owned).next()
    };
    assert_eq!(
        env("FTL_BIND").unwrap(),
        plugin.endpoint.uri().to_string().trim_end_matches('/')
    );
    let working = env("FTL_WORKING_DIR").unwrap();
    assert!(
        working.starts_with('/') && working.ends_with("/.ftl"),
        "{working}"
    );
    assert!(std::fs::metadata(&working).unwrap().is_dir());
    assert_eq!(env("LOG_LEVEL").unwrap(), "DEBUG");
    assert_eq!(
        (env("MINE").unwrap(), env("TZ").unwrap()),
        ("second".to_owned(), "UTC".to_owned())
    );
    assert_eq!(env("JACKFIELD_LISTEN_FD").unwrap(), "3");
    assert_eq!(env("JACKFIELD_TOKEN").unwrap().len(), 64);
    assert!(env("PATH").is_some());
    assert_eq!(
        env("CARGO_MANIFEST_DIR"),
        None,
        "what is not on the list stays here"
    );

    let bed = Bed::new();
    let spawn = bed
        .rig("--env --socket")
        .no_working_folder()
        .log_level(Level::Trace);
    let plugin = start(
        spawn
            .env("FTL_BIND", "http://127.0.0.1:1")
            .inherit_env(["PATH"]),
    )
    .await;
    let said = bed.messages();
    for expected in ["env LOG_LEVEL=trace", "env FTL_BIND=http://127.0.0.1:1"] {
        assert!(said.iter().any(|line| line == expected), "{said:?}");
    }
    assert!(
        said.iter()
            .any(|line| line.starts_with("env FTL_WORKING_DIR=/"))
    );
    assert!(!said.iter().any(|line| line.starts_with("env HOME=")));
    assert!(!bed.folder.path().join(".ftl").exists());
    drop(plugin);
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let bed = Bed::new();
    for orders in ["--once", "--once --socket"] {
        let plugin = start(bed.rig(orders)).await;
        let channel = plugin.endpoint.channel();
        for _ in 0..5 {
            within(channel.lost()).await;
            assert_eq!(plugin.client.ping().await.unwrap(), None, "{orders}");
        }
    }
}

#[tokio::test]
async fn dropping_the_plugin_ends_all_of_it() {
    let bed = Bed::new();
    let plugin = start(bed.rig("--grandchild --deaf")).await;
    let endpoint: Endpoint = plugin.endpoint.clone();
    assert!(
        bed.alive().len() >= 2,
        "program and grandchild: {:?}",
        bed.alive()
    );
    let exited = plugin.child.exited();
    drop(plugin);
    assert_eq!(within(exited).await.status, ExitStatus::Signal(9));
    assert!(bed.alive().is_empty());
    assert!(endpoint.client::<Client>().ping().await.is_err());
}

#[tokio::test]
async fn who_is_deaf_is_killed_after_the_grace() {
    let bed = Bed::new();
    let spawn = bed
        .rig("--deaf")
        .grace(Duration::from_millis(50))
        .stop_signal(Signal::Terminate);
    let plugin = start(spawn).await;
    let exit = within(plugin.stop()).await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Signal(9), true));
}

#[tokio::test]
async fn calls_that_fail_have_a_status() {
    let bed = Bed::new();
    let reset = start(bed.rig("--then-reset")).await;
    let error = within(reset.client.ping()).await.unwrap_err();
    assert!(error.message.contains("status 13"), "{error}");

    let dead = start(bed.rig("--then-die --socket")).await;
    let error = within(dead.client.ping()).await.unwrap_err();
    assert!(error.message.contains("status 14"), "{error}");
    let exit = within(dead.child.exited()).await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Code(9), false));
    assert_eq!(exit.tail.last().unwrap(), "dying");

    // The head of an answer came, and nothing more.
    let hang = bed
        .rig("--then-hang")
        .default_timeout(Duration::from_millis(100));
    let hang = start(hang).await;
    let error = within(hang.client.ping()).await.unwrap_err();
    assert!(error.message.contains("status 4"), "{error}");
}

#[tokio::test]
async fn a_paused_plugin_keeps_nobody_waiting_beyond_the_deadline() {
    let bed = Bed::new();
    let plugin = start(bed.rig("").default_timeout(Duration::from_millis(200))).await;
    pause(&plugin).await;
    let error = within(plugin.client.ping()).await.unwrap_err();
    assert!(error.message.contains("status 4"), "{error}");
    plugin.child.signal(Signal::Continue);
    within(async { while plugin.client.ping().await.is_err() {} }).await;
}

#[tokio::test]
async fn a_paused_plugin_is_noticed_without_a_deadline() {
    let bed = Bed::new();
    let keep_alive = jackfield_grpc::KeepAlive {
        interval: Some(Duration::from_millis(50)),
        timeout: Duration::from_millis(50),
        while_idle: false,
    };
    let plugin = start(bed.rig("").keep_alive(keep_alive)).await;
    pause(&plugin).await;
    let error = within(plugin.client.ping()).await.unwrap_err();
    assert!(error.message.contains("status 14"), "{error}");
}

#[tokio::test]
async fn many_at_once_and_each_on_its_own_port() {
    let bed = Bed::new();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..30 {
        let spawn = bed.rig(&format!("--constructor 0.2 --number {number}"));
        all.spawn(start(spawn));
    }
    let plugins = within(all.join_all()).await;
    let mut ports: Vec<_> = plugins
        .iter()
        .map(|it| it.endpoint.port().unwrap())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), plugins.len());
}

async fn pause(plugin: &Plugin<Client>) {
    plugin.child.signal(Signal::Pause);
    let stat = format!("/proc/{}/stat", plugin.child.pid());
    let stopped = || std::fs::read_to_string(&stat).is_ok_and(|it| it.contains(") T "));
    until("it is stopped", stopped).await;
}
