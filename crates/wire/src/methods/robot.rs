//! Tools and models that plugins provide, and robots that they run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::or_null;
use crate::method::Method;

/// The application calls a tool that the plugin's manifest offers.
#[derive(Debug)]
pub struct RobotToolCall;

/// Which tool, on whose behalf, with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCallParams {
    /// The account on whose behalf.
    pub account_id: String,
    /// The tool's input, an object that fits its `input_schema`.
    #[serde(default, deserialize_with = "or_null")]
    pub arguments: Map<String, Value>,
    /// The id of this call.
    pub call_id: String,
    /// The capability that offers the tool.
    pub provider_id: String,
    /// The robot that calls, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot_id: Option<String>,
    /// The conversation.
    pub session_id: String,
    /// The tool.
    pub tool_id: String,
}

/// What a tool gives back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCallResult {
    /// The output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it failed, for the model to read; empty or absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Method for RobotToolCall {
    const NAME: &'static str = "robot_tool_call";
    type Params = ToolCallParams;
    type Output = ToolCallResult;
}

/// Which models does the plugin offer?
#[derive(Debug)]
pub struct RobotModelProviderListModels;

/// Of which provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListModels {
    /// The id of the capability.
    pub provider: String,
}

/// The models of a provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// In the provider's order.
    #[serde(default, deserialize_with = "or_null")]
    pub models: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in calls.
    pub name: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Tokens it can take in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// Tokens it can give back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
    /// What the provider itself says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Value>,
}

impl Method for RobotModelProviderListModels {
    const NAME: &'static str = "robot_model_provider_list_models";
    type Params = ListModels;
    type Output = Models;
}

/// Ask a model of the plugin's for an answer.
#[derive(Debug)]
pub struct RobotModelProviderGenerate;

/// A conversation to go on with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The messages so far.
    #[serde(default, deserialize_with = "or_null")]
    pub messages: Vec<Message>,
    /// The model's name.
    pub model: String,
    /// The id of the capability.
    pub provider: String,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Tools that the model may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Who speaks, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The call that a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A tool as a model sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

/// What a model answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Tools that it wants called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// `stop`, `length`, `content_filter`, `tool_calls` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Why it failed; empty or absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id to answer under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// Its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Map<String, Value>>,
}

impl Method for RobotModelProviderGenerate {
    const NAME: &'static str = "robot_model_provider_generate";
    type Params = Generate;
    type Output = Generated;
}

/// The plugin has the application run a robot.
#[derive(Debug)]
pub struct RobotRun;

/// Which robot, with what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotRunParams {
    /// What the robot is asked.
    pub message: String,
    /// The robot.
    pub robot_id: String,
    /// The conversation to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where the robot works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
}

/// Where a robot works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// One instance of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_instance_id: Option<String>,
}

/// How a robot's run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RobotRunResult {
    /// What it did; absent when it could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RobotOutput>,
    /// The conversation, to go on with.
    #[serde(default)]
    pub session_id: String,
    /// Why it could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a robot did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotOutput {
    /// `completed`, `blocked` or `failed`.
    pub status: String,
    /// For a person.
    pub summary: String,
    /// What somebody has to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
}

/// What somebody has to look at after a robot's run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// `missing_input`, `needs_approval`, `policy_blocked`, `tool_unavailable` or `error`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

impl Method for RobotRun {
    const NAME: &'static str = "robot_run";
    type Params = RobotRunParams;
    type Output = RobotRunResult;
}
