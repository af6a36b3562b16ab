use std::collections::HashSet;

use serde_json::{Map, Value};

use super::model::{Capability, LlmProvider, Tool, ToolAnnotations, ToolProvider, Toolset};
use super::walk::{Object, Walk};

const LLM: &str = "robot.llm_provider";
const TOOLS: &str = "robot.tool_provider";

const KEYS: &[&str] = &[
    "type",
    "id",
    "version",
    "name",
    "description",
    "tools",
    "toolsets",
];
const TOOL_KEYS: &[&str] = &[
    "id",
    "name",
    "description",
    "input_schema",
    "output_schema",
    "title",
    "requires_confirmation",
    "requires_workspace",
    "annotations",
];
const ANNOTATION_KEYS: &[&str] = &[
    "readOnlyHint",
    "destructiveHint",
    "idempotentHint",
    "openWorldHint",
];
const TOOLSET_KEYS: &[&str] = &[
    "id",
    "name",
    "description",
    "tools",
    "instruction",
    "requires_workspace",
];

const TOOL_ID: &str = "begins with a letter or digit and takes letters, digits and `_`";
const LLM_ID: &str = "begins with a letter or digit and takes letters, digits, `.`, `_` and `-`";

pub(super) fn check(root: &Object<'_>, walk: &mut Walk) -> Vec<Capability> {
    let mut seen = HashSet::new();
    let mut capabilities = Vec::new();
    for (path, value) in walk.list(root, "capabilities") {
        let Some(object) = walk.object(value, path, KEYS) else {
            continue;
        };
        let Some(kind) = walk.required_text(&object, "type") else {
            continue;
        };
        if kind != LLM && kind != TOOLS {
            walk.problem(object.at("type"), format!("must be `{LLM}` or `{TOOLS}`"));
            continue;
        }
        let id = id(&object, kind == LLM, walk);
        let version = walk.required_text(&object, "version");
        if version.as_deref() == Some("") {
            walk.problem(object.at("version"), "is empty");
        }
        let name = walk.text(&object, "name");
        let description = walk.text(&object, "description");
        let provider = (kind == TOOLS).then(|| tools_and_sets(&object, walk));
        if kind == LLM && (object.get("tools").is_some() || object.get("toolsets").is_some()) {
            walk.warn(object.at("type"), format!("only a `{TOOLS}` has tools"));
        }
        let (Some(id), Some(version)) = (id, version) else {
            continue;
        };
        if !seen.insert((kind, id.clone())) {
            walk.warn(
                object.at("id"),
                format!("`{id}` is the id of another one too"),
            );
        }
        capabilities.push(match provider {
            None => Capability::LlmProvider(LlmProvider {
                id,
                version,
                name,
                description,
            }),
            Some((tools, toolsets)) => Capability::ToolProvider(ToolProvider {
                id,
                version,
                name,
                description,
                tools,
                toolsets,
            }),
        });
    }
    capabilities
}

fn tools_and_sets(provider: &Object<'_>, walk: &mut Walk) -> (Vec<Tool>, Vec<Toolset>) {
    if provider.get("tools").is_none() {
        walk.problem(provider.at("tools"), "is missing");
    }
    let mut declared = HashSet::new();
    let mut tools = Vec::new();
    for (path, value) in walk.list(provider, "tools") {
        let Some(object) = walk.object(value, path, TOOL_KEYS) else {
            continue;
        };
        let tool = tool(&object, walk);
        // Also of a tool that has another problem: a toolset may name it.
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if !id.is_empty() && !declared.insert(id) {
            walk.problem(
                object.at("id"),
                format!("`{id}` is the id of another tool too"),
            );
        }
        tools.extend(tool);
    }
    if provider
        .get("tools")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        walk.warn(provider.at("tools"), "is empty");
    }
    let mut ids = HashSet::new();
    let mut toolsets = Vec::new();
    for (path, value) in walk.list(provider, "toolsets") {
        let Some(object) = walk.object(value, path, TOOLSET_KEYS) else {
            continue;
        };
        let set = toolset(&object, &declared, walk);
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if !id.is_empty() && !ids.insert(id) {
            walk.problem(
                object.at("id"),
                format!("`{id}` is the id of another toolset too"),
            );
        }
        toolsets.extend(set);
    }
    (tools, toolsets)
}

fn tool(object: &Object<'_>, walk: &mut Walk) -> Option<Tool> {
    let id = id(object, false, walk);
    let name = walk.wanted_text(object, "name");
    let description = walk.wanted_text(object, "description");
    if object.get("input_schema").is_none() {
        walk.problem(object.at("input_schema"), "is missing");
    }
    let input_schema = schema(object, "input_schema", walk);
    let output_schema = schema(object, "output_schema", walk);
    let title = walk.text(object, "title");
    let requires_confirmation = walk.flag(object, "requires_confirmation");
    let requires_workspace = walk.flag(object, "requires_workspace");
    let annotations = annotations(object, walk);
    Some(Tool {
        id: id?,
        name,
        description,
        input_schema: input_schema?,
        output_schema,
        title,
        requires_confirmation,
        requires_workspace,
        annotations,
    })
}

fn annotations(tool: &Object<'_>, walk: &mut Walk) -> Option<ToolAnnotations> {
    let value = tool.get("annotations")?;
    let object = walk.object(value, tool.at("annotations"), ANNOTATION_KEYS)?;
    Some(ToolAnnotations {
        read_only_hint: walk.flag(&object, "readOnlyHint"),
        destructive_hint: walk.flag(&object, "destructiveHint"),
        idempotent_hint: walk.flag(&object, "idempotentHint"),
        open_world_hint: walk.flag(&object, "openWorldHint"),
    })
}

fn toolset(object: &Object<'_>, declared: &HashSet<&str>, walk: &mut Walk) -> Option<Toolset> {
    let id = id(object, false, walk);
    let name = walk.wanted_text(object, "name");
    let description = walk.wanted_text(object, "description");
    let tools = walk.texts(object, "tools");
    if tools.is_empty() && object.get("tools").is_none_or(Value::is_array) {
        walk.problem(object.at("tools"), "names no tool");
    }
    let mut seen = HashSet::new();
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("{}[{index}]", object.at("tools"));
        if !declared.contains(tool.as_str()) {
            walk.problem(path, format!("the provider has no tool `{tool}`"));
        } else if !seen.insert(tool) {
            walk.problem(path, format!("`{tool}` stands here twice"));
        }
    }
    let instruction = walk.text(object, "instruction");
    let requires_workspace = walk.flag(object, "requires_workspace");
    Some(Toolset {
        id: id?,
        name,
        description,
        tools,
        instruction,
        requires_workspace,
    })
}

/// A JSON Schema of an object. Only its `type` is looked at.
fn schema(object: &Object<'_>, key: &str, walk: &mut Walk) -> Option<Map<String, Value>> {
    let value = object.get(key)?;
    let Value::Object(schema) = value else {
        walk.wrong_kind(object.at(key), "an object", value);
        return None;
    };
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        walk.problem(format!("{}.type", object.at(key)), "must be `object`");
    }
    Some(schema.clone())
}

fn id(object: &Object<'_>, llm: bool, walk: &mut Walk) -> Option<String> {
    let id = walk.required_text(object, "id")?;
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || (llm && (c == '.' || c == '-'));
    if !id.starts_with(|c: char| c.is_ascii_alphanumeric()) || !id.chars().all(inner) {
        walk.problem(object.at("id"), if llm { LLM_ID } else { TOOL_ID });
    }
    Some(id)
}
