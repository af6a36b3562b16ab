//! Any bytes as an archive. What is accepted unpacks into its folder, whole, and nowhere else.
//!
//! Bytes that begin like a zip archive are taken as one. All others are instructions for writing
//! one whose offsets and checksums are right, so that the fuzzer gets past them.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jackfield_package::{Limits, Package, UnpackOptions};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    archive_bytes: 64 << 10,
    manifest_bytes: 8 << 10,
    files: 12,
    entries: 16,
    file_bytes: 32 << 10,
    total_bytes: 64 << 10,
    name_bytes: 200,
    name_parts: 8,
};

/// A folder with a root to unpack in and a bystander.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = std::env::temp_dir().join(format!("jackfield-fuzz-{}", std::process::id()));
    fs::create_dir_all(place.join("root")).expect("a temporary folder can be made");
    fs::write(place.join("bystander"), "untouched").expect("and written");
    place
});

fuzz_target!(|data: &[u8]| {
    let bytes = match data.starts_with(b"PK") {
        true => data.to_vec(),
        false => match written(&mut Unstructured::new(data)) {
            Ok(bytes) => bytes,
            Err(_) => return,
        },
    };
    match Package::check(bytes, &LIMITS) {
        Ok(package) => unpack(&package),
        Err(rejected) => assert!(!rejected.reasons.is_empty() && rejected.reasons.len() <= 101),
    }
});

fn unpack(package: &Package) {
    let root = PLACE.join("root");
    let options = UnpackOptions {
        sync: false,
        ..UnpackOptions::default()
    };
    let unpacked = package
        .unpack(&root, &options)
        .expect("what was accepted unpacks");
    let expected: BTreeMap<String, u64> = package
        .files()
        .iter()
        .map(|file| (file.name().to_owned(), file.size()))
        .collect();
    let mut found = BTreeMap::new();
    walk(&unpacked.folder, "", &mut found);
    assert_eq!(found, expected);
    assert!(package.unpack(&root, &options).expect("twice too").reused);
    let beside = |folder: &Path| fs::read_dir(folder).expect("it is there").count();
    assert_eq!(beside(&root), 3, "lock, folder and marker");
    assert_eq!(beside(&PLACE), 2);
    assert_eq!(
        fs::read(PLACE.join("bystander")).expect("it is there"),
        b"untouched"
    );
    fs::remove_dir_all(&unpacked.folder).expect("it is ours");
    fs::remove_file(unpacked.folder.with_extension("ok")).expect("it is ours");
}

fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let name = format!("{prefix}{name}");
        let meta = entry.path().symlink_metadata().expect("it is there");
        if meta.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found);
        } else {
            assert!(meta.is_file(), "{name} is neither file nor folder");
            found.insert(name, meta.len());
        }
    }
}

/// Writes the archive that the instructions ask for.
fn written(ask: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    let mut count: u16 = 0;
    let manifest = ask
        .ratio(9, 10)?
        .then_some(br#"{"id":"a","author":"b","name":"c","command":"x"}"#);
    if let Some(content) = manifest {
        entry(&mut bytes, &mut directory, b"manifest.json", content, ask)?;
        count += 1;
    }
    while !ask.is_empty() && count < 20 {
        let name = name(ask)?;
        let content = content(ask)?;
        entry(&mut bytes, &mut directory, &name, &content, ask)?;
        count += 1;
    }
    let start = u32::try_from(bytes.len()).expect("small");
    let size = u32::try_from(directory.len()).expect("small");
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    Ok(bytes)
}

fn name(ask: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    const PARTS: [&[u8]; 20] = [
        b"a",
        b"A",
        b"b",
        b"..",
        b".",
        b"",
        b"manifest.json",
        b"manifest.yaml",
        b"C:",
        b"\\",
        b"__MACOSX",
        b".DS_Store",
        b"\xff",
        b"\0",
        b"x",
        b"/",
        b"\xc3\x9f",
        b"ss",
        b".tmp-",
        b"a\\..\\b",
    ];
    let mut name = Vec::new();
    for _ in 0..ask.int_in_range(1..=4)? {
        if !name.is_empty() {
            name.push(b'/');
        }
        if ask.ratio(1, 8)? {
            name.extend(ask.arbitrary::<[u8; 3]>()?);
        } else {
            name.extend(*ask.choose(&PARTS)?);
        }
    }
    if ask.ratio(1, 6)? {
        name.push(b'/');
    }
    Ok(name)
}

fn content(ask: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match ask.int_in_range(0..=4)? {
        0 => Vec::new(),
        1 => b"#!/bin/sh\n".to_vec(),
        2 => vec![0; ask.int_in_range(0..=40_000)?],
        _ => {
            let count = ask.int_in_range(0..=32)?;
            ask.bytes(count.min(ask.len()))?.to_vec()
        }
    })
}

fn entry(
    bytes: &mut Vec<u8>,
    directory: &mut Vec<u8>,
    name: &[u8],
    content: &[u8],
    ask: &mut Unstructured<'_>,
) -> Result<()> {
    // One in eight lies about each of these; without instructions left, nothing does.
    let mut odd = || Ok::<_, libfuzzer_sys::arbitrary::Error>(!ask.is_empty() && ask.ratio(1, 8)?);
    let (odd_kind, odd_flags, odd_size, odd_crc, odd_method) =
        (odd()?, odd()?, odd()?, odd()?, odd()?);
    let deflated = !ask.is_empty() && ask.ratio(1, 2)?;
    let data = if deflated {
        deflate(content)
    } else {
        content.to_vec()
    };
    let mut sum = flate2::Crc::new();
    sum.update(content);
    let crc = if odd_crc { ask.arbitrary()? } else { sum.sum() };
    let size = u32::try_from(content.len()).expect("small");
    let size: u32 = if odd_size { ask.arbitrary()? } else { size };
    let packed = u32::try_from(data.len()).expect("small");
    let flags: u16 = if odd_flags { ask.arbitrary()? } else { 0 };
    let method: u16 = if odd_method {
        ask.arbitrary()?
    } else {
        u16::from(deflated) * 8
    };
    let mode: u16 = if odd_kind { ask.arbitrary()? } else { 0o755 };
    let host: u8 = if odd_kind { ask.arbitrary()? } else { 3 };
    let offset = u32::try_from(bytes.len()).expect("small");
    let length = u16::try_from(name.len()).expect("small");

    let common = [
        &flags.to_le_bytes()[..],
        &method.to_le_bytes(),
        &[0; 4],
        &crc.to_le_bytes(),
        &packed.to_le_bytes(),
        &size.to_le_bytes(),
        &length.to_le_bytes(),
        &[0; 2],
    ]
    .concat();
    bytes.extend(b"PK\x03\x04\x14\0");
    bytes.extend(&common);
    bytes.extend(name);
    bytes.extend(data);
    directory.extend(b"PK\x01\x02");
    directory.extend([20, host, 20, 0]);
    directory.extend(&common);
    directory.extend([0; 8]);
    directory.extend(mode.to_le_bytes());
    directory.extend(offset.to_le_bytes());
    directory.extend(name);
    Ok(())
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut packer = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut packed = Vec::with_capacity(data.len() + 64);
    let done = packer.compress_vec(data, &mut packed, flate2::FlushCompress::Finish);
    assert_eq!(done.ok(), Some(flate2::Status::StreamEnd));
    packed
}
