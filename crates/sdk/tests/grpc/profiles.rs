//! CPU profiles.

use std::io::Read;

use http::{StatusCode, Version};

use crate::lab::Lab;
use crate::wire::{Line, Reply, plain};

async fn get(lab: &Lab, path: &str) -> Reply {
    let mut line = Line::to(lab, Version::HTTP_2).await;
    let mut request = plain("GET", path);
    let token = "s3cret".parse().unwrap();
    request.headers_mut().insert("jackfield-token", token);
    line.ask(request).await
}

#[tokio::test]
async fn a_profile_names_what_ran() {
    let lab = Lab::ready(&[("JACKFIELD_TOKEN", "s3cret")]).await;
    let busy = async {
        loop {
            assert_eq!(get(&lab, "/busy").await.status, StatusCode::OK);
        }
    };
    let profile = tokio::select! {
        profile = get(&lab, "/debug/pprof/profile?seconds=1") => profile,
        () = busy => unreachable!("it goes on for ever"),
    };
    assert_eq!(profile.status, StatusCode::OK, "{profile:?}");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&profile.body[..])
        .read_to_end(&mut plain)
        .unwrap();
    let text = String::from_utf8_lossy(&plain);
    for word in ["samples", "nanoseconds", "tokio-rt-worker", "grpc_lab"] {
        assert!(text.contains(word), "{word}");
    }
    // As the tool itself reads it, where there is one.
    let folder = crate::lab::Folder::new();
    let file = folder.0.join("cpu.pb.gz");
    std::fs::write(&file, &profile.body).unwrap();
    let tool = std::process::Command::new("go")
        .args(["tool", "pprof", "-top"])
        .arg(&file)
        .output();
    if let Ok(tool) = tool {
        let top = String::from_utf8_lossy(&tool.stdout);
        assert!(
            tool.status.success() && top.contains("grpc_lab::busy"),
            "{tool:?}"
        );
    }
}

#[tokio::test]
async fn how_it_was_started_is_told_and_wrong_times_are_not_taken() {
    let lab = Lab::ready(&[("JACKFIELD_TOKEN", "s3cret")]).await;
    let reply = get(&lab, "/debug/pprof/cmdline").await;
    assert!(reply.text().ends_with("grpc_lab"), "{}", reply.text());
    let reply = get(&lab, "/debug/pprof/profile?seconds=0").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let lab = Lab::ready(&[]).await;
    for path in ["/debug/pprof/profile", "/debug/pprof/cmdline"] {
        assert_eq!(get(&lab, path).await.status, StatusCode::NOT_FOUND);
    }
}
