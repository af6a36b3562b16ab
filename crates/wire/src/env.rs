//! The environment that a supervised plugin is born with.

/// Where to dial: `ws://host:port/rpc?plugin_id=…&token=…`.
pub const RPC_URL: &str = "JACKFIELD_RPC_URL";

/// The same value under the name that programs written for Storyden's plugin runner read.
pub const STORYDEN_RPC_URL: &str = "STORYDEN_RPC_URL";

/// The number of a descriptor that is connected to the host already, for programs that know it:
/// `3`. They need not dial then. docs/local-socket.md says what is spoken there; all others dial
/// [`RPC_URL`], which is set as well.
pub const RPC_FD: &str = "JACKFIELD_RPC_FD";

/// What the name of the host's end of that socket begins with: an abstract one (unix(7)), whose
/// rest names the launch. A variable outlives a descriptor: programs that a plugin starts may have
/// the one and something else under the number. By its peer's name the socket is known.
pub const RPC_PEER: &str = "jackfield-rpc/";

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
