//! What a plugin is born with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jackfield_grpc::{Level, Spawn};
use jackfield_testkit::grpc::{Bed, KvClient, get};
use jackfield_testkit::{Again, as_program, tell, until_file, within};
use serde_json::{Value, json};

use crate::RIG;

/// Spawns, and gives what the plugin wrote of its birth.
async fn birth(bed: &Bed, change: impl FnOnce(Spawn) -> Spawn) -> Value {
    let plugin = within(change(bed.spawn(RIG, "--birth @/birth")).spawn::<KvClient>()).await;
    let plugin = plugin.unwrap();
    let birth = serde_json::from_str(&until_file(bed.file("birth")).await).unwrap();
    within(plugin.stop()).await;
    std::fs::remove_file(bed.file("birth")).unwrap();
    birth
}

fn environment(birth: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(birth["environment"].clone()).unwrap()
}

/// Not a test of its own: a host with secrets, and with what a host above it had left.
#[tokio::test]
async fn host_with_secrets() {
    let Some(folder) = as_program() else { return };
    let spawn = Spawn::new("rig", RIG).folder(&folder);
    let file = folder.join("birth");
    let plugin = spawn
        .arg("--birth")
        .arg(&file)
        .env("OWN", "väl ue=1\n")
        .spawn::<KvClient>();
    let plugin = within(plugin).await.unwrap();
    let birth: Value = serde_json::from_str(&until_file(&file).await).unwrap();
    tell(&json!({"birth": birth, "uri": plugin.endpoint.uri().to_string()}));
    within(plugin.stop()).await;
}

/// The list, the plugin's own, and nothing else: neither the host's secrets nor what was meant for the host itself.
#[tokio::test]
async fn only_what_is_allowed() {
    let bed = Bed::default();
    let mut program = Again::run("environment::host_with_secrets", bed.path(), |command| {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/home/x")
            .env("LANG", "C.UTF-8")
            .env("LC_TIME", "sv_SE")
            .env("TZ", "UTC")
            .env("TMPDIR", "/tmp")
            .env("AWS_SECRET_ACCESS_KEY", "hush")
            .env("LD_LIBRARY_PATH", "/tmp")
            .env("RUST_LOG", "warn")
            .env("FTL_NAME", "above")
            .env("FTL_BIND", "http://127.0.0.1:1")
            .env("FTL_WORKING_DIR", "/above/.ftl")
            .env("LOG_LEVEL", "error")
            .env("JACKFIELD_TOKEN", "above")
            .env("JACKFIELD_LISTEN_FD", "77");
    });
    let told = program.told().await;
    assert!(program.ended_well().await);
    let mut environment = environment(&told["birth"]);
    let mut take = |name: &str| {
        environment
            .remove(name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(take("PATH"), "/usr/bin:/bin");
    assert_eq!(take("HOME"), "/home/x");
    assert_eq!(take("LANG"), "C.UTF-8");
    assert_eq!(take("LC_TIME"), "sv_SE");
    assert_eq!(take("TZ"), "UTC");
    assert_eq!(take("TMPDIR"), "/tmp");
    assert_eq!(take("OWN"), "väl ue=1\n");
    assert_eq!(
        take("FTL_BIND"),
        told["uri"].as_str().unwrap().trim_end_matches('/')
    );
    assert_eq!(take("FTL_WORKING_DIR"), bed.file(".ftl"));
    assert_eq!(take("LOG_LEVEL"), "DEBUG");
    assert_eq!(take("JACKFIELD_LISTEN_FD"), "3");
    assert!(take("JACKFIELD_TOKEN").len() >= 32);
    assert!(take("JACKFIELD_LAUNCH").len() >= 16);
    assert!(environment.is_empty(), "{environment:?}");
}

/// A list of the caller's instead.
#[tokio::test]
async fn another_list() {
    let bed = Bed::default();
    let birth = birth(&bed, |spawn| spawn.inherit_env(["HO*", "NO_SUCH_VARIABLE"])).await;
    let environment = environment(&birth);
    assert_eq!(environment["HOME"], std::env::var("HOME").unwrap());
    assert!(!environment.contains_key("PATH") && !environment.contains_key("NO_SUCH_VARIABLE"));
}

/// The caller's variables come last, so that they win over those of the contract and over inherited ones.
#[tokio::test]
async fn the_callers_variables_win() {
    let bed = Bed::default();
    let birth = birth(&bed, |spawn| {
        spawn
            .env("LOG_LEVEL", "error")
            .env("PATH", "/only/here")
            .envs([("FTL_WORKING_DIR", "/elsewhere"), ("TWICE", "first")])
            .env("TWICE", "second")
            .env("EMPTY", "")
    })
    .await;
    let environment = environment(&birth);
    assert_eq!(environment["LOG_LEVEL"], "error");
    assert_eq!(environment["PATH"], "/only/here");
    assert_eq!(environment["FTL_WORKING_DIR"], "/elsewhere");
    assert_eq!(environment["TWICE"], "second");
    assert_eq!(environment["EMPTY"], "");
}

/// Plugins are told to be talkative, so that the host may filter; only a host that wants it all asks for more.
#[tokio::test]
async fn levels() {
    for (host, told) in [
        (Level::Trace, "trace"),
        (Level::Debug, "DEBUG"),
        (Level::Info, "DEBUG"),
        (Level::Warn, "DEBUG"),
        (Level::Error, "DEBUG"),
    ] {
        let bed = Bed::default();
        let birth = birth(&bed, |spawn| spawn.log_level(host)).await;
        assert_eq!(environment(&birth)["LOG_LEVEL"], told, "{host:?}");
    }
}

/// A folder relative to the host's: the plugin runs there, and is told where that is from anywhere.
#[tokio::test]
async fn a_relative_folder() {
    let bed = Bed::default();
    let up = std::env::current_dir().unwrap().components().count() - 1;
    let mut relative: PathBuf = std::iter::repeat_n("..", up).collect();
    relative.push(bed.path().strip_prefix("/").unwrap());
    let birth = birth(&bed, |spawn| spawn.folder(&relative)).await;
    let real = std::fs::canonicalize(bed.path()).unwrap();
    assert_eq!(birth["folder"], real.display().to_string());
    let working = PathBuf::from(&environment(&birth)["FTL_WORKING_DIR"]);
    assert!(working.is_absolute(), "{}", working.display());
    assert_eq!(std::fs::canonicalize(working).unwrap(), real.join(".ftl"));
}

/// Arguments are passed on as they are; what is inherited is one socket, and nothing else of the host's.
#[tokio::test]
async fn arguments_and_descriptors() {
    let bed = Bed::default();
    let odd = "a b\t'\"\\\n ö $HOME";
    let birth = birth(&bed, |spawn| spawn.arg("--identity").arg(odd)).await;
    assert_eq!(birth["arguments"].as_array().unwrap().last().unwrap(), odd);
    let files: Vec<&str> = birth["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        files.iter().any(|file| file.starts_with("3 socket:")),
        "{files:?}"
    );
    // Its own runtime has some: none of them a file or a pipe of ours.
    assert!(
        files
            .iter()
            .all(|file| !file.contains("pipe:") && !file.contains("/tmp")),
        "{files:?}"
    );
}

/// Each spawn has its own, every request carries it, and nothing that is printed does.
#[tokio::test]
async fn tokens() {
    let bed = Bed::default();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let spawn = bed.spawn(RIG, "--birth @/birth");
        let shown = format!("{spawn:?}");
        let plugin = within(spawn.spawn::<KvClient>()).await.unwrap();
        let birth = serde_json::from_str(&until_file(bed.file("birth")).await).unwrap();
        let token = environment(&birth)["JACKFIELD_TOKEN"].clone();
        let headers: Value =
            serde_json::from_str(&get(&plugin.client, "headers").await.unwrap()).unwrap();
        assert_eq!(headers["jackfield-token"], token);
        assert_eq!(
            headers["content-type"].as_str().unwrap().split('+').next(),
            Some("application/grpc")
        );
        assert_eq!(headers["te"], "trailers");
        let debug = format!(
            "{plugin:?} {:?} {:?} {shown}",
            plugin.endpoint,
            plugin.endpoint.channel()
        );
        assert!(!debug.contains(&token), "{debug}");
        within(plugin.stop()).await;
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    // Nor does an error.
    let spawn = bed.spawn(RIG, "--birth @/birth --ping-fails 13");
    let spawn = spawn.start_timeout(std::time::Duration::from_millis(500));
    let error = within(spawn.spawn::<KvClient>()).await.err().unwrap();
    let birth = serde_json::from_str(&until_file(bed.file("birth")).await).unwrap();
    let token = environment(&birth)["JACKFIELD_TOKEN"].clone();
    assert!(!format!("{error} {error:?} {error:#?}").contains(&token));
}
