//! Any bytes as a manifest, in both formats. What is valid survives being written and read.
#![no_main]

use jackfield_wire::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for check in [Manifest::check_json(data), Manifest::check_yaml(data)] {
        assert_eq!(check.manifest.is_some(), check.problems.is_empty());
        if let Some(manifest) = check.manifest {
            round_trip(manifest);
        }
    }
});

fn round_trip(mut manifest: Manifest) {
    let mut again = read(&manifest);
    // A link's text may come back in another spelling, but in the same one from then on.
    assert_eq!(read(&again), again);
    for manifest in [&mut manifest, &mut again] {
        let links = manifest.access.iter_mut().flat_map(|it| &mut it.links);
        links.for_each(|link| link.url.clear());
    }
    assert_eq!(again, manifest);
}

fn read(manifest: &Manifest) -> Manifest {
    let json = manifest.to_json();
    let check = Manifest::check_json(json.as_bytes());
    check
        .manifest
        .unwrap_or_else(|| panic!("{json}\n{:?}", check.problems))
}
