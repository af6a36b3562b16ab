use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// What a plugin says of itself. Made by [`Manifest::check`] and [`Manifest::parse`] alone.
///
/// Serializes to JSON that the original accepts; keys that nobody knows are kept under their names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Letters, digits and inner hyphens. Says which plugin it is; two installations may share it.
    pub id: String,
    /// Who wrote it, in the alphabet of `id`.
    pub author: String,
    /// For people: 1 to 100 characters.
    pub name: String,
    /// For people. Empty where the document has none.
    pub description: String,
    /// The plugin's own version, in any form. Empty where the document has none.
    pub version: String,
    /// What is started, relative to the package's folder where it has a slash. `None` or empty for
    /// a plugin that dials in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The command's arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The events it wants, each once, in the document's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events_consumed: Vec<String>,
    /// The account it wants in the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What can be configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_schema: Option<ConfigurationSchema>,
    /// What it offers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// How it is spoken to.
    #[serde(skip_serializing_if = "Transport::is_default")]
    pub transport: Transport,
    /// With [`Transport::Grpc`], the service whose unary `Ping` says whether the plugin is ready: `kv.v1.KvService`.
    /// `None` where `grpc.health.v1` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Keys that are not of this format, as they were.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How a plugin is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// It dials the host and speaks JSON-RPC over a WebSocket. The default.
    #[default]
    WebSocket,
    /// It serves gRPC on the socket that it is given.
    Grpc,
}

impl Transport {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "websocket",
            Self::Grpc => "grpc",
        })
    }
}

/// The account that a plugin wants in the application.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Access {
    /// The handle it would like.
    pub handle: String,
    /// Its name there.
    pub name: String,
    /// What it asks to be allowed to do; the application knows the words.
    pub permissions: Vec<String>,
    /// A few words on itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// Links on its profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Anything the application understands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// A link on a profile.
///
/// Serializes its `url` in the form of Go's `url.URL`, the only one that the original reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Link {
    /// What is shown.
    pub text: String,
    /// Where it leads, as text in whichever form it came.
    #[serde(serialize_with = "super::url::serialize")]
    pub url: String,
}

/// What can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigurationSchema {
    /// The fields, in the order in which they are shown.
    pub fields: Vec<ConfigurationField>,
}

/// One field of a plugin's configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConfigurationField {
    /// What it holds; `type` in the document.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// Its key in the configuration.
    pub id: String,
    /// Its name for people.
    pub label: String,
    /// What it is for.
    pub description: String,
    /// What holds where nothing was set; of the field's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it must be set. Default: no.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// The only values allowed, each of the field's kind; `enum` in the document.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// The least number allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The largest number allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// Whether the value is never to be shown. Default: no.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
}

/// What a configuration field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Text.
    String,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
}

impl FieldKind {
    /// Whether a value is of this kind.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

/// Something that a plugin offers, told apart by `type`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Capability {
    /// Language models.
    #[serde(rename = "robot.llm_provider")]
    LlmProvider(LlmProvider),
    /// Tools for language models.
    #[serde(rename = "robot.tool_provider")]
    ToolProvider(ToolProvider),
}

/// A provider of language models.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LlmProvider {
    /// A letter or digit, then letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// Never empty.
    pub version: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A provider of tools.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolProvider {
    /// A letter or digit, then letters, digits and `_`.
    pub id: String,
    /// Never empty.
    pub version: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The tools, their ids unique.
    pub tools: Vec<Tool>,
    /// Groups of them, their ids unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub toolsets: Vec<Toolset>,
}

/// A tool that a language model may call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tool {
    /// A letter or digit, then letters, digits and `_`.
    pub id: String,
    /// For the model and for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments; its `type` is `object`.
    pub input_schema: Map<String, Value>,
    /// JSON Schema of its result; its `type` is `object`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// A longer name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether a person must agree to each call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_confirmation: Option<bool>,
    /// Whether it needs a workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_workspace: Option<bool>,
    /// What may be assumed of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<ToolAnnotations>,
}

/// What may be assumed of a tool's calls; each said, denied or left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ToolAnnotations {
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Twice is the same as once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It reaches things outside of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// A group of a provider's tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Toolset {
    /// A letter or digit, then letters, digits and `_`.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Ids of tools of the same provider, each once, at least one.
    pub tools: Vec<String>,
    /// What a model is told when it gets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Whether they need a workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_workspace: Option<bool>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
