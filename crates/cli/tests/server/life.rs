//! Starts and ends of the server.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::Connection as _;

use crate::database::Look;
use crate::packages::{manifest, ordered, package, version};
use crate::plugin::{External, Orders};
use crate::rig::{Database, Options, Rig, id_of, state_of};

on_both! {
    /// Migrations go forward only: a database of tomorrow is left alone.
    async fn a_newer_schema_is_refused(database) {
        let mut rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.end(Signal::TERM).await;
        let table = "_sqlx_migrations";
        let mut look = Look::at(&rig).await;
        assert!(look.tables().await.iter().any(|name| name == table), "{:?}", look.tables().await);
        let add = format!(
            "INSERT INTO {table} (version, description, success, checksum, execution_time) \
             SELECT 99999999999999, 'of tomorrow', success, checksum, 0 FROM {table} LIMIT 1"
        );
        assert_eq!(look.change(&add).await.unwrap(), 1);
        drop(look);
        let before = rig.written().len();
        let ended = rig.try_start().await.expect_err("it starts with a schema that it does not know");
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
        let said = rig.written()[before..].to_owned();
        assert!(said.contains("newer"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        // Nothing was changed by that.
        let mut look = Look::at(&rig).await;
        look.change(&format!("DELETE FROM {table} WHERE version = 99999999999999")).await.unwrap();
        drop(look);
        rig.start_again().await;
        rig.ready().await;
        assert_eq!(state_of(&rig.plugin(&id).await), "inactive");
    }

    async fn plugins_come_back_in_the_state_that_is_wanted(database) {
        let mut rig = Rig::start(database).await;
        let mut active = Vec::new();
        for n in 0..6 {
            let id = id_of(&rig.install(version(&format!("1.0.{n}"))).await);
            if n % 2 == 0 {
                rig.activate(&id).await;
                active.push(id);
            }
        }
        for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
            let before: Vec<u32> = pids(&rig, &active).await;
            if signal == Signal::KILL {
                rig.kill().await;
            } else {
                let ended = rig.end(signal).await;
                assert_eq!(ended.code, Some(0), "{ended:?}");
                assert!(before.iter().all(|pid| !jackfield_testkit::alive(*pid)), "{signal:?}");
            }
            rig.start_again().await;
            rig.ready().await;
            let after = pids(&rig, &active).await;
            assert!(before.iter().all(|pid| !jackfield_testkit::alive(*pid)), "{signal:?}");
            assert!(after.iter().all(|pid| !before.contains(pid)));
            let list = rig.get("/plugins?state=inactive").await.expect(200);
            assert_eq!(list["plugins"].as_array().unwrap().len(), 3, "{list:#}");
        }
    }

    /// Drained: what is under way is finished, what is new is refused, what does not stop is named.
    async fn what_does_not_stop_in_time_is_named(database) {
        let options = Options::quick().with("--grace", "2s").with("--stop-grace", "30s");
        let mut rig = Rig::start_with(database, options).await;
        let deaf = Orders { deaf: true, ..Orders::default() };
        let id = id_of(&rig.install(ordered("1.0.0", deaf)).await);
        rig.activate(&id).await;
        let pid = pids(&rig, std::slice::from_ref(&id)).await[0];
        let ended = rig.end(Signal::TERM).await;
        assert!(ended.took < Duration::from_secs(15), "{ended:?}");
        assert!(!jackfield_testkit::alive(pid));
        let written = rig.written();
        let stopped = written.lines().rfind(|line| line.contains("\"stopped\"")).unwrap_or_else(|| panic!("{written}"));
        let stopped: serde_json::Value = serde_json::from_str(stopped).unwrap();
        assert_eq!(stopped["killed"], json!([id]), "{stopped:#}");
    }

    async fn a_request_under_way_is_answered(database) {
        let mut rig = Rig::start(database).await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let id = id_of(&plugin);
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id, "active").await;
        let body = json!({"method": "slow", "params": {"ms": 1500}});
        let request = rig.request(Method::POST, &format!("/plugins/{id}/call")).json(body);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(request.try_send());
        // It has it when something else after it is answered.
        rig.call(&id, "echo", json!({})).await;
        rig.signal(Signal::TERM);
        let answer = tasks.join_next().await.unwrap().unwrap().unwrap();
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        let ended = rig.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // Both kinds of programs come back by themselves after this.
        let (code, reason) = program.end().await.expect("a close frame");
        assert!([1001, 1012, 1013].contains(&code), "{code} {reason}");
    }

    async fn one_server_at_a_time(database) {
        let rig = Rig::start(database).await;
        let mut second = Rig::stopped(rig.options.clone());
        let ended = second_over(&rig, &mut second).await;
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
        assert!(!second.written().contains("panicked"), "{}", second.written());
        rig.get("/info").await.expect(200);
    }

    /// A plugin that fails at boot does not keep the server from being ready, nor the others from running.
    async fn a_bad_plugin_does_not_hold_up_the_start(database) {
        let mut rig = Rig::start(database).await;
        let good = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&good).await;
        // It works once.
        let flaky = Orders { exit_in_second_life: Some(42), ..Orders::default() };
        let flaky = id_of(&rig.install(package(&flaky, json!({}))).await);
        rig.activate(&flaky).await;
        rig.restart().await;
        rig.ready().await;
        rig.until_state(&good, "active").await;
        rig.until_state(&flaky, "error").await;
    }

    async fn it_can_be_watched(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        for n in 0..3 {
            rig.publish("EventThreadPublished", json!({"id": format!("e{n}")})).await;
            rig.call(&id, "echo", json!({})).await;
        }
        let metrics = rig.plain(Method::GET, "/metrics").send().await;
        assert_eq!(metrics.status, 200, "{metrics:?}");
        assert!(metrics.header("content-type").unwrap().starts_with("text/plain"), "{metrics:?}");
        let text = metrics.text();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut figures = 0;
        for line in lines {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(name.starts_with("jackfield_") || name.starts_with("process_"), "{line}");
            value.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line}"));
            figures += 1;
        }
        assert!(figures > 10, "{text}");
        let facts = rig.get(&format!("/plugins/{id}/facts")).await.expect(200);
        assert!(facts["history"].as_array().unwrap().len() >= 2, "{facts:#}");
        assert!(facts["memory_bytes"].as_u64().unwrap() > 100_000, "{facts:#}");
        assert!(facts["cpu_seconds"].is_number(), "{facts:#}");
        assert!(facts["processes"].as_array().map_or(facts["processes"].as_u64() >= Some(1), |all| !all.is_empty()), "{facts:#}");
        assert_eq!(facts["open_calls"], json!({"to_plugin": 0, "from_plugin": 0}), "{facts:#}");
        // What comes in goes out: the trace, and a problem's.
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = rig.request(Method::GET, "/plugins/nonsense").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
        let answer = request.send().await;
        assert_eq!(answer.json()["trace_id"], trace, "{answer:?}");
        let request = rig.request(Method::GET, "/info").header("x-request-id", "my-own-id");
        assert_eq!(request.send().await.header("x-request-id"), Some("my-own-id"));
        let openapi = rig.plain(Method::GET, "/api/openapi.json").send().await.expect(200);
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"), "{}", openapi["openapi"]);
    }

    async fn calls_of_plugins(database) {
        let rig = Rig::start_with(database, Options::quick().with("--call-deadline", "700ms")).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.try_call(&id, "echo", json!({})).await.problem(409);
        rig.activate(&id).await;
        assert_eq!(rig.call(&id, "echo", json!({"a": [1, null, "ü"]})).await["params"], json!({"a": [1, null, "ü"]}));
        let unknown = rig.try_call(&id, "no.such", json!({})).await.problem(404);
        assert!(unknown["type"].as_str().unwrap().ends_with("no-such-method"), "{unknown:#}");
        let failed = rig.try_call(&id, "fail", json!({"code": 1234, "message": "out of paper", "data": {"tray": 2}})).await.problem(502);
        assert_eq!(failed["fault"], json!({"code": 1234, "message": "out of paper", "data": {"tray": 2}}), "{failed:#}");
        rig.try_call(&id, "silent", json!({})).await.problem(504);
        let body = json!({"method": "slow", "params": {"ms": 60_000}, "deadline_ms": 100});
        let began = tokio::time::Instant::now();
        rig.post(&format!("/plugins/{id}/call"), body).await.problem(504);
        assert!(began.elapsed() < Duration::from_millis(650), "{:?}", began.elapsed());
        let big = rig.call(&id, "big", json!({"bytes": 2_000_000})).await;
        assert_eq!(big["big"].as_str().unwrap().len(), 2_000_000);
        for wrong in [json!({}), json!({"method": 1}), json!([]), json!({"method": "echo", "deadline_ms": -1}),] {
            let answer = rig.post(&format!("/plugins/{id}/call"), wrong.clone()).await;
            assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
            answer.problem(400);
        }
        // While it dies.
        let died = rig.try_call(&id, "exit", json!({"code": 3})).await;
        assert!([409, 502].contains(&died.status), "{died:?}");
        died.problem(died.status);
        rig.until_state(&id, "active").await;
        let many = (0..50).map(|n| rig.call(&id, "echo", json!({"n": n})));
        for (n, answer) in futures_util::future::join_all(many).await.into_iter().enumerate() {
            assert_eq!(answer["params"]["n"], n);
        }
    }

    async fn written_with_the_sdk(database) {
        let rig = Rig::start(database).await;
        let sdk = Orders { sdk: true, ..Orders::default() };
        let id = id_of(&rig.install(package(&sdk, json!({"configuration_schema": crate::packages::schema()}))).await);
        rig.patch(&format!("/plugins/{id}/configuration"), json!({"greeting": "hi"})).await.expect(200);
        rig.activate(&id).await;
        let answer = rig.call(&id, "hello", json!({"name": "you"})).await;
        assert_eq!(answer["hello"], "you", "{answer:#}");
        assert_eq!(answer["config"], json!({"greeting": "hi"}), "{answer:#}");
        rig.publish("EventThreadUpdated", json!({"id": "one"})).await;
        let log = rig.state_folder(&id).join("events.log");
        crate::rig::eventually("the event comes", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("one"))).await;
        rig.upgrade(&id, version("2.0.0")).await.expect(200);
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "2.0.0");
    }
}

/// The database is away for a while: requests are told so, and all goes on when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer() {
    let options = Options::quick();
    let mut rig = Rig::start_with(Database::Postgres, options).await;
    let id = id_of(&rig.install(version("1.0.0")).await);
    rig.activate(&id).await;
    let url = rig.database_url().unwrap().to_owned();
    let (name, other) = (
        name_of(&url),
        url.replace(&format!("/{}?", name_of(&url)), "/postgres?"),
    );
    let mut look = Look::Postgres(sqlx::PgConnection::connect(&other).await.unwrap());
    look.change(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await
        .unwrap();
    let _ = look
        .column(&format!(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    let answer = rig
        .patch(&format!("/plugins/{id}/configuration"), json!({}))
        .await;
    assert_eq!(answer.status, 503, "{answer:?}");
    answer.problem(503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(rig.plain(Method::GET, "/health").send().await.status, 200);
    assert_eq!(rig.plain(Method::GET, "/ready").send().await.status, 503);
    look.change(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await
        .unwrap();
    rig.ready().await;
    rig.patch(&format!("/plugins/{id}/configuration"), json!({"a": 1}))
        .await
        .expect(200);
    assert_eq!(state_of(&rig.plugin(&id).await), "active");
    rig.publish("EventThreadPublished", json!({"id": "x"}))
        .await;
    let log = rig.state_folder(&id).join("events.log");
    crate::rig::eventually("events go on", || log.exists()).await;
    rig.restart().await;
}

fn name_of(url: &str) -> String {
    let path = url.split('?').next().unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

async fn pids(rig: &Rig, ids: &[String]) -> Vec<u32> {
    let mut pids = Vec::new();
    for id in ids {
        rig.until_state(id, "active").await;
        let pid = rig.call(id, "pid", json!({})).await["pid"]
            .as_u64()
            .unwrap();
        pids.push(pid.try_into().unwrap());
    }
    pids
}

/// Another server over the same data folder.
async fn second_over(rig: &Rig, second: &mut Rig) -> crate::rig::Ended {
    let data = second.folder.path().join("data");
    std::os::unix::fs::symlink(rig.data(), data).unwrap();
    let ended = second.try_start().await;
    ended.expect_err("two servers over one folder")
}
