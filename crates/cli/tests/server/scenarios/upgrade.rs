//! Packages that are replaced.

use serde_json::json;

use crate::packages::{package, version};
use crate::plugin::Orders;
use crate::rig::{Database, Rig, id_of, state_of};

on_both! {
    async fn running(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let before = rig.activate(&id).await["status"]["activated_at"].clone();
        let plugin = rig.upgrade(&id, version("1.0.1")).await.expect(200);
        assert_eq!(plugin["version"], "1.0.1", "{plugin:#}");
        assert_eq!(state_of(&plugin), "active", "{plugin:#}");
        assert!(plugin["status"]["activated_at"].as_str() > before.as_str(), "{plugin:#} {before}");
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.1");
    }

    async fn inactive(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let plugin = rig.upgrade(&id, version("1.0.1")).await.expect(200);
        assert_eq!(plugin["version"], "1.0.1", "{plugin:#}");
        assert_eq!(state_of(&plugin), "inactive", "{plugin:#}");
        rig.activate(&id).await;
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.1");
    }

    async fn of_something_else(database) {
        let rig = Rig::start(database).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        let other = package(&Orders::default(), json!({"id": "other", "version": "1.0.1"}));
        rig.upgrade(&id, other).await.problem(400);
        rig.upgrade(&id, b"no archive".to_vec()).await.problem(400);
        let plugin = rig.plugin(&id).await;
        assert_eq!(plugin["version"], "1.0.0", "{plugin:#}");
        let versions = rig.get(&format!("/plugins/{id}/versions")).await.expect(200);
        assert_eq!(versions["versions"].as_array().unwrap().len(), 1, "{versions:#}");
    }

    async fn package_comes_back(database) {
        let rig = Rig::start(database).await;
        let bytes = version("1.0.0");
        let id = id_of(&rig.install(bytes.clone()).await);
        let answer = rig.get(&format!("/plugins/{id}/package")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body == bytes, "{} bytes instead of {}", answer.body.len(), bytes.len());
        assert_eq!(answer.header("content-type"), Some("application/zip"));
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
        let disposition = answer.header("content-disposition").unwrap().replace('"', "");
        assert_eq!(disposition, "attachment; filename=rig.zip");
        let tag = answer.header("etag").unwrap_or_default().to_owned();
        let plugin = rig.plugin(&id).await;
        let digest = plugin["package"]["digest"].as_str().unwrap();
        assert!(tag.contains(digest), "{tag} {digest}");
        assert_eq!(plugin["package"]["size"], bytes.len());
        // An older one, while it is kept.
        rig.upgrade(&id, version("1.0.1")).await.expect(200);
        let old = rig.get(&format!("/plugins/{id}/package?version=1")).await;
        assert!(old.body == bytes);
        assert!(rig.get(&format!("/plugins/{id}/package")).await.body == version("1.0.1"));
        rig.get(&format!("/plugins/{id}/package?version=3")).await.problem(404);
    }
}
