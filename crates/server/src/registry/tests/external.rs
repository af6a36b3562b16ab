//! Programs that dial in.

use std::time::Duration;

use jackfield::{ActiveState, InstallationId, ReportedState, Token};
use jackfield_testkit::{Dial, Program, manifest, within};
use serde_json::{Value, json};

use super::fixture::{Bench, by, state};
use crate::registry::{
    InstallError, ManifestError, PackageError, Progress, StateError, TokenError, UpgradeError,
};

async fn expect(bench: &Bench, extra: Value) -> (InstallationId, Token) {
    let document = manifest(extra);
    let (installed, token) = bench
        .registry
        .install_external(&document, by("ann"))
        .await
        .unwrap();
    assert_eq!(state(&installed), ReportedState::Connecting);
    assert_eq!(installed.record.wanted, ActiveState::Active);
    assert!(installed.package.is_none());
    let (hash, prefix) = installed.record.token.clone().unwrap();
    assert_eq!(hash, token.hash());
    assert!(token.reveal().starts_with(&prefix) && prefix.len() < 12);
    (installed.record.id, token)
}

#[tokio::test]
async fn a_rotated_token_ends_the_line_and_the_new_one_opens_another() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let host = bench.registry.parts().host.clone();
    let (id, old) = expect(&bench, json!({})).await;
    let program = Program::dial(&host, &old).await;
    bench.until(id, ReportedState::Active).await;
    let new = within(bench.registry.rotate_token(id, "bob"))
        .await
        .unwrap();
    let end = tokio::time::timeout(Duration::from_secs(3), program.end()).await;
    assert_eq!(end.unwrap().map(|(code, _)| code), Some(1000));
    assert_eq!(Dial::external(&host, &old).send().await.status, 401);
    let _program = Program::dial(&host, &new).await;
    bench.until(id, ReportedState::Active).await;
    let audit = bench.audit(id).await;
    assert_eq!(audit.last().unwrap().action, "token.rotate");
    assert!(
        audit
            .iter()
            .all(|entry| !entry.detail.contains(new.reveal()))
    );
    within(bench.registry.remove(id, "bob")).await.unwrap();
    assert_eq!(Dial::external(&host, &new).send().await.status, 401);
    bench.close().await;
}

#[tokio::test]
async fn another_manifest_ends_the_line_and_keeps_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let host = bench.registry.parts().host.clone();
    let (id, token) = expect(&bench, json!({})).await;
    let program = Program::dial(&host, &token).await;
    bench.until(id, ReportedState::Active).await;
    let next = manifest(json!({"version": "2"}));
    let changed = within(bench.registry.set_manifest(id, &next, "bob"))
        .await
        .unwrap();
    assert_eq!(changed.record.manifest.version, "2");
    assert_eq!(changed.session.as_ref().unwrap().manifest().version, "2");
    assert_eq!(state(&changed), ReportedState::Connecting);
    assert_eq!(
        within(program.end()).await.map(|(code, _)| code),
        Some(1000)
    );
    let _program = Program::dial(&host, &token).await;
    bench.until(id, ReportedState::Active).await;

    let bad = manifest(json!({"name": ""}));
    let refused = bench.registry.set_manifest(id, &bad, "bob").await;
    assert!(
        matches!(refused, Err(ManifestError::Invalid(_))),
        "{refused:?}"
    );
    let grpc = manifest(json!({"transport": "grpc"}));
    let refused = bench.registry.set_manifest(id, &grpc, "bob").await;
    assert!(
        matches!(refused, Err(ManifestError::ExternalGrpc)),
        "{refused:?}"
    );
    let refused = bench.registry.install_external(&grpc, by("ann")).await;
    assert!(
        matches!(refused, Err(InstallError::ExternalGrpc)),
        "{refused:?}"
    );
    bench.until(id, ReportedState::Active).await;
    bench.close().await;
}

#[tokio::test]
async fn what_is_not_for_this_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let (external, _) = expect(&bench, json!({})).await;
    let supervised = bench.install("1", &[]).await.record.id;
    for wanted in [ActiveState::Active, ActiveState::Inactive] {
        let refused = registry
            .set_active_state(external, wanted, "bob", Progress::none())
            .await;
        assert!(matches!(refused, Err(StateError::External)), "{refused:?}");
    }
    assert_eq!(state(&bench.get(external).await), ReportedState::Connecting);
    let refused = registry.restart(external, "bob", Progress::none()).await;
    assert!(matches!(refused, Err(StateError::External)), "{refused:?}");
    let upload = bench.upload("1", &[], json!({}));
    let refused = registry
        .upgrade(external, upload, by("bob"), Progress::none())
        .await;
    assert!(
        matches!(refused, Err(UpgradeError::External)),
        "{refused:?}"
    );
    let refused = registry.package(external, None).await;
    assert!(
        matches!(refused, Err(PackageError::External)),
        "{refused:?}"
    );
    let refused = registry.rotate_token(supervised, "bob").await;
    assert!(
        matches!(refused, Err(TokenError::Supervised)),
        "{refused:?}"
    );
    let refused = registry
        .set_manifest(supervised, &manifest(json!({})), "bob")
        .await;
    assert!(
        matches!(refused, Err(ManifestError::Supervised)),
        "{refused:?}"
    );
    let unknown = InstallationId::new();
    assert!(registry.get(unknown).await.unwrap().is_err());
    let refused = registry.restart(unknown, "bob", Progress::none()).await;
    assert!(
        matches!(refused, Err(StateError::NotFound(_))),
        "{refused:?}"
    );
    bench.close().await;
}
