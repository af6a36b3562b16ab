//! The shape of a manifest, for the description of the API. Read and checked they are elsewhere, by
//! rules of which some cannot be said in a schema.

use serde_json::Value;

/// What a plugin says of itself. Other keys are kept.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct Manifest {
    /// Which plugin it is; two installations may share it.
    #[schema(
        example = "hello",
        pattern = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$"
    )]
    id: String,
    /// Who wrote it.
    #[schema(
        example = "somebody",
        pattern = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$"
    )]
    author: String,
    #[schema(example = "Hello", min_length = 1, max_length = 100)]
    name: String,
    description: Option<String>,
    #[schema(example = "1.0.0")]
    version: Option<String>,
    /// What is started, relative to the package's folder where it has a slash; a package has one.
    #[schema(pattern = "^[^\\x00]*$")]
    command: Option<String>,
    args: Option<Vec<Argument>>,
    events_consumed: Option<Vec<EventName>>,
    access: Option<ManifestAccess>,
    configuration_schema: Option<ConfigurationSchema>,
    /// What it offers: providers of language models, and of tools.
    #[schema(value_type = Option<Vec<Object>>)]
    capabilities: Option<Vec<Value>>,
    transport: Option<Transport>,
    /// With `grpc`, the service whose unary `Ping` says whether the plugin is ready.
    #[schema(
        example = "kv.v1.KvService",
        pattern = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$"
    )]
    service: Option<String>,
}

/// An argument of the command.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[^\\x00]*$")]
#[expect(dead_code, reason = "only its schema is of use")]
struct Argument(String);

/// The name of an event.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, min_length = 1, example = "EventThreadPublished")]
#[expect(dead_code, reason = "only its schema is of use")]
struct EventName(String);

/// How a plugin is spoken to: JSON-RPC over a WebSocket, or gRPC.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is of use")]
enum Transport {
    WebSocket,
    Grpc,
}

/// The account that it wants in the application.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
struct ManifestAccess {
    handle: Option<String>,
    name: Option<String>,
    /// What it asks to be allowed to do; the application knows the words.
    permissions: Option<Vec<String>>,
    bio: Option<String>,
    /// On its profile: each has a `text` and a `url`.
    #[schema(value_type = Option<Vec<Object>>)]
    links: Option<Vec<Value>>,
    /// Anything that the application understands.
    metadata: Option<Value>,
}

/// What can be configured.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct ConfigurationSchema {
    fields: Option<Vec<ConfigurationField>>,
}

/// One field of a configuration.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(crate) struct ConfigurationField {
    r#type: FieldType,
    /// Its key in the configuration.
    id: Option<String>,
    label: Option<String>,
    description: Option<String>,
    /// What holds where nothing is set; of the field's type.
    default: Option<Value>,
    /// Whether it must be set.
    required: Option<bool>,
    /// The only values that are allowed.
    r#enum: Option<Vec<Value>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    /// Whether it is kept sealed, and never shown.
    secret: Option<bool>,
}

/// What a field holds.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is of use")]
enum FieldType {
    String,
    Number,
    Boolean,
}
