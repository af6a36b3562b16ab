//! What is known to be wrong with the original's manager and API, and is not wrong here.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::Request;
use crate::database::{Look, files_with, paths_with};
use crate::packages::{manifest, ordered, package, version, zip};
use crate::plugin::{External, Orders};
use crate::rig::{Database, Options, Rig, eventually, id_of, state_of};
use crate::web::{Web, ok, redirect};

on_both! {
    /// What is wanted was written before the action: a plugin that had failed once was started again at each boot.
    async fn m1_a_plugin_that_failed_is_not_wanted(database) {
        let mut rig = Rig::start(database).await;
        let orders = Orders { say: vec!["here I am".into()], exit: Some(42), ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        rig.set_active(&id, "active").await.problem(502);
        let plugin = rig.plugin(&id).await;
        assert_eq!((state_of(&plugin).as_str(), &plugin["wanted"]), ("error", &json!("inactive")), "{plugin:#}");
        let logs = format!("/plugins/{id}/logs?follow=false");
        let before = rig.get(&logs).await.text().matches("here I am").count();
        rig.restart().await;
        rig.ready().await;
        let plugin = rig.plugin(&id).await;
        assert_eq!((state_of(&plugin).as_str(), &plugin["wanted"]), ("inactive", &json!("inactive")), "{plugin:#}");
        assert_eq!(rig.get(&logs).await.text().matches("here I am").count(), before);
    }

    /// The new package was stored before the old one was stopped, whatever came of it.
    async fn m2_a_package_counts_when_it_runs(database) {
        let rig = Rig::start(database).await;
        // It does not want to go: it has to be killed, after 3 s.
        let deaf = Orders { deaf: true, ..Orders::default() };
        let id = id_of(&rig.install(ordered("1.0.0", deaf)).await);
        rig.activate(&id).await;
        let crash = Orders { exit: Some(42), ..Orders::default() };
        let problem = rig.upgrade(&id, ordered("2.0.0", crash)).await.problem(502);
        assert!(problem.to_string().contains("exit status 42"), "{problem:#}");
        let plugin = rig.plugin(&id).await;
        assert_eq!((state_of(&plugin).as_str(), &plugin["version"]), ("active", &json!("1.0.0")), "{plugin:#}");
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.0");
        let plugin = rig.upgrade(&id, version("3.0.0")).await.expect(200);
        assert_eq!((state_of(&plugin).as_str(), &plugin["version"]), ("active", &json!("3.0.0")), "{plugin:#}");
    }

    /// Folder, logs, keys and roles of a deleted plugin stayed for ever.
    async fn m3_nothing_is_left_of_a_removed_plugin(database) {
        let rig = Rig::start(database).await;
        let access = json!({"handle": "rig", "name": "Rig", "permissions": ["read"]});
        let extra = json!({"access": access, "configuration_schema": crate::packages::schema()});
        let orders = Orders { access_in_configure: true, ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, extra)).await);
        rig.activate(&id).await;
        let config = json!({"greeting": "only here"});
        rig.patch(&format!("/plugins/{id}/configuration"), config).await.expect(200);
        rig.publish("EventThreadPublished", json!({"id": "bad"})).await;
        rig.until_get(&format!("/plugins/{id}/events/parked"), "parked", |found| {
            !found["parked"].as_array().unwrap().is_empty()
        }).await;
        let digest = rig.plugin(&id).await["package"]["digest"].as_str().unwrap().to_owned();
        let pid = rig.call(&id, "pid", json!({})).await["pid"].as_u64().unwrap();
        assert!(!paths_with(&rig.data(), &id).is_empty(), "the check looks for the wrong thing");
        assert!(!paths_with(&rig.data(), &digest).is_empty(), "the check looks for the wrong thing");

        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        assert!(!jackfield_testkit::alive(pid.try_into().unwrap()));
        assert_eq!(paths_with(&rig.data(), &id), Vec::<String>::new());
        assert_eq!(paths_with(&rig.data(), &digest), Vec::<String>::new());
        let left = Look::at(&rig).await.everything().await;
        let left: Vec<_> = left.iter().filter(|row| row.contains(&id)).collect();
        // What was done is still known.
        assert!(left.iter().all(|row| row.starts_with("audit")), "{left:#?}");
        assert!(!left.is_empty());
        let still: Vec<_> = left.iter().filter(|row| row.contains("only here")).collect();
        assert!(still.is_empty(), "{still:#?}");
    }

    /// Mistakes of users were answered with 500.
    async fn m4_no_mistake_is_an_internal_error(database) {
        let options = Options::quick().flag("--allow-private-downloads").with("--max-package", "200k");
        let rig = Rig::start_with(database, options).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let big = vec![7; 300 << 10];
        let web = Web::start(vec![
            ("/fails", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
            ("/moved", redirect("/fails")),
            ("/round", redirect("/round")),
            ("/big", ok(&big)),
            ("/endless", [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &big[..]].concat()),
            ("/lies", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_vec()),
            ("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nPK".to_vec()),
            ("/text", ok(b"hello")),
            ("/nonsense", b"SSH-2.0-x\r\n".to_vec()),
            ("/wrong-package", ok(&version("1.0.0"))),
        ]).await;
        let mut wrong: Vec<(Value, &[u16])> = Vec::new();
        for path in ["/none", "/fails", "/moved", "/round", "/short", "/text", "/nonsense"] {
            wrong.push((json!({"mode": "supervised", "url": web.url(path)}), &[400, 502]));
        }
        for path in ["/big", "/endless", "/lies"] {
            wrong.push((json!({"mode": "supervised", "url": web.url(path)}), &[400, 413]));
        }
        for url in ["", "no url", "http://", "http://nobody.invalid/x.zip", "ftp://example.org/x", "file:///etc/passwd", "http://127.0.0.1:1/x.zip"] {
            wrong.push((json!({"mode": "supervised", "url": url}), &[400, 502]));
        }
        wrong.push((json!({"mode": "supervised", "url": web.url("/wrong-package"), "checksum": "0".repeat(64)}), &[400, 409]));
        wrong.push((json!({"mode": "supervised", "url": web.url("/wrong-package"), "checksum": "x"}), &[400]));
        for (body, statuses) in wrong {
            let answer = rig.post("/plugins", body.clone()).await;
            assert!(statuses.contains(&answer.status), "{body} {answer:?}");
            answer.problem(answer.status);
        }
        let request = |method: Method, path: &str| rig.request(method, path);
        let upload = request(Method::POST, "/plugins").zip(big);
        upload.send().await.problem(413);
        let kind = request(Method::POST, "/plugins").body("text/plain", "x");
        kind.send().await.problem(415);
        let broken = request(Method::POST, "/plugins").body("application/json", "{\"mode\":");
        broken.send().await.problem(400);
        // Never loaded, and not to be stopped therefore.
        let plugin = rig.set_active(&id, "inactive").await.expect(200);
        assert_eq!(state_of(&plugin), "inactive");
        rig.set_active(&id, "paused").await.problem(400);
        rig.patch(&format!("/plugins/{id}/active"), json!({})).await.problem(400);
        rig.patch(&format!("/plugins/{id}/active"), json!([])).await.problem(400);
        for id in ["nonsense", "c5r3k2f3q1g5s8b2n3og", "..%2f..%2fetc", "%00", "x".repeat(3000).as_str()] {
            let answer = rig.get(&format!("/plugins/{id}")).await;
            assert!([400, 404].contains(&answer.status), "{answer:?}");
            answer.problem(answer.status);
        }
        rig.get("/nothing/here").await.problem(404);
        let answer = request(Method::PUT, "/plugins").send().await;
        answer.problem(405);
        assert!(answer.header("allow").unwrap_or_default().contains("POST"), "{answer:?}");
        // And one that is right, for the check of the check.
        let right = json!({"mode": "supervised", "url": web.url("/wrong-package")});
        rig.post("/plugins", right).await.expect(200);
        assert!(!rig.written().contains("panicked"), "{}", rig.written());
    }

    /// An activation was one request that took up to five minutes and told nothing meanwhile.
    async fn m5_operations_are_jobs(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let request = rig.request(Method::PATCH, &format!("/plugins/{id}/active"));
        let began = request.header("prefer", "respond-async").json(json!({"active": "active"}));
        let began = began.send().await;
        let job = began.expect(202);
        let place = began.header("location").unwrap().to_owned();
        assert_eq!(place, format!("/api/jobs/{}", job["id"].as_str().unwrap()));
        let place = place.strip_prefix("/api").unwrap();
        let job = rig.get(&format!("{place}?wait=30")).await.expect(200);
        assert_eq!((&job["state"], &job["plugin"]), (&json!("done"), &json!(id)), "{job:#}");
        assert_eq!(rig.state(&id).await, "active");
        for (verb, state) in [("restart", "active"), ("stop", "inactive"), ("start", "active")] {
            let began = rig.post(&format!("/plugins/{id}/{verb}"), Value::Null).await;
            let job = began.expect(202);
            let path = format!("/jobs/{}?wait=30", job["id"].as_str().unwrap());
            let job = rig.get(&path).await.expect(200);
            assert_eq!(job["state"], "done", "{job:#}");
            assert_eq!(rig.state(&id).await, state);
        }
        // One that fails says why, as the blocking form would.
        let crash = Orders { exit: Some(42), ..Orders::default() };
        let bad = id_of(&rig.install(package(&crash, json!({"id": "bad"}))).await);
        let began = rig.post(&format!("/plugins/{bad}/start"), Value::Null).await.expect(202);
        let job = rig.get(&format!("/jobs/{}?wait=30", began["id"].as_str().unwrap())).await.expect(200);
        assert_eq!((&job["state"], &job["problem"]["status"]), (&json!("failed"), &json!(502)), "{job:#}");
        assert!(job["problem"]["detail"].as_str().unwrap().contains("exit status 42"), "{job:#}");
        let jobs = rig.get("/jobs").await.expect(200);
        assert!(jobs["jobs"].as_array().unwrap().len() >= 5, "{jobs:#}");
        rig.get("/jobs/none").await.problem(404);
    }

    /// A configuration knew no rules and no secrets, and could not be set before the first boot.
    async fn m6_a_configuration_has_rules_and_waits(database) {
        let rig = Rig::start(database).await;
        let fields = json!({"fields": [
            {"type": "string", "id": "token", "label": "Token", "description": "", "required": true, "secret": true},
            {"type": "string", "id": "colour", "label": "Colour", "description": "", "enum": ["red", "blue"], "default": "red"},
            {"type": "number", "id": "count", "label": "Count", "description": "", "minimum": 1, "maximum": 5},
        ]});
        let id = id_of(&rig.install(package(&Orders::default(), json!({"configuration_schema": fields}))).await);
        let path = format!("/plugins/{id}/configuration");
        for (wrong, field) in [
            (json!({}), "token"), (json!({"token": "t", "colour": "green"}), "colour"),
            (json!({"token": "t", "count": 0}), "count"), (json!({"token": "t", "count": 5.5}), "count"),
        ] {
            rig.patch(&path, wrong).await.problem_says(400, field);
        }
        // Never started yet.
        let set = rig.patch(&path, json!({"token": "t0ken-value", "count": 5})).await;
        assert_eq!(set.expect(200), json!({"count": 5}));
        assert_eq!(set.header("jackfield-secrets-set"), Some("token"), "{set:?}");
        rig.activate(&id).await;
        let file = rig.state_folder(&id).join("configured.json");
        eventually("it is configured", || file.exists()).await;
        let told: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(told["params"], json!({"token": "t0ken-value", "count": 5, "colour": "red"}));
        let shown = rig.get(&path).await;
        assert_eq!(shown.expect(200), json!({"count": 5}));
        assert_eq!(shown.header("jackfield-secrets-set"), Some("token"), "{shown:?}");
        let asked = rig.call(&id, "host", json!({"method": "get_config"})).await;
        assert_eq!(asked["answer"]["result"]["config"], json!({"token": "t0ken-value", "count": 5, "colour": "red"}));
        let left = Look::at(&rig).await.everything().await;
        assert!(!left.iter().any(|row| row.contains("t0ken-value")), "{left:#?}");
        let sealed = json!({"token": {"$sealed": "AAAA"}});
        rig.patch(&path, sealed).await.problem(400);
    }

    /// Tokens lay in the database as they are.
    async fn m7_no_token_is_kept(database) {
        let rig = Rig::start(database).await;
        let access = json!({"handle": "rig", "name": "Rig", "permissions": ["read"]});
        let (plugin, external) = rig.install_external(manifest(json!({"access": access}))).await;
        let program = External::dial(&rig.door(&external)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let key = program.access().await["access_key"].as_str().unwrap().to_owned();
        let scoped = rig.make_token(&["read", "operate"]).await;
        let tokens = [external.as_str(), &key, &scoped, &rig.token];
        let everything = Look::at(&rig).await.everything().await;
        for token in tokens {
            // Not the whole, and not so much of it that the rest could be guessed.
            let part = &token[..token.len() - 20];
            let secret = &token[token.len() - 20..];
            let found: Vec<_> = everything.iter().filter(|row| row.contains(secret)).collect();
            assert!(found.is_empty(), "{part}: {found:#?}");
        }
        assert_eq!(files_with(&rig.data(), &tokens), Vec::<String>::new());
    }

    /// Every plugin could subscribe to everything, and anybody's settings were published with the keys in them.
    async fn m8_events_come_from_whom_may_and_go_where_they_are_consumed(database) {
        let rig = Rig::start(database).await;
        let settings = manifest(json!({"events_consumed": ["EventSettingsUpdated"], "id": "settings"}));
        let (a, a_token) = rig.install_external(settings).await;
        let (b, b_token) = rig.install_external(manifest(json!({}))).await;
        let a_program = External::dial(&rig.door(&a_token)).await;
        let b_program = External::dial(&rig.door(&b_token)).await;
        rig.until_state(&id_of(&a), "active").await;
        rig.until_state(&id_of(&b), "active").await;
        // What is published is what the application chose to publish.
        let published = rig.publish("EventSettingsUpdated", json!({"settings": {}})).await;
        assert_eq!(published["consumers"], json!([id_of(&a)]), "{published:#}");
        rig.publish("EventThreadPublished", json!({"id": "x"})).await;
        assert_eq!(a_program.events(1).await[0]["event"], "EventSettingsUpdated");
        assert_eq!(b_program.events(1).await[0]["event"], "EventThreadPublished");
        let read = rig.make_token(&["read", "operate", "install"]).await;
        let body = json!({"event": "EventThreadPublished", "payload": {"id": "x"}});
        let by = |token: &str| rig.plain(Method::POST, "/api/events").token(token).json(body.clone());
        by(&read).send().await.problem(403);
        let publish = rig.make_token(&["publish"]).await;
        by(&publish).send().await.expect(202);
        assert_eq!(a_program.events_now().len(), 1);
    }

    /// One record that could not be read made the list fail, and the boot.
    async fn m9_a_bad_row_hurts_nobody_else(database) {
        let mut rig = Rig::start(database).await;
        let good = id_of(&rig.install(version("1.0.0")).await);
        let (bad, bad_token) = rig.install_external(manifest(json!({"id": "bad"}))).await;
        let bad = id_of(&bad);
        rig.activate(&good).await;
        assert!(Look::at(&rig).await.spoil_manifest(&bad).await > 0, "the check spoils nothing");
        rig.restart().await;
        rig.ready().await;
        rig.until_state(&good, "active").await;
        let list = rig.get("/plugins").await.expect(200);
        assert_eq!(list["plugins"].as_array().unwrap().len(), 1, "{list:#}");
        assert_eq!(list["plugins"][0]["id"], json!(good), "{list:#}");
        assert_eq!(list["unreadable"][0]["id"], json!(bad), "{list:#}");
        assert!(list["unreadable"][0]["why"].as_str().unwrap().len() > 3, "{list:#}");
        let answer = rig.get(&format!("/plugins/{bad}")).await;
        let problem = answer.problem(answer.status);
        assert!(!problem["type"].as_str().unwrap().ends_with(":internal"), "{problem:#}");
        let why = list["unreadable"][0]["why"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem:#}");
        assert_eq!(crate::plugin::refused(&rig.door(&bad_token)).await, 401);
        // It can still be got rid of.
        assert_eq!(rig.delete(&format!("/plugins/{bad}")).await.status, 204);
        let list = rig.get("/plugins").await.expect(200);
        assert_eq!(list["unreadable"], json!([]), "{list:#}");
    }

    /// Keys of the manifest were matched in any case, and the last one won: reviewers saw another manifest than the host.
    async fn m10_a_manifest_is_what_it_looks_like(database) {
        let rig = Rig::start(database).await;
        let sound = manifest(json!({"command": "./run"})).to_string();
        let other = sound.replacen('{', r#"{"ID": "evil", "COMMAND": "./evil", "Name": "Evil", "#, 1);
        let last = sound.replacen('}', "", 0);
        let last = format!("{}, \"iD\": \"evil\"}}", last.strip_suffix('}').unwrap());
        for manifest in [other, last] {
            let upload = zip(&[("manifest.json", manifest.as_bytes()), ("run", b"#!/bin/sh\n")]);
            let answer = rig.request(Method::POST, "/plugins").zip(upload).send().await;
            if answer.status == 200 {
                let plugin = answer.expect(200);
                assert_eq!(plugin["manifest"]["id"], "rig", "{plugin:#}");
                assert_eq!(plugin["manifest"]["command"], "./run", "{plugin:#}");
                assert_eq!(plugin["name"], "Rig", "{plugin:#}");
            } else {
                answer.problem(400);
            }
        }
        // Only in another case: it is not there.
        let shouting = sound.replace("\"id\"", "\"ID\"");
        let upload = zip(&[("manifest.json", shouting.as_bytes())]);
        rig.request(Method::POST, "/plugins").zip(upload).send().await.problem_says(400, "id");
        let twice = sound.replacen('{', r#"{"id": "evil", "#, 1);
        let upload = zip(&[("manifest.json", twice.as_bytes())]);
        let answer = rig.request(Method::POST, "/plugins").zip(upload).send().await;
        answer.problem(400);
    }

    /// A download could be led into the network behind the server.
    async fn m11_downloads_stay_outside(database) {
        let web = Web::start(vec![("/x.zip", ok(&version("1.0.0")))]).await;
        let port = web.address.port();
        let proxy = format!("http://127.0.0.1:{port}");
        let mut options = Options::quick();
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            options = options.env(name, &proxy);
        }
        let rig = Rig::start_with(database, options).await;
        let hosts = [
            "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "LOCALHOST.", "x.localhost", "0.0.0.0", "0",
            "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.1", "192.168.0.1", "198.18.0.1", "240.0.0.1",
            "255.255.255.255", "224.0.0.1", "192.88.99.1", "192.0.2.1", "198.51.100.1", "203.0.113.1",
            "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2001::1]", "[2002:7f00:1::]",
            "[fc00::1]", "[fd00::1%25eth0]", "[fc00::1%25eth0]", "[fe80::1]", "[fe80::1%25eth0]", "[ff02::1]", "[2001:db8::1]",
            "user:secret@127.0.0.1", "user@example.org",
        ];
        let began = Instant::now();
        for host in hosts {
            let url = format!("http://{host}:{port}/x.zip");
            let answer = rig.post("/plugins", json!({"mode": "supervised", "url": url})).await;
            assert_eq!(answer.status, 400, "{url}: {answer:?}");
            let problem = answer.problem(400);
            assert!(!problem.to_string().contains("secret"), "{problem:#}");
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(web.asked(), Vec::<String>::new());
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"], json!([]));
    }

    /// A request that was no handshake burnt the token of the process that was about to dial.
    async fn s11_a_failed_handshake_burns_nothing(database) {
        let rig = Rig::start(database).await;
        let orders = Orders { never_dial: true, ..Orders::default() };
        let id = id_of(&rig.install(package(&orders, json!({}))).await);
        rig.post(&format!("/plugins/{id}/start"), Value::Null).await.expect(202);
        let plugin = rig.until(&id, "a process", |plugin| plugin["status"]["pid"].is_number()).await;
        let pid = plugin["status"]["pid"].as_u64().unwrap();
        let environment = jackfield_testkit::environment(pid.try_into().unwrap()).await;
        let url = &environment["STORYDEN_RPC_URL"];
        let path = url.split_once("/rpc").map(|(_, query)| format!("/rpc{query}")).unwrap();
        for _ in 0..3 {
            let answer = rig.plain(Method::GET, &path).send().await;
            assert_eq!(answer.status, 426, "{answer:?}");
            let answer = shaken(rig.plain(Method::POST, &path)).send().await;
            assert_eq!(answer.status, 405, "{answer:?}");
            let answer = shaken(rig.plain(Method::GET, &path)).header("origin", "http://evil.example");
            let answer = answer.send().await;
            assert_eq!(answer.status, 403, "{answer:?}");
        }
        let program = External::dial(url).await;
        rig.until_state(&id, "active").await;
        assert!(program.is_open());
        for (path, status, body) in [
            ("/rpc", 400, "invalid connection parameters\n"),
            ("/rpc?token=", 400, "invalid connection parameters\n"),
            ("/rpc?token=x", 400, "invalid connection parameters\n"),
            ("/rpc?token=x&plugin_id=nonsense", 400, "invalid connection parameters\n"),
            ("/rpc?token=sdprt_unknown", 401, "unauthenticated\n"),
            ("/rpc?token=x&plugin_id=c5r3k2f3q1g5s8b2n3og", 401, "unauthenticated\n"),
        ] {
            let answer = rig.plain(Method::GET, path).send().await;
            assert_eq!((answer.status, answer.text().as_str()), (status, body), "{answer:?}");
        }
    }

    /// Tokens in query strings ended in logs.
    async fn s14_no_secret_is_logged(database) {
        let options = Options::quick().env("RUST_LOG", "trace");
        let mut rig = Rig::start_with(database, options).await;
        let access = json!({"handle": "rig", "name": "Rig", "permissions": ["read"]});
        let (plugin, external) = rig.install_external(manifest(json!({"access": access}))).await;
        let program = External::dial(&rig.door(&external)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let key = program.access().await["access_key"].as_str().unwrap().to_owned();
        let scoped = rig.make_token(&["read"]).await;
        let whoami = rig.plain(Method::GET, "/api/whoami");
        whoami.token(&scoped).send().await.expect(200);
        rig.get("/plugins?mode=external&state=hush-hush-value").await;
        let fields = json!({"fields": [{"type": "string", "id": "s", "label": "S", "description": "", "secret": true}]});
        let extra = json!({"configuration_schema": fields, "access": access});
        let id = id_of(&rig.install(package(&Orders::default(), extra)).await);
        rig.activate(&id).await;
        rig.patch(&format!("/plugins/{id}/configuration"), json!({"s": "a-secret-setting"})).await.expect(200);
        let env = rig.call(&id, "env", json!({})).await;
        let url = env["env"]["STORYDEN_RPC_URL"].as_str().unwrap().to_owned();
        let (_, sealed) = url.split_once("token=").unwrap();
        let sealed = sealed.split('&').next().unwrap().to_owned();
        let new = rig.post(&format!("/plugins/{}/token", id_of(&plugin)), Value::Null).await.expect(200);
        let new = new["token"].as_str().unwrap().to_owned();
        crate::plugin::refused(&rig.door(&external)).await;
        crate::plugin::refused(&rig.door("sdprt_guessed0guessed0guessed0guesse")).await;
        rig.restart().await;

        let written = rig.written();
        // Told once, on purpose.
        let told = written.lines().filter(|line| !line.contains("\"administrator\""));
        let log = told.collect::<Vec<_>>().join("\n");
        assert!(log.len() > 1000, "the server logs: {log}");
        let secrets = [
            rig.token.as_str(), &external, &key, &scoped, &sealed, &new, "a-secret-setting", "hush-hush-value", "sdprt_guessed",
        ];
        for secret in secrets {
            let lines: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(lines.is_empty(), "{secret}: {lines:#?}");
        }
        // What the plugin wrote down itself is its own.
        let mut files = files_with(&rig.data(), &secrets);
        files.retain(|file| !file.contains("/state/"));
        assert_eq!(files, Vec::<String>::new());
    }
}

/// A request that is a handshake, as far as its headers go.
fn shaken(request: Request) -> Request {
    request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}
