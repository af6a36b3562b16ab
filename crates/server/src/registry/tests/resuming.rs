//! A server comes back after one that was killed.

use jackfield::package::Digest;
use jackfield::{ActiveState, InstallationId, ReportedState};
use jackfield_testkit::{Program, alive_with, eventually, manifest, within};
use serde_json::json;

use super::fixture::{Bench, archive, by, home, state};
use crate::registry::{Progress, StateError};

#[tokio::test]
async fn what_is_wanted_runs_again_and_what_is_left_over_goes() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let wanted = bench.install("1", &["--one"]).await.record.id;
    let idle = bench.install("1", &["--two"]).await.record.id;
    let start =
        bench
            .registry
            .set_active_state(wanted, ActiveState::Active, "bob", Progress::none());
    within(start).await.unwrap();
    let document = manifest(json!({}));
    let (external, token) = bench
        .registry
        .install_external(&document, by("ann"))
        .await
        .unwrap();
    let external = external.record.id;
    // Of an upgrade that was killed, and of a removal.
    let stray = archive("stray", &[], json!({}));
    let crate::registry::Upload::File(file) = bench.file(&stray) else {
        unreachable!()
    };
    let packages = bench.registry.parts().packages.clone();
    packages.put(Digest::of(&stray), file).await.unwrap();
    let gone = home(folder.path(), InstallationId::new());
    std::fs::create_dir_all(gone.join("state")).unwrap();
    let kept = folder.path().join("plugins").join("no-installation");
    std::fs::create_dir_all(&kept).unwrap();
    drop(packages);
    bench.kill().await;
    let mark = folder.path().display().to_string();
    eventually(
        std::time::Duration::from_secs(20),
        "the plugins die with it",
        || alive_with(&mark).is_empty(),
    )
    .await;

    let bench = Bench::with(folder.path(), |config| config.parallel_activations = 1).await;
    within(bench.registry.resume()).await.unwrap();
    bench.until(wanted, ReportedState::Active).await;
    assert_eq!(bench.seen(wanted).await["orders"][0], "--one");
    assert_eq!(state(&bench.get(idle).await), ReportedState::Inactive);
    let _program = Program::dial(&bench.registry.parts().host, &token).await;
    bench.until(external, ReportedState::Active).await;
    assert!(!gone.exists());
    assert!(
        kept.exists(),
        "what is no installation's folder is not ours"
    );
    assert!(!bench.archives().await.contains(&Digest::of(&stray)));
    assert_eq!(bench.archives().await.len(), 2);
    // Once more, as after a failure in the middle.
    within(bench.registry.resume()).await.unwrap();
    assert_eq!(bench.registry.list().await.unwrap().0.len(), 3);
    bench.close().await;
}

#[tokio::test]
async fn one_whose_package_is_gone_is_listed_with_its_problem_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let lost = bench.install("1", &["--lost"]).await;
    let fine = bench.install("1", &["--fine"]).await.record.id;
    for id in [lost.record.id, fine] {
        let store = &bench.registry.parts().store;
        store.set_wanted(id, ActiveState::Active).await.unwrap();
    }
    let packages = &bench.registry.parts().packages;
    packages.remove(lost.package.unwrap().digest).await.unwrap();
    bench.close().await;

    let bench = Bench::open(folder.path()).await;
    within(bench.registry.resume()).await.unwrap();
    bench.until(fine, ReportedState::Active).await;
    let (installed, _) = bench.registry.list().await.unwrap();
    let found = installed
        .iter()
        .find(|one| one.record.id == lost.record.id)
        .unwrap();
    assert!(found.status.is_none());
    let problem = found.problem.clone().unwrap();
    assert!(
        problem.starts_with("Plugin file not found in storage"),
        "{problem}"
    );
    let id = lost.record.id;
    let failed = bench.registry.restart(id, "bob", Progress::none()).await;
    assert!(matches!(failed, Err(StateError::Packages(_))), "{failed:?}");
    // The same archive again mends it.
    let upload = bench.upload("1", &["--lost"], json!({}));
    let mended = bench
        .registry
        .upgrade(id, upload, by("bob"), Progress::none());
    let mended = within(mended).await.unwrap();
    assert_eq!(state(&mended), ReportedState::Active);
    assert_eq!(mended.problem, None);
    bench.close().await;
}

#[tokio::test]
async fn whoever_lost_the_database_finds_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let id = bench.install("1", &[]).await.record.id;
    let kept = home(folder.path(), id);
    std::fs::create_dir_all(kept.join("state")).unwrap();
    bench.close().await;
    let lost = folder.path().join("lost");
    std::fs::create_dir(&lost).unwrap();
    let database = || {
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("test.db"))
    };
    for file in database() {
        std::fs::rename(file.path(), lost.join(file.file_name())).unwrap();
    }
    let bench = Bench::open(folder.path()).await;
    within(bench.registry.resume()).await.unwrap();
    assert_eq!(bench.archives().await.len(), 1);
    assert!(kept.exists());
    bench.close().await;
    for file in database() {
        std::fs::remove_file(file.path()).unwrap();
    }
    for file in std::fs::read_dir(&lost).unwrap().flatten() {
        std::fs::rename(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let bench = Bench::open(folder.path()).await;
    within(bench.registry.resume()).await.unwrap();
    assert_eq!(bench.get(id).await.problem, None);
    bench.close().await;
}
