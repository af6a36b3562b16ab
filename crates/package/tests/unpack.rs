//! A package on disk: whole or not there, and nothing beside it touched.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jackfield_package::{Digest, Limits, Package, UnpackError, UnpackOptions, Unpacked, prune};
use support::{accepted, archive, deflated, file, folder, package, program, with_mode};

fn unpack(package: &Package, root: &Path) -> Unpacked {
    package.unpack(root, &UnpackOptions::default()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything below a folder, with its content, sorted.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.push(format!("{name}/"));
                todo.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_package_becomes_a_folder_named_by_its_digest() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("not/there/yet");
    let big = "0123456789".repeat(50_000);
    let package = accepted(package([
        folder("empty/"),
        deflated("a/b/c.txt", &big),
        file("a.txt", "a"),
    ]));
    let unpacked = unpack(&package, &root);
    assert_eq!(unpacked.folder, root.join(package.digest().to_string()));
    assert!(!unpacked.reused);
    assert_eq!(
        tree(&unpacked.folder),
        [
            "a.txt",
            "a/",
            "a/b/",
            "a/b/c.txt",
            "empty/",
            "manifest.json",
            "run.sh"
        ]
    );
    assert_eq!(
        fs::read_to_string(unpacked.folder.join("a/b/c.txt")).unwrap(),
        big
    );
    let digest = package.digest();
    let mut beside: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(
        beside,
        [
            ".lock".to_owned(),
            digest.to_string(),
            format!("{digest}.ok")
        ]
        .map(Into::<std::ffi::OsString>::into)
    );
    assert!(unpack(&package, &root).reused);
}

/// The original applies set-id bits, keeps the modes of older files, and leaves a program without
/// modes unable to run.
#[test]
fn modes_are_safe_and_useful() {
    let root = tempfile::tempdir().unwrap();
    let package = accepted(package([
        with_mode(file("setid", "x"), 0o107_755),
        with_mode(file("secret", "x"), 0o100_600),
        with_mode(file("shut", "x"), 0o100_000),
        with_mode(file("unreadable", "x"), 0o100_200),
        with_mode(file("wide", "x"), 0o100_666),
        with_mode(file("d/tool", "x"), 0o100_775),
    ]));
    let folder = unpack(&package, root.path()).folder;
    for (name, expected) in [
        ("", 0o755),
        ("d", 0o755),
        ("setid", 0o555),
        ("secret", 0o600),
        ("shut", 0o644),
        ("unreadable", 0o600),
        ("wide", 0o666),
        ("d/tool", 0o555),
        ("run.sh", 0o555),
        ("manifest.json", 0o644),
    ] {
        assert_eq!(mode(&folder.join(name)), expected, "{name}");
    }
}

/// In the original a plugin can leave a link in its folder, and the next package writes through it.
#[test]
fn no_link_is_followed_whoever_left_it() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    let root = tempfile::tempdir().unwrap();
    let first = accepted(package([file("d/data", "first"), file("e", "first")]));
    let folder = unpack(&first, root.path()).folder;

    // A file, a folder, the package's folder and its marker, each replaced by a link.
    fs::remove_file(folder.join("e")).unwrap();
    symlink(&victim, folder.join("e")).unwrap();
    assert!(!unpack(&first, root.path()).reused);
    assert!(!victim.exists());
    assert_eq!(fs::read_to_string(folder.join("e")).unwrap(), "first");

    fs::remove_dir_all(folder.join("d")).unwrap();
    // It even holds the same.
    fs::write(outside.path().join("data"), "first").unwrap();
    symlink(outside.path(), folder.join("d")).unwrap();
    assert!(!unpack(&first, root.path()).reused);
    assert_eq!(tree(outside.path()), ["data"]);

    fs::rename(&folder, outside.path().join("moved")).unwrap();
    symlink(outside.path().join("moved"), &folder).unwrap();
    assert!(!unpack(&first, root.path()).reused);
    assert!(
        outside.path().join("moved/e").exists(),
        "only the link is removed"
    );
    assert!(!fs::symlink_metadata(&folder).unwrap().is_symlink());

    let marker = folder.with_extension("ok");
    fs::remove_file(&marker).unwrap();
    symlink(&victim, &marker).unwrap();
    unpack(&first, root.path());
    assert!(!victim.exists());
    assert!(marker.is_file() && !fs::symlink_metadata(&marker).unwrap().is_symlink());
}

/// The original unpacks over what is there, so that files of older packages stay, and a crash in
/// the midst of it leaves a mixture that counts as the old package.
#[test]
fn packages_do_not_mix() {
    let root = tempfile::tempdir().unwrap();
    let first = accepted(package([
        with_mode(file("tool", "1"), 0o100_644),
        file("old", ""),
    ]));
    let second = accepted(package([with_mode(file("tool", "2"), 0o100_755)]));
    let one = unpack(&first, root.path()).folder;
    let two = unpack(&second, root.path()).folder;
    assert_ne!(one, two);
    assert!(!two.join("old").exists());
    assert_eq!(mode(&two.join("tool")), 0o555);
    assert_eq!(fs::read_to_string(one.join("tool")).unwrap(), "1");

    // Cut short: the folder is there, the marker is not.
    fs::remove_file(two.with_extension("ok")).unwrap();
    fs::remove_file(two.join("tool")).unwrap();
    assert!(!unpack(&second, root.path()).reused);
    assert!(two.join("tool").exists());
}

/// In the original a plugin can overwrite its own program and the file that says which package it
/// is, and stays what it made of itself.
#[test]
fn a_program_that_was_changed_is_put_back() {
    let root = tempfile::tempdir().unwrap();
    let package = accepted(package([file("data", "shipped"), file(".sdxlock", "mine")]));
    let folder = unpack(&package, root.path()).folder;
    // Its own files, and data that it changed, are left alone.
    fs::write(folder.join("own"), "x").unwrap();
    fs::write(folder.join("data"), "changed").unwrap();
    assert!(unpack(&package, root.path()).reused);
    assert_eq!(fs::read_to_string(folder.join("data")).unwrap(), "changed");
    assert!(folder.join("own").exists());

    let run = folder.join("run.sh");
    let shipped = fs::read_to_string(&run).unwrap();
    let evil = shipped.replace("exit 0", "exit 1");
    for spoil in [
        &|| fs::write(&run, &evil).unwrap(),
        &|| fs::write(&run, "").unwrap(),
        &|| fs::set_permissions(&run, fs::Permissions::from_mode(0o644)).unwrap(),
        &|| fs::remove_file(&run).unwrap(),
        &|| fs::remove_file(folder.join("data")).unwrap(),
    ] as [&dyn Fn(); 5]
    {
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        spoil();
        assert!(!unpack(&package, root.path()).reused);
        assert_eq!(fs::read_to_string(&run).unwrap(), shipped);
        assert_eq!(mode(&run), 0o555);
    }
}

#[test]
fn a_package_in_a_file_is_read_again_and_must_be_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.zip");
    fs::write(&path, package([])).unwrap();
    let opened = Package::open(&path, &Limits::default()).unwrap();
    assert!(format!("{opened:?}").contains("p.zip"));
    unpack(&opened, &folder.path().join("root"));
    fs::write(&path, package([file("other", "")])).unwrap();
    let error = opened.unpack(&folder.path().join("fresh"), &UnpackOptions::default());
    assert!(
        matches!(error, Err(UnpackError::Changed { .. })),
        "{error:?}"
    );
    // What was unpacked already needs no archive.
    fs::remove_file(&path).unwrap();
    assert!(unpack(&opened, &folder.path().join("root")).reused);
    let error = opened.unpack(&folder.path().join("fresh"), &UnpackOptions::default());
    assert!(matches!(error, Err(UnpackError::Gone { .. })), "{error:?}");
}

/// Not one byte of an archive may change, wherever it is: in data, in what nobody looks at, at the
/// end. What was written until that is known goes.
#[test]
fn an_archive_that_was_changed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.zip");
    let mut good = package([file("a", "stored"), deflated("b", "hello hello hello")]);
    let comment = good.len() - 2;
    good[comment] = 4;
    good.extend(b"note");
    fs::write(&path, &good).unwrap();
    let opened = Package::open(&path, &Limits::default()).unwrap();
    let root = folder.path().join("root");
    let spoiled = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let short = good[..good.len() - 1].to_vec();
    let long = [&good[..], b"x"].concat();
    for bytes in spoiled.chain([short, long]) {
        fs::write(&path, bytes).unwrap();
        let options = UnpackOptions {
            sync: false,
            ..UnpackOptions::default()
        };
        let error = opened.unpack(&root, &options);
        assert!(
            matches!(error, Err(UnpackError::Changed { .. })),
            "{error:?}"
        );
        assert_eq!(tree(&root), [".lock"]);
    }
    fs::write(&path, good).unwrap();
    assert!(!unpack(&opened, &root).reused);
}

#[test]
fn a_file_that_is_too_large_or_no_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let text = Package::open(&path, &Limits::default())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("the archive has 1099511627776 bytes; 52428800 are allowed"),
        "{text}"
    );
    let text = Package::open(folder.path(), &Limits::default())
        .unwrap_err()
        .to_string();
    assert!(text.starts_with("cannot read "), "{text}");
    let text = Package::open(&folder.path().join("none"), &Limits::default()).unwrap_err();
    assert!(text.to_string().starts_with("cannot read "), "{text}");
}

#[test]
fn many_at_once_make_one_folder() {
    let root = tempfile::tempdir().unwrap();
    let package = accepted(package((0..50).map(|i| file(&format!("f{i}"), "x"))));
    let fresh: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| unpack(&package, root.path())))
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(!thread.join().unwrap().reused))
            .sum()
    });
    assert_eq!(fresh, 1);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3);
}

#[test]
fn a_root_that_is_held_by_somebody_else_is_busy() {
    let root = tempfile::tempdir().unwrap();
    let lock = fs::File::create(root.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let options = UnpackOptions {
        patience: Duration::ZERO,
        ..UnpackOptions::default()
    };
    let error = accepted(package([])).unpack(root.path(), &options);
    assert!(matches!(error, Err(UnpackError::Busy { .. })), "{error:?}");
}

#[test]
fn what_cannot_be_written_says_where_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = accepted(package([]))
        .unpack(&file, &UnpackOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot create {}", file.display())
    );
}

#[test]
fn pruning_keeps_the_current_one_and_the_latest() {
    let root = tempfile::tempdir().unwrap();
    let packages: Vec<Package> = (0..5)
        .map(|i| {
            accepted(archive([
                file("manifest.json", support::MANIFEST),
                program(),
                file("n", i.to_string()),
            ]))
        })
        .collect();
    let digests: Vec<Digest> = packages.iter().map(Package::digest).collect();
    let start = SystemTime::now() - Duration::from_secs(1000);
    for (age, package) in packages.iter().enumerate() {
        let marker = unpack(package, root.path()).folder.with_extension("ok");
        let time = start + Duration::from_secs(age as u64);
        fs::File::options()
            .write(true)
            .open(marker)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    // Asked for again, it is the latest.
    assert!(unpack(&packages[0], root.path()).reused);
    let outside = tempfile::tempdir().unwrap();
    let left = root.path().join(format!(".tmp-{}-new-0", digests[0]));
    fs::create_dir_all(left.join("x")).unwrap();
    symlink(outside.path(), root.path().join(".tmp-link")).unwrap();
    fs::write(outside.path().join("stays"), "").unwrap();
    fs::create_dir(root.path().join("state")).unwrap();
    let orphan = root.path().join(format!("{}.ok", Digest::of(b"gone")));
    fs::write(&orphan, "").unwrap();
    let unmarked = root.path().join(Digest::of(b"unmarked").to_string());
    fs::create_dir(&unmarked).unwrap();

    let pruned = prune(root.path(), 2, &digests[1]).unwrap();
    assert_eq!(pruned.kept, [digests[0], digests[4]]);
    let mut removed = pruned.removed.clone();
    removed.sort();
    let mut expected = [digests[2], digests[3], Digest::of(b"unmarked")];
    expected.sort();
    assert_eq!(removed, expected);
    assert!(pruned.failed.is_empty());
    for (digest, there) in digests.iter().zip([true, true, false, false, true]) {
        let folder = root.path().join(digest.to_string());
        assert_eq!(folder.exists(), there, "{digest}");
        assert_eq!(folder.with_extension("ok").exists(), there, "{digest}");
    }
    assert!(!left.exists() && !orphan.exists() && !unmarked.exists());
    assert!(outside.path().join("stays").exists());
    assert!(root.path().join("state").exists());
    assert_eq!(
        prune(&root.path().join("none"), 2, &digests[1])
            .unwrap()
            .removed,
        []
    );
}
