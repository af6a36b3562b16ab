// {{name}}: one method, one event and one setting. Make it yours.

use std::sync::{Arc, PoisonError, RwLock};

use jackfield_plugin::{Call, Host, Method, Plugin, RunError};
use serde::{Deserialize, Serialize};

/// A method, called by its name: `jackfield run . --call greet '{"name": "you"}'`
struct Greet;

impl Method for Greet {
    const NAME: &'static str = "greet";
    type Params = Who;
    type Output = Greeting;
}

#[derive(Serialize, Deserialize)]
struct Who {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Greeting {
    greeting: String,
}

/// An event of the application; the manifest lists it under `events_consumed`.
#[derive(Deserialize)]
struct ThreadPublished {
    id: String,
}

/// The configuration; the manifest describes it under `configuration_schema`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Settings {
    greeting: String,
}

impl Default for Settings {
    fn default() -> Self {
        let greeting = "Hello".to_owned();
        Self { greeting }
    }
}

// One thread will do for a plugin that waits more than it computes. What computes for long belongs into
// `tokio::task::spawn_blocking`: meanwhile nobody else is answered.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let settings = Arc::new(RwLock::new(Settings::default()));
    let (set, get) = (Arc::clone(&settings), settings);
    Plugin::from_env()?
        .method::<Greet, _>(move |_: Call, who: Who| {
            let settings = get.read().unwrap_or_else(PoisonError::into_inner);
            let greeting = format!("{}, {}!", settings.greeting, who.name);
            async { Ok(Greeting { greeting }) }
        })
        .on_event(
            "EventThreadPublished",
            async |_: Host, event: ThreadPublished| {
                println!("thread {} was published", event.id);
                Ok(())
            },
        )
        .on_configure(move |_: Host, new: Settings| {
            println!("configured: {new:?}");
            *set.write().unwrap_or_else(PoisonError::into_inner) = new;
            async { Ok(()) }
        })
        .run()
        .await
}
