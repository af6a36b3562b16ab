//! Which plugin is meant: by its installation, or by what it calls itself where that is enough.

use jackfield::InstallationId;
use serde_json::Value;

use super::show::text;
use super::{Client, ClientError};

/// A plugin on a command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// The plugin: the id of its installation; or its own id or name, where there is one such plugin
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: String,
}

impl Named {
    /// The id of the installation that is meant.
    pub(crate) async fn id(&self, client: &Client) -> Result<String, ClientError> {
        let name = &self.plugin;
        if name.parse::<InstallationId>().is_ok() {
            return Ok(name.clone());
        }
        let plugins = client.get(&["plugins"]).await?;
        let found = find(&plugins, name);
        match found.as_slice() {
            [] => Err(ClientError::NoPlugin(name.clone())),
            [one] => Ok(text(one, "id").to_owned()),
            more => Err(ClientError::Ambiguous {
                name: name.clone(),
                candidates: more.iter().map(|plugin| candidate(plugin)).collect(),
            }),
        }
    }
}

/// All that are called this: by their manifest's id first, by name where no id fits.
pub(crate) fn find<'a>(plugins: &'a Value, name: &str) -> Vec<&'a Value> {
    let all = || plugins["plugins"].as_array().into_iter().flatten();
    let by_id: Vec<_> = all()
        .filter(|plugin| text(&plugin["manifest"], "id") == name)
        .collect();
    if !by_id.is_empty() {
        return by_id;
    }
    let called = |plugin: &&Value| text(plugin, "name").eq_ignore_ascii_case(name);
    all().filter(called).collect()
}

fn candidate(plugin: &Value) -> String {
    let (id, version) = (text(plugin, "id"), text(plugin, "version"));
    let mode = text(&plugin["connection"], "mode");
    format!("{id} ({} {version}, {mode})", text(plugin, "name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plugin_is_found_by_what_it_calls_itself() {
        let plugin = |id: &str, manifest: &str, name: &str| json!({"id": id, "name": name, "manifest": {"id": manifest}});
        let plugins = json!({"plugins": [
            plugin("1", "hello", "Hello"), plugin("2", "other", "Same"), plugin("3", "third", "Same"),
            plugin("4", "Same", "odd"),
        ]});
        let ids =
            |name| -> Vec<&str> { find(&plugins, name).iter().map(|p| text(p, "id")).collect() };
        assert_eq!(ids("hello"), ["1"]);
        assert_eq!(ids("HELLO"), ["1"]);
        assert_eq!(ids("Same"), ["4"]);
        assert_eq!(ids("same"), ["2", "3"]);
        assert!(ids("none").is_empty());
    }
}
