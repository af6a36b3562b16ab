//! Whose port it is: a ping answered by anybody but the child is no readiness, and no call goes astray.

use std::net::SocketAddr;
use std::time::Duration;

use jackfield_grpc::{Plugin, SpawnError};
use jackfield_testkit::grpc::{Bed, KvClient, Stranger, address, get, whoever_answers};
use jackfield_testkit::{eventually, until_file, within};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::RIG;

/// The endpoint that a rig was told, from what it wrote of its birth.
async fn told(bed: &Bed, file: &str) -> SocketAddr {
    let birth: Value = serde_json::from_str(&until_file(bed.file(file)).await).unwrap();
    address(birth["environment"]["FTL_BIND"].as_str().unwrap())
}

async fn is(plugin: &Plugin<KvClient>, identity: &str) {
    let pid = plugin.child.pid().to_string();
    assert_eq!(get(&plugin.client, "identity").await.unwrap(), identity);
    assert_eq!(get(&plugin.client, "pid").await.unwrap(), pid);
}

/// A hundred at once, each with a constructor of a second and a half: none fails, and each client speaks with its own
/// plugin. Three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once() {
    for round in 0..3 {
        let bed = Bed::default();
        let mut spawns = JoinSet::new();
        for n in 0..100 {
            let identity = format!("{round}-{n}");
            let orders = format!("--constructor 1500 --identity {identity}");
            let spawn = bed
                .spawn(RIG, &orders)
                .start_timeout(Duration::from_secs(60));
            spawns.spawn(async move {
                let plugin = spawn.spawn::<KvClient>().await;
                (identity, plugin)
            });
        }
        let mut plugins = Vec::new();
        while let Some(spawned) = within(spawns.join_next()).await {
            let (identity, plugin) = spawned.unwrap();
            let plugin = plugin.unwrap_or_else(|error| panic!("{identity}: {error}"));
            is(&plugin, &identity).await;
            plugins.push((identity, plugin));
        }
        // Again when all are there, and while some are going.
        let mut checks = JoinSet::new();
        for (n, (identity, plugin)) in plugins.into_iter().enumerate() {
            checks.spawn(async move {
                is(&plugin, &identity).await;
                if n % 3 == 0 {
                    let exit = within(plugin.stop()).await;
                    assert!(exit.status.success(), "{exit:?}");
                } else {
                    is(&plugin, &identity).await;
                }
            });
        }
        while let Some(check) = within(checks.join_next()).await {
            check.unwrap();
        }
        bed.until_gone().await;
    }
}

/// The same with programs that do not share: they bind without SO_REUSEADDR, so that the port cannot be held for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_that_do_not_share() {
    let bed = Bed::default();
    let mut spawns = JoinSet::new();
    for n in 0..20 {
        let orders = format!("--constructor 300 --no-reuse --identity {n}");
        let spawn = bed.spawn(RIG, &orders);
        spawns.spawn(async move {
            let plugin = spawn.spawn::<KvClient>().await;
            let plugin = plugin.unwrap_or_else(|error| panic!("{n}: {error}"));
            is(&plugin, &n.to_string()).await;
            plugin
        });
    }
    let plugins = within(spawns.join_all()).await;
    assert_eq!(plugins.len(), 20);
}

/// Somebody listens on the port before the plugin does, which therefore ends: it is started anew, on another port.
#[tokio::test]
async fn stolen_before_it_listens() {
    let bed = Bed::default();
    let orders = "--birth @/birth --once @/first --wait @/go --identity mine";
    let spawn = bed
        .spawn(RIG, orders)
        .start_timeout(Duration::from_secs(30));
    let thief = async {
        let at = told(&bed, "birth").await;
        let thief = Stranger::at(RIG, at, "").await;
        let _ = bed.with("go", "");
        (at, thief)
    };
    let (plugin, (stolen, thief)) = tokio::join!(within(spawn.spawn::<KvClient>()), thief);
    let plugin = plugin.unwrap();
    is(&plugin, "mine").await;
    assert_ne!(told(&bed, "birth").await, stolen);
    thief.kill().await;
    is(&plugin, "mine").await;
}

/// Somebody answers pings there, and the plugin never listens: that is no readiness, and the error says who it was
/// not.
#[tokio::test]
async fn a_stranger_answers() {
    for bind in ["127.0.0.1", "0.0.0.0", "[::]"] {
        let bed = Bed::default();
        let timeout = Duration::from_secs(2);
        let spawn = bed
            .spawn(RIG, "--birth @/birth --never-listen")
            .start_timeout(timeout);
        let stranger = async {
            let port = told(&bed, "birth").await.port();
            let at = format!("{bind}:{port}").parse().unwrap();
            let stranger = Stranger::at(RIG, at, "").await;
            let dialed = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(whoever_answers(dialed).await.unwrap(), "stranger");
            stranger
        };
        let began = Instant::now();
        let (plugin, stranger) = tokio::join!(within(spawn.spawn::<KvClient>()), stranger);
        let error = plugin.expect_err("nobody of ours answered");
        assert!(began.elapsed() < Duration::from_secs(15));
        assert!(matches!(error, SpawnError::NotReady { .. }), "{error:?}");
        let text = error.to_string().to_lowercase();
        assert!(
            text.contains("not the plugin's") && text.contains("listen"),
            "{bind}: {text}"
        );
        bed.until_gone().await;
        stranger.kill().await;
    }
}

/// Somebody shares the port with the plugin, each gets some of the connections: that is no readiness either; when the
/// other has gone, it is.
#[tokio::test]
async fn a_stranger_shares_the_port() {
    let bed = Bed::default();
    let orders = "--birth @/birth --wait @/go --reuse-port --identity mine";
    let spawn = bed
        .spawn(RIG, orders)
        .start_timeout(Duration::from_secs(60));
    let stranger = async {
        let at = told(&bed, "birth").await;
        let stranger = Stranger::at(RIG, at, "--reuse-port").await;
        let _ = bed.with("go", "");
        eventually(Duration::from_secs(30), "both listen", || {
            listeners(at.port()) == 2
        })
        .await;
        // As long as a plugin needs that is not held up.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = bed.with("waited", "");
        stranger.kill().await;
    };
    let waited = bed.file("waited");
    let spawned = async {
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        assert!(
            std::fs::exists(waited).unwrap(),
            "ready while a stranger shared the port"
        );
        plugin
    };
    let (plugin, ()) = tokio::join!(spawned, stranger);
    is(&plugin, "mine").await;
}

/// The plugin listens on all addresses, somebody else on the very one that is dialed, so that all connections go to
/// him: no readiness and nothing that he hears, until he is gone.
#[tokio::test]
async fn a_stranger_with_the_better_address() {
    for bind in ["0.0.0.0", "::"] {
        let bed = Bed::default();
        let orders = "--birth @/birth --wait @/go --reuse-port --identity mine --bind";
        let spawn = bed.spawn(RIG, orders).arg(bind);
        let spawn = spawn.start_timeout(Duration::from_secs(60));
        let touched = bed.file("touched");
        let orders = format!("--reuse-port --touched {touched}");
        let stranger = async {
            let at = told(&bed, "birth").await;
            let stranger = Stranger::at(RIG, at, &orders).await;
            let _ = bed.with("go", "");
            eventually(Duration::from_secs(30), "both listen", || {
                listeners(at.port()) == 2
            })
            .await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = bed.with("waited", "");
            stranger.kill().await;
        };
        let waited = bed.file("waited");
        let spawned = async {
            let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
            assert!(std::fs::exists(waited).unwrap(), "ready over a stranger");
            plugin
        };
        let (plugin, ()) = tokio::join!(spawned, stranger);
        is(&plugin, "mine").await;
        assert!(
            !std::fs::exists(touched).unwrap(),
            "the stranger heard something"
        );
    }
}

/// The same, with a stranger who comes when the plugin is long ready: what goes over a new connection fails, and does
/// not reach him; when he is gone, it works again.
#[tokio::test]
async fn a_stranger_with_the_better_address_later() {
    let bed = Bed::default();
    let spawn = bed.spawn(RIG, "--reuse-port --identity mine --bind 0.0.0.0");
    let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
    let at = address(&plugin.endpoint.uri().to_string());
    let touched = bed.file("touched");
    let stranger = Stranger::at(RIG, at, &format!("--reuse-port --touched {touched}")).await;
    is(&plugin, "mine").await;
    assert!(within(get(&plugin.client, "cut")).await.is_err());
    for _ in 0..10 {
        let answer = tokio::time::timeout(Duration::from_secs(2), get(&plugin.client, "identity"));
        if let Ok(Ok(identity)) = answer.await {
            panic!("{identity} answered");
        }
    }
    assert!(
        !std::fs::exists(touched).unwrap(),
        "the stranger heard something"
    );
    stranger.kill().await;
    is(&plugin, "mine").await;
}

/// The plugin is gone, and somebody else has its port: no call of its client goes there.
#[tokio::test]
async fn a_stranger_inherits_the_port() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity mine").spawn::<KvClient>())
        .await
        .unwrap();
    is(&plugin, "mine").await;
    let at = address(&plugin.endpoint.uri().to_string());
    within(plugin.stop()).await;
    let stranger = Stranger::at(RIG, at, "").await;
    assert_eq!(whoever_answers(at).await.unwrap(), "stranger");
    for _ in 0..20 {
        let answer = within(get(&plugin.client, "identity")).await;
        assert_eq!(answer.unwrap_err().code, connectrpc::ErrorCode::Unavailable);
    }
    stranger.kill().await;
}

/// The plugin lives but listens no longer, its connections are cut, and somebody else has its port: the same.
#[tokio::test]
async fn a_stranger_takes_over_from_the_living() {
    let bed = Bed::default();
    let plugin = within(bed.spawn(RIG, "--identity mine").spawn::<KvClient>())
        .await
        .unwrap();
    let at = address(&plugin.endpoint.uri().to_string());
    assert_eq!(get(&plugin.client, "deafen-door").await.unwrap(), "closed");
    eventually(Duration::from_secs(10), "nobody listens", || {
        listeners(at.port()) == 0
    })
    .await;
    let stranger = Stranger::at(RIG, at, "").await;
    assert_eq!(whoever_answers(at).await.unwrap(), "stranger");
    // The connection holds.
    is(&plugin, "mine").await;
    assert!(within(get(&plugin.client, "cut")).await.is_err());
    for _ in 0..5 {
        let answer = tokio::time::timeout(Duration::from_secs(5), get(&plugin.client, "identity"));
        if let Ok(Ok(identity)) = answer.await {
            panic!("{identity} answered");
        }
    }
    // The child is none the worse.
    assert!(jackfield_testkit::alive(plugin.child.pid()));
    stranger.kill().await;
}

/// Those who listen on this port, of whatever address.
fn listeners(port: u16) -> usize {
    let port = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .map(|table| {
            let table = std::fs::read_to_string(table).unwrap();
            let listens = |line: &&str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[1].ends_with(&port) && fields[3] == "0A"
            };
            table.lines().skip(1).filter(listens).count()
        })
        .sum()
}
