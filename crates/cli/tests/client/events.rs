//! Events, from `publish` to those that are parked.

use std::fs;

use crate::rig::Rig;
use crate::support::{Running, new};

const REFUSE: &str = r#"
from jackfield import Plugin
plugin = Plugin()

@plugin.event("EventThreadPublished")
async def refuse(event):
    print("seen", event["id"], flush=True)
    raise ValueError("not today")

plugin.run()
"#;

#[test]
fn what_a_plugin_refuses_is_parked_shown_and_repeated() {
    let rig = Rig::start(&["--event-park-after", "2", "--event-retry-delay", "10ms"]);
    new(rig.path(), "hello", "python");
    fs::write(rig.path().join("hello/plugin.py"), REFUSE).unwrap();
    rig.well(&["install", "hello", "--activate"]);

    let mut follower = Running::spawn(rig.command(&["logs", "hello", "-f"]));
    let event = [
        "publish",
        "EventThreadPublished",
        r#"{"id":"t1"}"#,
        "--key",
        "k",
    ];
    rig.well(&event).says("for 1 plugin");
    rig.well(&event).says("published before with this key");
    rig.well(&["publish", "EventNobodyKnows"])
        .says("for 0 plugins");
    rig.fails(2, &["publish", "EventThreadPublished", "[]"])
        .says("an object is wanted");
    for _ in 0..2 {
        follower.line(|line| line == "seen t1");
    }
    // Parked a moment after the second refusal.
    let parked = loop {
        let parked = rig.json(&["events", "parked", "hello"]);
        if parked["parked"][0].is_object() {
            break parked;
        }
    };
    let id = parked["parked"][0]["id"].as_str().unwrap().to_owned();
    rig.well(&["events", "parked", "hello"])
        .says("EventThreadPublished")
        .says(&id);
    rig.well(&["why", "hello"])
        .says("parked: 1")
        .says("jackfield events parked");
    rig.well(&["events", "replay", "hello", &id])
        .says("1 event will be delivered again");
    follower.line(|line| line == "seen t1");
    loop {
        let parked = rig.json(&["events", "parked", "hello"]);
        if parked["parked"][0]["replaying"] != true {
            break;
        }
    }
    rig.well(&["events", "drop", "hello", &id]);
    rig.well(&["events", "parked", "hello"])
        .says("no events are parked");
    rig.fails(1, &["events", "drop", "hello", &id]);
}
