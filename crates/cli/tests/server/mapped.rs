//! Methods that an application answers: in Python, with the signatures checked by somebody else's library.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::application::Application;
use crate::packages::manifest;
use crate::plugin::External;
use crate::rig::{Database, Rig, id_of};

async fn connected(rig: &Rig) -> (String, External) {
    let access = json!({"handle": "rig", "name": "Rig", "permissions": ["read"]});
    let (plugin, token) = rig
        .install_external(manifest(json!({"access": access})))
        .await;
    let program = External::dial(&rig.door(&token)).await;
    rig.until_state(&id_of(&plugin), "active").await;
    (id_of(&plugin), program)
}

on_both! {
    async fn a_call_reaches_the_application_signed(database) {
        let mut rig = Rig::start(database).await;
        let application = Application::start().await;
        let (id, program) = connected(&rig).await;
        let unknown = program.ask("threads.get", json!({"id": 1})).await;
        assert_eq!(unknown["error"]["code"], -32601, "{unknown:#}");
        application.map(&rig, "threads.get", json!({})).await;
        let answer = program.ask("threads.get", json!({"id": 1})).await;
        assert_eq!(answer["result"]["params"], json!({"id": 1}), "{answer:#}");
        let asked = application.asked().await;
        let (headers, call) = (&asked[0]["headers"], &asked[0]["call"]);
        assert_eq!(call["method"], "threads.get", "{asked:#?}");
        assert_eq!(call["params"], json!({"id": 1}));
        assert_eq!(call["plugin"]["installation_id"], json!(id));
        assert_eq!(call["plugin"]["id"], "rig");
        assert_eq!(call["plugin"]["name"], "Rig");
        assert_eq!(call["plugin"]["version"], "1.0.0");
        assert_eq!(call["id"], headers["webhook-id"]);
        assert_eq!(headers["content-type"], "application/json");
        let deadline: u64 = headers["jackfield-deadline-ms"].as_str().unwrap().parse().unwrap();
        assert!(deadline > 100 && deadline <= 300_000, "{headers:#}");
        assert!(headers["traceparent"].as_str().unwrap().starts_with("00-"), "{headers:#}");
        // Without parameters, and with nothing to say.
        let answer = program.ask("threads.get", Value::Null).await;
        assert!(answer.get("error").is_none(), "{answer:#}");
        application.map(&rig, "nothing", json!({})).await;
        application.map(&rig, "empty", json!({})).await;
        for method in ["nothing", "empty"] {
            let answer = program.ask(method, json!({})).await;
            assert!(answer.get("error").is_none() && answer["result"].is_object(), "{answer:#}");
        }
        // Mappings are kept.
        let methods = rig.get("/methods").await;
        assert!(!methods.text().contains(crate::application::SECRET), "{methods:?}");
        assert_eq!(methods.expect(200)["methods"].as_array().unwrap().len(), 3);
        rig.restart().await;
        assert_eq!(rig.get("/methods").await.expect(200)["methods"].as_array().unwrap().len(), 3);
        let left = crate::database::Look::at(&rig).await.everything().await;
        let secret = crate::application::SECRET.strip_prefix("whsec_").unwrap();
        assert!(!left.iter().any(|row| row.contains(secret)), "{left:#?}");
    }

    async fn what_goes_wrong_there_is_told(database) {
        let rig = Rig::start(database).await;
        let application = Application::start().await;
        let (_, program) = connected(&rig).await;
        for method in ["add", "fail", "redirect", "html", "cut", "big"] {
            application.map(&rig, method, json!({})).await;
        }
        application.map(&rig, "slow", json!({"timeout_ms": 500})).await;
        assert_eq!(program.ask("add", json!({"a": 1, "b": 2})).await["result"]["sum"], 3);
        let failed = program.ask("fail", json!({"detail": "no such thread"})).await;
        assert_eq!(failed["error"]["code"], -32000, "{failed:#}");
        assert!(failed["error"]["message"].as_str().unwrap().contains("no such thread"), "{failed:#}");
        let long = program.ask("fail", json!({"detail": "x".repeat(100_000), "status": 500})).await;
        assert!(long["error"]["message"].as_str().unwrap().len() <= 1200, "{}", long.to_string().len());
        for method in ["redirect", "html", "cut"] {
            let answer = program.ask(method, json!({})).await;
            assert!(answer["error"]["code"].is_number(), "{method}: {answer:#}");
        }
        let began = Instant::now();
        let slow = program.ask("slow", json!({"seconds": 20})).await;
        assert!(slow["error"]["code"].is_number(), "{slow:#}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let big = program.ask("big", json!({"bytes": 40_000_000})).await;
        assert!(big["error"]["code"].is_number(), "{}", big.to_string().len());
        let asked = application.asked().await;
        assert!(!asked.iter().any(|asked| asked["path"] == "/elsewhere"), "a redirect was followed");
        // Nobody is there at all.
        let body = json!({"url": "http://127.0.0.1:1/call"});
        rig.put("/methods/gone", body).await;
        assert!(program.ask("gone", json!({})).await["error"]["code"].is_number());
        // The line is as good as before.
        assert_eq!(program.ask("add", json!({"a": 1, "b": 2})).await["result"]["sum"], 3);
        assert!(!rig.written().contains("panicked"));
    }

    async fn calls_do_not_wait_for_each_other(database) {
        let rig = Rig::start(database).await;
        let application = Application::start().await;
        let (_, program) = connected(&rig).await;
        application.map(&rig, "slow", json!({})).await;
        application.map(&rig, "add", json!({})).await;
        let slow = program.ask("slow", json!({"seconds": 2}));
        let quick = async {
            let began = Instant::now();
            for _ in 0..5 {
                program.ask("add", json!({"a": 1, "b": 2})).await;
            }
            began.elapsed()
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!(slow["result"]["slept"], true, "{slow:#}");
        assert!(quick < Duration::from_millis(1900), "{quick:?}");
    }

    async fn secrets_of_methods(database) {
        let rig = Rig::start(database).await;
        let application = Application::start().await;
        let (_, program) = connected(&rig).await;
        let made = rig.put("/methods/add", json!({"url": application.url()})).await.json();
        let secret = made["secret"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("whsec_"), "{made:#}");
        // It does not know that secret yet.
        let refused = program.ask("add", json!({"a": 1, "b": 2})).await;
        assert!(refused["error"]["code"].is_number(), "{refused:#}");
        assert!(application.asked().await[0]["unverified"].is_string());
        application.secret(&secret).await;
        assert_eq!(program.ask("add", json!({"a": 1, "b": 2})).await["result"]["sum"], 3);
        let methods = rig.get("/methods").await;
        assert!(!methods.text().contains(&secret), "{methods:?}");
        // Changing something else keeps it, and does not show it again.
        let changed = rig.put("/methods/add", json!({"url": application.url(), "timeout_ms": 900})).await;
        let changed = changed.json();
        if let Some(new) = changed["secret"].as_str() {
            application.secret(new).await;
        }
        assert_eq!(changed["timeout_ms"], 900, "{changed:#}");
        assert_eq!(program.ask("add", json!({"a": 1, "b": 2})).await["result"]["sum"], 3);
        assert_eq!(rig.delete("/methods/add").await.status, 204);
        let gone = program.ask("add", json!({"a": 1, "b": 2})).await;
        assert_eq!(gone["error"]["code"], -32601, "{gone:#}");
        rig.delete("/methods/add").await.problem(404);
        for (name, wrong) in [
            ("x", json!({})), ("x", json!({"url": "nonsense"})), ("x", json!({"url": "ftp://x/"})), ("x", json!({"url": application.url(), "secret": "short"})),
            ("x", json!({"url": application.url(), "timeout_ms": -1})), ("x", json!({"url": application.url(), "timeout_ms": 0})),
            ("get_config", json!({"url": application.url()})), ("access_get", json!({"url": application.url()})),
        ] {
            let answer = rig.put(&format!("/methods/{name}"), wrong).await;
            assert!([400, 409].contains(&answer.status), "{name}: {answer:?}");
            answer.problem(answer.status);
        }
        // What the contract has is not taken over.
        let config = program.ask("get_config", json!({})).await;
        assert_eq!(config["result"]["method"], "get_config", "{config:#}");
    }
}
