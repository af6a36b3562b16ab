//! Packages in an S3, which is somebody else's imitation of it.

use jackfield_testkit::s3::S3;
use serde_json::json;

use crate::packages::{ordered, version};
use crate::plugin::Orders;
use crate::rig::{Database, Options, Rig, id_of};

fn options(s3: &S3) -> Options {
    let store = format!("s3://{}/jackfield", S3::BUCKET);
    let options = Options::quick().with("--packages", store);
    let variables = s3.variables();
    variables
        .into_iter()
        .fold(options, |options, (name, value)| options.env(name, value))
}

on_both! {
    async fn the_life_of_a_package(database) {
        let mut s3 = S3::start().await;
        let mut rig = Rig::start_with(database, options(&s3)).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        assert_eq!(s3.keys().await.len(), 1);
        rig.activate(&id).await;
        rig.upgrade(&id, version("2.0.0")).await.expect(200);
        assert_eq!(s3.keys().await.len(), 2);
        assert!(s3.keys().await.iter().all(|key| key.starts_with("jackfield/")), "{:?}", s3.keys().await);
        let crash = Orders { exit: Some(42), ..Orders::default() };
        rig.upgrade(&id, ordered("3.0.0", crash)).await.problem(502);
        assert_eq!(s3.keys().await.len(), 2);

        // Another machine with the same database: nothing is in its folders.
        rig.end(rustix::process::Signal::TERM).await;
        let digest = digest_of(&version("2.0.0"));
        for path in crate::database::paths_with(&rig.data(), &digest) {
            let path = std::path::PathBuf::from(path);
            if path.is_dir() { std::fs::remove_dir_all(&path).unwrap() } else { std::fs::remove_file(&path).unwrap() }
        }
        rig.start_again().await;
        rig.ready().await;
        rig.until_state(&id, "active").await;
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "2.0.0");
        assert!(rig.get(&format!("/plugins/{id}/package")).await.body == version("2.0.0"));
        assert!(rig.get(&format!("/plugins/{id}/package?version=1")).await.body == version("1.0.0"));
        rig.post(&format!("/plugins/{id}/rollback"), json!({})).await.expect(200);
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.0");

        // The same archive twice is kept once, and for as long as somebody needs it.
        let other = id_of(&rig.install(version("1.0.0")).await);
        assert_eq!(s3.keys().await.len(), 2);
        assert_eq!(rig.delete(&format!("/plugins/{id}")).await.status, 204);
        assert_eq!(s3.keys().await.len(), 1);
        rig.activate(&other).await;
        assert_eq!(rig.delete(&format!("/plugins/{other}")).await.status, 204);
        assert_eq!(s3.keys().await, Vec::<String>::new());
    }

    /// A store that is away is no mistake of the user's, and no end of the server.
    async fn a_store_that_is_away(database) {
        let s3 = S3::start().await;
        let mut rig = Rig::start_with(database, options(&s3)).await;
        let id = id_of(&rig.install(version("1.0.0")).await);
        rig.activate(&id).await;
        drop(s3);
        let upload = rig.request(reqwest::Method::POST, "/plugins").zip(version("9.0.0"));
        let answer = upload.send().await;
        assert!([502, 503].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
        let answer = rig.upgrade(&id, version("2.0.0")).await;
        assert!([502, 503].contains(&answer.status), "{answer:?}");
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.0");
        assert_eq!(rig.get("/plugins").await.expect(200)["plugins"].as_array().unwrap().len(), 1);
        // What was running runs again, from what is here.
        rig.restart().await;
        rig.ready().await;
        rig.until_state(&id, "active").await;
        assert_eq!(rig.call(&id, "version", json!({})).await["version"], "1.0.0");
    }

    /// Its archive was lost: that is said, and hurts nobody else.
    async fn an_archive_that_is_lost(database) {
        let mut rig = Rig::start(database).await;
        let lost = id_of(&rig.install(version("1.0.0")).await);
        let other = id_of(&rig.install(version("2.0.0")).await);
        rig.activate(&other).await;
        rig.end(rustix::process::Signal::TERM).await;
        let digest = digest_of(&version("1.0.0"));
        let packages = crate::database::paths_with(&rig.data(), &digest);
        assert!(!packages.is_empty(), "the check looks for the wrong thing");
        for path in packages {
            let path = std::path::PathBuf::from(path);
            if path.is_dir() { std::fs::remove_dir_all(&path).unwrap() } else { std::fs::remove_file(&path).unwrap() }
        }
        rig.start_again().await;
        rig.ready().await;
        rig.until_state(&other, "active").await;
        let list = rig.get("/plugins").await.expect(200);
        assert_eq!(list["plugins"].as_array().unwrap().len(), 2, "{list:#}");
        let answer = rig.set_active(&lost, "active").await;
        assert!(answer.status >= 400 && answer.status != 500, "{answer:?}");
        answer.problem(answer.status);
        let plugin = rig.plugin(&lost).await;
        assert!(plugin["problem"].is_string(), "{plugin:#}");
        let answer = rig.get(&format!("/plugins/{lost}/package")).await;
        assert!(answer.status >= 400 && answer.status != 500, "{answer:?}");
        // A package puts it right.
        rig.upgrade(&lost, version("1.0.0")).await.expect(200);
        rig.activate(&lost).await;
        assert_eq!(rig.call(&lost, "version", json!({})).await["version"], "1.0.0");
    }
}

fn digest_of(archive: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(archive)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
