//! Whether all is there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use jackfield_testkit::{alive_with, tree_of};

use crate::client::{Client, adopted, publish};
use crate::model::{Installed, Published, World};
use crate::rig::{Rig, eventually, id_of};

/// How many versions of a plugin are kept.
const KEPT: usize = 5;

/// Every change that was acknowledged is there. What was lost is known from here on.
pub(crate) async fn settle(rig: &Rig, world: &World, clients: &mut [Client]) {
    let list = rig.get("/plugins").await.expect(200);
    assert_eq!(list["unreadable"], json!([]), "{list:#}");
    let plugins = list["plugins"].as_array().unwrap();
    let mut there: BTreeMap<String, &Value> = plugins
        .iter()
        .map(|plugin| (id_of(plugin), plugin))
        .collect();
    for client in clients.iter_mut() {
        let mut kept = Vec::new();
        for mut known in std::mem::take(&mut client.installed) {
            let found = there.remove(&known.id);
            let what = format!("whether {} ({}) is there", known.id, known.name);
            known.exists.settle(found.is_some(), &what);
            if let Some(plugin) = found {
                same(rig, &mut known, plugin).await;
                kept.push(known);
            }
        }
        client.installed = kept;
        for lost in std::mem::take(&mut client.lost) {
            let found = there
                .iter()
                .find(|(_, plugin)| plugin["manifest"]["id"] == lost.name);
            let Some((id, plugin)) = found.map(|(id, plugin)| (id.clone(), *plugin)) else {
                continue;
            };
            there.remove(&id);
            let mut new = adopted(&lost, id, world.now());
            same(rig, &mut new, plugin).await;
            client.installed.push(new);
        }
        for at in 0..client.installed.len() {
            if client.installed[at].token_lost {
                let rotated = client.rotate(rig, world, at).await;
                assert!(rotated.is_ok(), "the server is gone");
            }
        }
    }
    assert!(there.is_empty(), "nobody knows of {there:#?}");
    settle_events(rig, world).await;
    settle_methods(rig, clients).await;
    for client in clients {
        let Some((_, token, there)) = &mut client.token else {
            continue;
        };
        let whoami = rig
            .plain(Method::GET, "/api/whoami")
            .token(token)
            .send()
            .await;
        assert!(matches!(whoami.status, 200 | 401), "{whoami:?}");
        there.settle(whoami.status == 200, "whether a token is there");
        if whoami.status == 401 {
            client.token = None;
        }
    }
}

async fn same(rig: &Rig, known: &mut Installed, plugin: &Value) {
    let (id, name) = (known.id.clone(), known.name.clone());
    let what = |what: &str| format!("{what} of {id} ({name})");
    let text = |name: &str| plugin[name].as_str().unwrap().to_owned();
    assert!(
        plugin.get("problem").is_none_or(Value::is_null),
        "{plugin:#}"
    );
    known.version.settle(text("version"), &what("the version"));
    let active = plugin["wanted"] == "active";
    known.active.settle(active, &what("what is wanted"));
    let configuration = rig.get(&format!("/plugins/{id}/configuration")).await;
    let secrets = configuration
        .header("Jackfield-Secrets-Set")
        .unwrap_or_default();
    let configuration = configuration.expect(200);
    let has_secret = configuration.get("greeting").is_some();
    assert_eq!(
        secrets,
        if has_secret { "key" } else { "" },
        "{}",
        what("the secrets")
    );
    known
        .configuration
        .settle(configuration, &what("the configuration"));
    let access = rig.get(&format!("/plugins/{id}/access")).await.expect(200);
    let granted = serde_json::from_value(access["granted"].clone()).unwrap();
    known.granted.settle(granted, &what("what is granted"));
}

async fn settle_methods(rig: &Rig, clients: &mut [Client]) {
    let methods = rig.get("/methods").await.expect(200);
    let methods = methods["methods"].as_array().unwrap();
    for client in clients {
        let name = client.method();
        let found = methods.iter().find(|method| method["name"] == name);
        let url = found.map(|method| method["url"].as_str().unwrap().to_owned());
        client.mapped.settle(url, &name);
    }
}

/// What was published with a key is published again with it, where the answer was lost.
async fn settle_events(rig: &Rig, world: &World) {
    let lost = |event: &Published| event.number.is_none() && event.key.is_some();
    let events = world.events.lock().unwrap().clone();
    for (at, event) in events
        .into_iter()
        .enumerate()
        .filter(|(_, event)| lost(event))
    {
        let (event, gone) = publish(rig, world, event).await;
        assert!(gone.is_ok(), "the server is gone");
        world.events.lock().unwrap()[at] = event.unwrap();
    }
}

/// The files are those of what is installed.
pub(crate) async fn files(rig: &Rig, clients: &[Client]) {
    let mut used = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for known in clients.iter().flat_map(|client| &client.installed) {
        ids.insert(known.id.clone());
        if known.dialer.is_some() {
            continue;
        }
        let versions = rig
            .get(&format!("/plugins/{}/versions", known.id))
            .await
            .expect(200);
        let versions = versions["versions"].as_array().unwrap();
        let most = KEPT + known.unpruned;
        assert!((1..=most).contains(&versions.len()), "{versions:#?}");
        let current: Vec<_> = versions.iter().filter(|v| v["current"] == true).collect();
        assert_eq!(current.len(), 1, "{versions:#?}");
        assert_eq!(current[0]["version"], json!(known.version.known()));
        for version in versions {
            let name = version["version"].as_str().unwrap().to_owned();
            assert!(
                known.versions.contains(&name),
                "{name} of {} never counted: {:?}",
                known.id,
                known.versions
            );
            used.insert(format!("{}.zip", version["digest"].as_str().unwrap()));
        }
    }
    let mut archives = names(&rig.data().join("packages"));
    assert!(archives.remove("incoming"));
    assert_eq!(archives, used, "archives are not those that are used");
    assert_eq!(
        names(&rig.data().join("packages/incoming")),
        BTreeSet::new()
    );
    let folders = names(&rig.data().join("plugins"));
    let strange: Vec<_> = folders.difference(&ids).collect();
    assert!(strange.is_empty(), "folders of nobody: {strange:?}");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeSet::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// What has this mark belongs to the server that runs.
pub(crate) async fn processes(rig: &Rig, mark: &str) {
    let mut strange = Vec::new();
    eventually("no process of an earlier life is there", || {
        let alive = alive_with(mark);
        let ours = tree_of(rig.pid());
        strange = alive
            .into_iter()
            .filter(|pid| !ours.contains(pid))
            .collect();
        strange.is_empty()
    })
    .await;
}

/// Every plugin got every event that it had to get, in order. How many came in all, and how many of
/// them again.
pub(crate) async fn events(rig: &Rig, world: &World, known: &Installed) -> (usize, usize) {
    let all = world.events.lock().unwrap().clone();
    let wanted: BTreeMap<u64, &str> = all
        .iter()
        .filter(|event| event.asked > known.answered)
        .filter_map(|event| Some((event.number?, event.payload.as_str())))
        .collect();
    let numbers: BTreeMap<&str, &Published> = all
        .iter()
        .map(|event| (event.payload.as_str(), event))
        .collect();
    let log = rig.state_folder(&known.id).join("events.log");
    let got = || -> Vec<String> {
        let events = match &known.dialer {
            Some(dialer) => dialer.events(),
            None => std::fs::read_to_string(&log)
                .unwrap_or_default()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        };
        let id = |event: Value| event["id"].as_str().unwrap().to_owned();
        events.into_iter().map(id).collect()
    };
    let mut came = Vec::new();
    let last = wanted.values().next_back();
    eventually(
        &format!("all events come to {} ({})", known.id, known.name),
        || {
            came = got();
            last.is_none_or(|last| came.iter().any(|payload| payload == last))
        },
    )
    .await;
    let mut seen = BTreeSet::new();
    let mut highest = 0;
    for payload in &came {
        let event = numbers.get(payload.as_str());
        let event = event.unwrap_or_else(|| panic!("nobody published {payload}"));
        let before = event
            .answered
            .is_some_and(|answered| answered < known.asked);
        assert!(
            !before,
            "{payload} was published before {} was installed",
            known.id
        );
        if let (true, Some(number)) = (seen.insert(payload.as_str()), event.number) {
            assert!(
                number > highest,
                "{payload} came to {} out of order: {came:?}",
                known.id
            );
            highest = number;
        }
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(_, payload)| !seen.contains(*payload))
        .collect();
    let parked = rig
        .get(&format!("/plugins/{}/events/parked", known.id))
        .await
        .expect(200);
    assert!(
        missing.is_empty(),
        "{} lacks {missing:?}; parked: {parked:#}",
        known.id
    );
    (came.len(), came.len() - seen.len())
}
