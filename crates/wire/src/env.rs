//! The environment that a supervised plugin is born with.

/// Where to dial: `ws://host:port/rpc?plugin_id=…&token=…`.
pub const RPC_URL: &str = "JACKFIELD_RPC_URL";

/// The same value under the name that programs written for Storyden's plugin runner read.
pub const STORYDEN_RPC_URL: &str = "STORYDEN_RPC_URL";

/// A folder of the plugin's own that upgrades keep.
pub const STATE_DIR: &str = "JACKFIELD_STATE_DIR";

/// Names one launch of one plugin that serves gRPC, so that whatever it starts can be told from everybody else's.
pub const LAUNCH: &str = "JACKFIELD_LAUNCH";

/// What a plugin gets of the host's environment; a `*` at the end stands for any ending. Nothing
/// else: the host's secrets are not the plugin's.
pub const ALLOWED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"];

/// What the tokens of external plugins begin with; a program that dials with one may dial again
/// after the line was lost.
pub const EXTERNAL_TOKEN_PREFIX: &str = "sdprt_";
