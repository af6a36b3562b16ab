//! The page on which the API is read and tried out: all of it is in the server.

use reqwest::Method;

use crate::answer::Answer;
use crate::rig::{Database, Rig};

/// What the page shows, and asks for when it is opened.
const PAGE: &str = "/docs/";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_from_elsewhere() {
    let rig = Rig::start(Database::Sqlite).await;
    let page = found(&rig, PAGE).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    // Whatever a script may have in mind: the browser fetches from this server and nowhere else.
    assert!(policy.contains("default-src 'self'"), "{policy}");
    for directive in policy.split(';') {
        assert!(
            !directive.contains("http") && !directive.contains('*'),
            "{policy}"
        );
    }
    let html = String::from_utf8(page.body).unwrap();
    let assets = attributes(&html);
    assert!(assets.len() >= 6, "{assets:?}");
    for asset in assets {
        let path = asset.strip_prefix("./").unwrap_or(asset);
        assert!(!path.contains(':') && !path.starts_with('/'), "{asset}");
        let file = found(&rig, &format!("{PAGE}{path}")).await;
        if path.ends_with(".css") {
            let css = String::from_utf8(file.body.clone()).unwrap();
            assert!(!css.contains("@import"), "{path}");
            let urls = css.split("url(").skip(1);
            let elsewhere: Vec<&str> = urls
                .map(|rest| rest.split(')').next().unwrap().trim_matches(['"', '\'']))
                .filter(|url| !url.starts_with("data:") && !url.starts_with('#'))
                .collect();
            assert!(elsewhere.is_empty(), "{path}: {elsewhere:?}");
        }
        if path == "swagger-initializer.js" {
            let script = String::from_utf8(file.body).unwrap();
            assert!(!script.contains("://"), "{script}");
            assert!(script.contains("/api/openapi.json"), "{script}");
            // By default a server on the internet is asked whether the description is valid.
            assert!(script.contains("\"validatorUrl\": \"none\""), "{script}");
        }
    }
    found(&rig, "/api/openapi.json").await;
}

async fn found(rig: &Rig, path: &str) -> Answer {
    let answer = rig.plain(Method::GET, path).send().await;
    assert_eq!(answer.status, 200, "{path}");
    assert!(!answer.body.is_empty(), "{path}");
    answer
}

/// What a page's links and scripts refer to.
fn attributes(html: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for name in [" href=\"", " src=\""] {
        let values = html.split(name).skip(1);
        found.extend(values.map(|rest| rest.split('"').next().unwrap()));
    }
    found
}
