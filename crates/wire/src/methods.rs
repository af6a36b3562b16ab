//! The methods of the contract, with their types.
//!
//! Shapes are those of Storyden's plugin runner, so that its plugins run unchanged. To the plugin:
//! [`Ping`], [`Configure`], [`Event`], [`RobotToolCall`], [`RobotModelProviderListModels`],
//! [`RobotModelProviderGenerate`]. To the host: [`GetConfig`], [`AccessGet`], [`RobotRun`].
//!
//! Optional fields are left out when absent, never written as `null`: strict plugins drop a
//! request with a null where an object belongs.

mod access;
mod robot;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use access::{Access, AccessGet};
pub use robot::{
    Attention, Generate, Generated, ListModels, Message, Model, Models, RobotModelProviderGenerate,
    RobotModelProviderListModels, RobotOutput, RobotRun, RobotRunParams, RobotRunResult,
    RobotToolCall, Tool, ToolCall, ToolCallParams, ToolCallResult, Workspace,
};

use crate::method::Method;

/// Is the plugin well? The SDK answers by itself.
#[derive(Debug)]
pub struct Ping;

/// What a plugin answers to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// Always true.
    #[serde(default)]
    pub pong: bool,
    /// A word for a person, `healthy` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Seconds since the plugin first connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<f64>,
}

impl Method for Ping {
    const NAME: &'static str = "ping";
    type Params = Option<Map<String, Value>>;
    type Output = Pong;
}

/// Takes this configuration from now on, all of it.
#[derive(Debug)]
pub struct Configure;

/// Whether something was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// `false`: it was understood and refused.
    pub ok: bool,
}

impl Method for Configure {
    const NAME: &'static str = "configure";
    type Params = Map<String, Value>;
    type Output = Taken;
}

/// Something happened in the application. The parameters are the event's name under `event` and
/// its payload's fields beside it.
#[derive(Debug)]
pub struct Event;

/// An event's name and payload, flat in one object on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventParams {
    /// The name, one of those that the manifest says it consumes.
    pub event: String,
    /// The payload's fields.
    #[serde(flatten)]
    pub payload: Map<String, Value>,
}

impl Method for Event {
    const NAME: &'static str = "event";
    type Params = EventParams;
    type Output = Taken;
}

/// The plugin asks for its configuration.
#[derive(Debug)]
pub struct GetConfig;

/// Which keys; none means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetConfigParams {
    /// The keys to return. Those that are not set are left out of the answer.
    #[serde(
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub keys: Vec<String>,
}

/// A configuration, or the part of it that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Value by key.
    pub config: Map<String, Value>,
}

impl Method for GetConfig {
    const NAME: &'static str = "get_config";
    type Params = GetConfigParams;
    type Output = Config;
}

/// A collection, or `null` for an empty one: what Go makes of a slice or map that was never made.
pub(crate) fn or_null<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plugin in Go asks with `"keys": null` for all keys: its slice was never made.
    #[test]
    fn null_is_an_empty_collection() {
        let keys: GetConfigParams = serde_json::from_str(r#"{"keys":null}"#).unwrap();
        assert!(keys.keys.is_empty());
        let models: Models = serde_json::from_str(r#"{"models":null}"#).unwrap();
        assert!(models.models.is_empty());
    }
}
