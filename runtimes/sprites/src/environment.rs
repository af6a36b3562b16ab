//! The environment of a process, which the service does not add to but replaces.

use std::collections::BTreeMap;

use jackfield_wire::env;

/// What a sprite gives its own programs.
pub(crate) fn base() -> BTreeMap<String, String> {
    let path = "/home/sprite/.local/bin:/.sprite/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    [
        ("PATH", path),
        ("HOME", "/home/sprite"),
        ("USER", "sprite"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// `KEY=VALUE` for each: the operator's over the base, what leads back to the host over both.
pub(crate) fn complete(
    base: &BTreeMap<String, String>,
    operator: &BTreeMap<String, String>,
    rpc_url: &str,
    state: &str,
) -> Vec<String> {
    let mut all = base.clone();
    all.extend(operator.clone());
    for (key, value) in [
        (env::RPC_URL, rpc_url),
        (env::STORYDEN_RPC_URL, rpc_url),
        (env::STATE_DIR, state),
    ] {
        all.insert(key.to_owned(), value.to_owned());
    }
    lines(&all)
}

/// Each as `KEY=VALUE`.
pub(crate) fn lines(all: &BTreeMap<String, String>) -> Vec<String> {
    all.iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_whole_and_the_hosts_words_win() {
        let operator = [
            ("LANG", "de_DE.UTF-8"),
            ("STORYDEN_RPC_URL", "ws://else"),
            ("A", "b=c"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let all = complete(&base(), &operator, "wss://host/rpc?token=t", "/s/state");
        for line in [
            "HOME=/home/sprite",
            "LANG=de_DE.UTF-8",
            "A=b=c",
            "JACKFIELD_RPC_URL=wss://host/rpc?token=t",
            "STORYDEN_RPC_URL=wss://host/rpc?token=t",
            "JACKFIELD_STATE_DIR=/s/state",
        ] {
            assert!(all.iter().any(|one| one == line), "{line} in {all:?}");
        }
        assert!(all.iter().any(|one| one.starts_with("PATH=/")));
        assert_eq!(all.iter().filter(|one| one.starts_with("LANG=")).count(), 1);
    }
}
