//! Archives that mean harm, or might: each is refused with its reasons, before anything is written.

mod support;

use jackfield_package::Limits;
use support::{Raw, accepted, archive, check, deflate, deflated, file, folder, names, package};
use support::{refused, refused_by, with_mode};

#[test]
fn names_that_are_not_names_below_a_folder() {
    let cases: &[(&str, &str)] = &[
        ("../evil", "leads out of the folder: it has a `..`"),
        ("a/../../evil", "leads out of the folder: it has a `..`"),
        // The original lets this one through, since it stays inside. Nobody means it.
        ("a/../b", "leads out of the folder: it has a `..`"),
        ("..", "leads out of the folder: it has a `..`"),
        ("/etc/passwd", "is an absolute path"),
        (
            "a\\b",
            "has a backslash; names in an archive are separated by slashes",
        ),
        ("C:evil", "begins with a drive letter"),
        ("c:/evil", "begins with a drive letter"),
        ("", "is an empty name"),
        ("a\0b", "has a control character"),
        ("a\nb", "has a control character"),
        ("a\x7fb", "has a control character"),
        ("a\u{85}b", "has a control character"),
        ("a//b", "has an empty part or a `.` in it"),
        ("a/./b", "has an empty part or a `.` in it"),
        ("a/.", "has an empty part or a `.` in it"),
        ("/", "is an absolute path"),
        (&"a/".repeat(65), "is too long or too deep"),
        (&"a".repeat(256), "is too long or too deep"),
        (
            &format!("{}/b", "a/b".repeat(400)),
            "is too long or too deep",
        ),
    ];
    for (name, why) in cases {
        let raw = if name.ends_with('/') {
            folder(name)
        } else {
            file(name, "x")
        };
        let reasons = refused(package([raw]));
        assert!(
            reasons.contains(&format!("{name:?} {why}")),
            "{name:?}: {reasons:?}"
        );
    }
    let both = refused(package([file("..\\..\\evil", "x")]));
    assert_eq!(both.len(), 2, "{both:?}");

    let latin = Raw {
        name: b"caf\xe9".to_vec(),
        ..file("", "x")
    };
    assert_eq!(refused(package([latin])), ["\"caf\u{fffd}\" is not UTF-8"]);
    let mut extra = b"\x75\x70\x0a\x00\x01\0\0\0\0other".to_vec();
    let twofold = Raw {
        extra: extra.clone(),
        ..file("inner", "x")
    };
    assert_eq!(
        refused(package([twofold])),
        ["\"inner\" has another name in its Unicode field"]
    );
    extra.splice(9.., *b"inner");
    accepted(package([Raw {
        extra,
        ..file("inner", "x")
    }]));
}

/// The original makes files of links that hold the link's text; a plugin could also leave links in
/// its folder, and an update wrote through them.
#[test]
fn what_is_neither_file_nor_folder() {
    for (mode, kind) in [
        (0o120_777, "a symbolic link"),
        (0o020_666, "a device"),
        (0o060_666, "a device"),
        (0o010_644, "a named pipe"),
        (0o140_644, "a socket"),
        (0o150_644, "of an unknown kind"),
        (0o040_755, "a folder with the name of a file"),
    ] {
        // Whoever wrote it: the type alone counts.
        for host in [3, 0, 19] {
            let raw = Raw {
                host,
                ..with_mode(file("x", "/etc/passwd"), mode)
            };
            assert_eq!(
                refused(package([raw])),
                [format!(
                    "\"x\" is {kind}; a package holds files and folders only"
                )]
            );
        }
    }
    let file_named_folder = with_mode(file("x/", ""), 0o100_644);
    assert_eq!(refused(package([file_named_folder])).len(), 1);
    assert_eq!(
        refused(package([Raw {
            attributes: 0o040_755 << 16,
            ..file("x/", "content")
        }])),
        ["\"x/\" is a folder with content"]
    );
}

#[test]
fn names_that_are_one_on_disk() {
    for (entries, expected) in [
        (
            vec![file("a", "1"), file("a", "2")],
            vec!["\"a\" is there twice"],
        ),
        (
            vec![folder("a/"), folder("a/")],
            vec!["\"a\" is there twice"],
        ),
        (
            vec![file("a", "1"), file("A", "2")],
            vec!["\"A\" and \"a\" differ by case alone"],
        ),
        (
            vec![file("x/straße", "1"), file("X/STRASSE", "2")],
            vec!["\"X/STRASSE\" and \"x/straße\" differ by case alone"],
        ),
        (
            vec![file("a", "1"), file("a/b", "2")],
            vec!["\"a\" is both a file and a folder"],
        ),
        (
            vec![file("A/b/c", "1"), file("a", "2")],
            vec!["\"a\" is both a file and a folder"],
        ),
        (
            vec![file("a", "1"), folder("a/")],
            vec!["\"a\" is both a file and a folder"],
        ),
        (
            vec![file("manifest.json", "{}")],
            vec![
                "\"manifest.json\" is there twice",
                "several manifests: manifest.json and manifest.json; exactly one is expected",
            ],
        ),
    ] {
        assert_eq!(refused(package(entries)), expected);
    }
    // Folders may be spelled in two ways as long as nothing in them meets.
    accepted(package([file("Lib/a", "1"), file("lib/b", "2")]));
}

#[test]
fn encryption_and_foreign_compression() {
    for (flags, method) in [(1, 0), (0x41, 8), (0x2000, 0), (0, 99)] {
        let raw = Raw {
            flags,
            method,
            ..file("a", "x")
        };
        assert_eq!(refused(package([raw])), ["\"a\" is encrypted"]);
    }
    for method in [1, 9, 12, 14, 93, 95] {
        let raw = Raw {
            method,
            ..file("a", "x")
        };
        let expected =
            format!("\"a\" is compressed by method {method}; stored and deflated files are read");
        assert_eq!(refused(package([raw])), [expected]);
    }
}

const SMALL: Limits = Limits {
    archive_bytes: 100_000,
    manifest_bytes: 1024,
    files: 5,
    entries: 8,
    file_bytes: 20_000,
    total_bytes: 50_000,
    name_bytes: 20,
    name_parts: 3,
};

#[test]
fn too_many_and_too_large() {
    let files = |count: usize| (0..count).map(|i| file(&format!("f{i}"), "x"));
    jackfield_package::Package::check(package(files(3)), &SMALL).unwrap();
    assert_eq!(
        refused_by(package(files(4)), &SMALL),
        ["the archive has 6 files; 5 are allowed"]
    );
    // The original counts files only, and makes as many folders as one likes.
    let folders = (0..7).map(|i| folder(&format!("d{i}/")));
    assert_eq!(
        refused_by(package(folders), &SMALL),
        ["the archive has 9 entries; 8 are allowed"]
    );
    assert_eq!(
        refused_by(package([file("a", vec![0; 100_000])]), &SMALL),
        [format!(
            "the archive has {} bytes; 100000 are allowed",
            package([file("a", vec![0; 100_000])]).len()
        )]
    );
    assert_eq!(
        refused_by(package([deflated("a", vec![0; 20_001])]), &SMALL),
        ["\"a\" inflates to 20001 bytes or more; 20000 are allowed"]
    );
    let three = ["a", "b", "c"].map(|name| deflated(name, vec![0; 20_000]));
    let total = 60_000 + support::MANIFEST.len() + 17;
    assert_eq!(
        refused_by(package(three), &SMALL),
        [format!(
            "the files inflate to {total} bytes or more; 50000 are allowed"
        )]
    );
    let long = support::MANIFEST.replace("Says hello", &"x".repeat(1000));
    assert_eq!(
        refused_by(
            archive([file("manifest.json", &long), support::program()]),
            &SMALL
        ),
        ["\"manifest.json\" inflates to 1025 bytes or more; 1024 are allowed"]
            .map(|text| text.replace("1025", &long.len().to_string()))
    );
    assert_eq!(
        refused_by(
            package([file("a/b/c/d", ""), file("123456789012345678901", "")]),
            &SMALL
        )
        .len(),
        2
    );
}

/// What a bomb declares is nothing; what comes out of it counts. The original believes what is
/// declared and finds out when it unpacks.
#[test]
fn bombs_that_declare_little() {
    let zeros = vec![0; 1_000_000];
    for declared in [0, 1, 999_999] {
        let bomb = Raw {
            size: declared,
            ..deflated("bomb", &zeros)
        };
        let reasons = refused(package([bomb]));
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].starts_with(&format!(
            "\"bomb\" declares {declared} bytes and inflates to "
        )));
    }
    let less = Raw {
        size: 2_000_000,
        ..deflated("less", &zeros)
    };
    assert_eq!(
        refused(package([less])),
        ["\"less\" declares 2000000 bytes and inflates to 1000000"]
    );
    let stored = Raw {
        size: 3,
        ..file("stored", "abcd")
    };
    assert_eq!(
        refused(package([stored])),
        ["\"stored\" declares 3 bytes and inflates to 4"]
    );
}

/// David Fifield's "better zip bomb": many entries, one and the same data.
#[test]
fn entries_that_share_bytes() {
    let kernel = deflated("a", vec![0; 1000]);
    let twin = Raw {
        same_header_as: Some(2),
        name: b"b".to_vec(),
        local_name: None,
        ..kernel.clone()
    };
    let reasons = refused(package([kernel.clone(), twin]));
    assert!(
        reasons
            .iter()
            .any(|it| it.contains("another name in its header")),
        "{reasons:?}"
    );

    let same = Raw {
        same_header_as: Some(2),
        ..kernel.clone()
    };
    let reasons = refused(package([kernel, same]));
    assert!(
        reasons.contains(&"\"a\" is there twice".to_owned()),
        "{reasons:?}"
    );
    assert!(
        reasons.contains(&"\"a\" shares bytes of the archive with another entry".to_owned()),
        "{reasons:?}"
    );
    // An entry inside of another one.
    let inner = archive([file("in", "x")]);
    let start = 30 + "manifest.json".len() + support::MANIFEST.len();
    let start = start + 30 + "run.sh".len() + 17 + 30 + "out".len();
    let mut bytes = package([file("out", &inner), file("in", "x")]);
    let line = bytes
        .windows(4)
        .rposition(|it| it == b"PK\x01\x02")
        .unwrap();
    bytes[line + 42..line + 46].copy_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
    assert_eq!(
        refused(bytes),
        ["\"in\" shares bytes of the archive with another entry"]
    );
}

#[test]
fn data_that_is_not_what_it_says() {
    let garbage = Raw {
        data: vec![0xff; 20],
        ..deflated("a", "hello")
    };
    assert_eq!(refused(package([garbage])), ["\"a\" cannot be inflated"]);
    let mut cut = deflated("a", "hello hello hello");
    cut.data.pop();
    assert_eq!(refused(package([cut])), ["\"a\" cannot be inflated"]);
    let mut more = deflated("a", "hello");
    more.data.extend(b"hidden");
    assert_eq!(refused(package([more])), ["\"a\" cannot be inflated"]);
    let empty = Raw {
        data: Vec::new(),
        ..deflated("a", "")
    };
    assert_eq!(refused(package([empty])), ["\"a\" cannot be inflated"]);
    let wrong = Raw {
        crc: 1,
        ..file("a", "hello")
    };
    assert_eq!(
        refused(package([wrong])),
        ["\"a\" has another checksum than it says"]
    );
}

/// One reader goes by the directory, another by the headers: they must not see two archives.
#[test]
fn headers_that_contradict_the_directory() {
    let header = |what| {
        [format!(
            "\"a\" has another {what} in its header than in the archive's directory"
        )]
    };
    let a = || file("a", "hello");
    for (raw, what) in [
        (
            Raw {
                local_name: Some(b"b".to_vec()),
                ..a()
            },
            "name",
        ),
        (
            Raw {
                local_method: Some(8),
                ..a()
            },
            "method",
        ),
        (
            Raw {
                local_flags: Some(1),
                ..a()
            },
            "encryption",
        ),
        (
            Raw {
                local_flags: Some(8),
                ..a()
            },
            "form",
        ),
        (
            Raw {
                local_crc: Some(1),
                ..a()
            },
            "checksum",
        ),
        (
            Raw {
                local_size: Some(1),
                ..a()
            },
            "size",
        ),
    ] {
        assert_eq!(refused(package([raw])), header(what));
    }
    let nowhere = Raw {
        packed: Some(1_000_000),
        size: 1_000_000,
        ..a()
    };
    assert_eq!(
        refused(package([nowhere])),
        ["\"a\" has no header where the archive's directory says"]
    );
    let streamed = Raw {
        flags: 8,
        local_size: Some(0),
        local_crc: Some(0),
        ..a()
    };
    accepted(package([streamed]));
}

#[test]
fn what_is_no_zip_archive() {
    let good = || package([]);
    let not = |bytes: Vec<u8>| {
        let reasons = refused(bytes);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons[0]
            .strip_prefix("not a zip archive: ")
            .expect("another reason")
            .to_owned()
    };
    assert_eq!(not(Vec::new()), "it is too short");
    assert_eq!(
        not(b"this is no archive at all, but long enough".to_vec()),
        "it has no end record; was it cut off?"
    );
    let mut cut = good();
    cut.truncate(cut.len() - 30);
    assert_eq!(not(cut), "it has no end record; was it cut off?");
    let front = [b"#!/usr/bin/env python3\n".to_vec(), good()].concat();
    assert_eq!(
        not(front),
        "its directory is not where it says; was something put in front of it?"
    );
    let mut two = good();
    let at = two.len() - 2;
    two[at..].copy_from_slice(&22u16.to_le_bytes());
    two.extend(b"PK\x05\x06");
    two.extend([0; 18]);
    assert_eq!(not(two), "it has two end records");
    let mut parts = good();
    let at = parts.len() - 18;
    parts[at] = 1;
    assert_eq!(not(parts), "it is one of several parts");
    for (count, why) in [
        (1, "its directory has more lines than it says"),
        (3, "line 3 of its directory is damaged"),
    ] {
        let mut miscounted = good();
        let at = miscounted.len() - 14;
        miscounted[at] = count;
        miscounted[at + 2] = count;
        assert_eq!(not(miscounted), why);
    }
    // A comment is none of our business.
    let mut comment = good();
    let at = comment.len() - 2;
    comment[at..].copy_from_slice(&5u16.to_le_bytes());
    comment.extend(b"hello");
    accepted(comment);
}

/// The directory is held in memory: one that is mostly something else is refused.
#[test]
fn a_directory_of_ballast() {
    let bulky = |count: usize| {
        package((0..count).map(|i| Raw {
            extra: [&b"xx\xfb\xff"[..], &vec![0; 0xfffb]].concat(),
            ..file(&format!("f{i}"), "")
        }))
    };
    // Larger than what is read of an archive's end at once, and no burden.
    accepted(bulky(20));
    assert_eq!(
        refused(bulky(100)),
        ["not a zip archive: its directory has 6558501 bytes; 6291456 are allowed"]
    );
}

/// Two end records, two directories: a reader of the small one would see another archive.
#[test]
fn zip64_records_that_contradict_the_small_one() {
    let with_large = |entries: u64| {
        let bytes = package([]);
        let (body, small) = bytes.split_at(bytes.len() - 22);
        let size = u32::from_le_bytes(small[12..16].try_into().unwrap());
        let start = u32::from_le_bytes(small[16..20].try_into().unwrap());
        let mut bytes = body.to_vec();
        let at = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(entries.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes.extend(u64::from(size).to_le_bytes());
        bytes.extend(u64::from(start).to_le_bytes());
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(at.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(small);
        bytes
    };
    accepted(with_large(2));
    assert_eq!(
        refused(with_large(1)),
        ["not a zip archive: its two end records contradict each other"]
    );
    let mut lost = with_large(2);
    let at = lost.len() - 22 - 20 + 8;
    lost[at] ^= 1;
    assert_eq!(
        refused(lost),
        ["not a zip archive: its end record is damaged"]
    );
}

#[test]
fn manifests_none_several_and_in_the_wrong_place() {
    let manifest = || file("manifest.json", support::MANIFEST);
    let none = "no manifest: one of manifest.json, manifest.yaml and manifest.yml must be in the \
        archive's root, or in the one folder that holds everything";
    assert_eq!(refused(archive([])), [none]);
    assert_eq!(refused(archive([file("a", "x")])), [none]);
    assert_eq!(
        refused(archive([file("x/y/manifest.json", support::MANIFEST)])),
        [format!("{none} (there is x/y/manifest.json)")]
    );
    assert_eq!(
        refused(archive([
            file("x/manifest.json", support::MANIFEST),
            file("y", "")
        ])),
        [format!("{none} (there is x/manifest.json)")]
    );
    assert_eq!(
        refused(archive([
            manifest(),
            file("manifest.yml", "id: x"),
            support::program()
        ])),
        ["several manifests: manifest.json and manifest.yml; exactly one is expected"]
    );
    assert_eq!(refused(archive([folder("manifest.json/")])).len(), 1);

    // The original takes the first one at any depth, so that one below hides the one in the root.
    let deeper = file(
        "a/manifest.json",
        r#"{"id":"evil","author":"e","name":"e"}"#,
    );
    let package = accepted(archive([deeper, manifest(), support::program()]));
    assert_eq!(package.manifest().id, "hello");
}

#[test]
fn manifests_with_problems() {
    let with = |text: &str| refused(archive([file("manifest.json", text)]));
    assert_eq!(
        with(r#"{"id":"a b","author":"x","command":"./no"}"#),
        [
            "manifest.json: id: takes letters, digits and hyphens, and neither begins nor ends with a hyphen",
            "manifest.json: name: is missing",
        ]
    );
    assert_eq!(
        with(r#"{"id":"a","author":"b","name":"c"}"#),
        ["manifest.json: command: is missing; a package needs the command that starts the plugin"]
    );
    assert!(with("not json")[0].starts_with("manifest.json: is not JSON: "));
    for (command, why) in [
        ("./no", "is not in the package"),
        ("a/../../b", "leads out of the package"),
        ("./", "is a folder of the package"),
        ("./d", "is a folder of the package"),
        ("./e/", "is a folder of the package"),
    ] {
        let text = format!(r#"{{"id":"a","author":"b","name":"c","command":"{command}"}}"#);
        let entries = [file("manifest.json", text), file("d/f", ""), folder("e/")];
        assert_eq!(
            refused(archive(entries)),
            [format!("command: {command:?} {why}")]
        );
    }
    let yaml = "id: a\nauthor: b\nname: c\ncommand: d//./f\n";
    let package = accepted(archive([file("manifest.yaml", yaml), file("d/f", "")]));
    assert_eq!(package.command_file(), Some("d/f"));
    assert_eq!(package.manifest_file(), "manifest.yaml");
}

#[test]
fn every_reason_is_listed_at_once() {
    let reasons = refused(archive([
        file("../a", "1"),
        with_mode(file("b", "/etc"), 0o120_777),
        Raw {
            flags: 1,
            ..file("c", "1")
        },
        Raw {
            size: 9,
            ..deflated("d", "1")
        },
        file("e", "1"),
        file("E", "1"),
        file("manifest.json", "{}"),
    ]));
    assert_eq!(
        reasons,
        [
            "\"../a\" leads out of the folder: it has a `..`",
            "\"b\" is a symbolic link; a package holds files and folders only",
            "\"c\" is encrypted",
            "\"E\" and \"e\" differ by case alone",
            "\"d\" declares 9 bytes and inflates to 1",
            "manifest.json: id: is missing",
            "manifest.json: author: is missing",
            "manifest.json: name: is missing",
            "manifest.json: command: is missing; a package needs the command that starts the plugin",
        ]
    );
    let many = refused(package((0..500).map(|i| file(&format!("../{i}"), ""))));
    assert_eq!(many.len(), 101);
    assert_eq!(many[100], "and 400 more");
    let text = check(archive([])).unwrap_err().to_string();
    assert!(
        text.starts_with("the package is refused:\n  no manifest"),
        "{text}"
    );
}

/// The three that the original's own tests upload.
#[test]
fn the_invalid_uploads_of_the_original() {
    assert_eq!(refused(b"this is not a zip file".to_vec()).len(), 1);
    assert_eq!(refused(archive([file("readme.txt", "hi")])).len(), 1);
    assert_eq!(
        refused(archive([file("manifest.json", "{\"id\": ")])).len(),
        1
    );
}

#[test]
fn one_enclosing_folder_is_taken_off() {
    let package = accepted(archive([
        folder("hello-1.0/"),
        file("hello-1.0/manifest.json", support::MANIFEST),
        file("hello-1.0/run.sh", "#!/bin/sh\n"),
        folder("hello-1.0/data/"),
        file("hello-1.0/lib/x", ""),
        file("__MACOSX/hello-1.0/._run.sh", "x"),
        file("hello-1.0/.DS_Store", "x"),
    ]));
    assert_eq!(names(&package), ["lib/x", "manifest.json", "run.sh"]);
    assert_eq!(package.folders(), ["data"]);
    assert_eq!(package.manifest_file(), "manifest.json");
    assert_eq!(
        support::warnings(&package),
        [
            "2 entries such as \"__MACOSX/hello-1.0/._run.sh\" are left out",
            "run.sh: is the command and is not executable in the archive; it is made so",
        ]
    );
}

#[test]
fn a_command_that_is_meant_to_be_here_gets_a_word() {
    let with = |command: &str| {
        let text = support::MANIFEST.replace("./run.sh", command);
        let package = accepted(archive([file("manifest.json", text), support::program()]));
        assert_eq!(package.command_file(), None);
        support::warnings(&package)
    };
    assert_eq!(with("python3"), [""; 0]);
    assert_eq!(
        with("run.sh"),
        ["command: \"run.sh\" is looked for in PATH; did you mean \"./run.sh\"?"]
    );
    assert_eq!(
        with("/usr/bin/env"),
        ["command: \"/usr/bin/env\" is not in the package"]
    );
}

#[test]
fn a_real_bomb_is_stopped_by_its_total() {
    // 60 files of 5 MiB, each a few kilobytes.
    let limits = Limits::default();
    let zeros = vec![0; 5 << 20];
    let data = deflate(&zeros);
    let sum = support::crc(&zeros);
    let bombs = (0..60).map(|i| Raw {
        method: 8,
        data: data.clone(),
        size: 5 << 20,
        crc: sum,
        ..file(&format!("b{i}"), "")
    });
    let reasons = refused_by(package(bombs.clone()), &limits);
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("209715200 are allowed"), "{reasons:?}");
    // Lying about it helps nobody: nothing is inflated beyond what is declared.
    let liars = bombs.map(|bomb| Raw { size: 1, ..bomb });
    assert_eq!(refused_by(package(liars), &limits).len(), 60);
}
