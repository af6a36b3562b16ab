//! `robot_run`, which the application answers.

use serde_json::{Value, json};

use crate::application::Application;
use crate::packages::manifest;
use crate::plugin::External;
use crate::rig::{Database, Rig, id_of};

on_both! {
    async fn runs(database) {
        let rig = Rig::start(database).await;
        let application = Application::start().await;
        let (plugin, token) = rig.install_external(manifest(json!({}))).await;
        let program = External::dial(&rig.door(&token)).await;
        rig.until_state(&id_of(&plugin), "active").await;
        let run = |params: Value| program.ask("robot_run", params);

        let nobody = run(json!({"message": "x", "robot_id": "r"})).await;
        assert_eq!(nobody["error"]["code"], -32601, "{nobody:#}");
        application.map(&rig, "robot_run", json!({})).await;

        let done = run(json!({"message": "the dishes", "robot_id": "r"})).await;
        assert_eq!(done["result"]["method"], "robot_run", "{done:#}");
        assert_eq!(done["result"]["output"]["status"], "completed", "{done:#}");
        assert_eq!(done["result"]["output"]["summary"], "did the dishes", "{done:#}");
        let session = "c5r3k2f3q1g5s8b2n3og";
        let goes_on = run(json!({"message": "more", "robot_id": "r", "session_id": session})).await;
        assert_eq!(goes_on["result"]["session_id"], session, "{goes_on:#}");
        let blocked = run(json!({"message": "ask me", "robot_id": "r"})).await;
        assert_eq!(blocked["result"]["output"]["status"], "blocked", "{blocked:#}");
        assert_eq!(blocked["result"]["output"]["attention"]["reason"], "missing_input", "{blocked:#}");
        let forbidden = run(json!({"message": "forbidden", "robot_id": "r"})).await;
        assert_eq!(forbidden["result"]["output"]["status"], "failed", "{forbidden:#}");
        assert_eq!(forbidden["result"]["error"], "no permission", "{forbidden:#}");
        let empty = run(json!({"message": "", "robot_id": "r"})).await;
        assert_eq!(empty["result"]["error"], "message must not be empty", "{empty:#}");
    }
}
