//! What host and plugin agree on where the plugin serves gRPC.
//!
//! The first three names are those of FTL's `plugin` package, whose programs know nothing else. The others are for
//! programs that understand more; who does not, may ignore them.

/// Where to listen: `http://127.0.0.1:<port>`, cleartext, HTTP/2 with prior knowledge at least.
pub const BIND: &str = "FTL_BIND";

/// A folder for the plugin's own files; absolute.
pub const WORKING_DIR: &str = "FTL_WORKING_DIR";

/// How much to log: `trace`, `debug`, `info`, `warn` or `error`, in any case.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// The number of an inherited file descriptor: a Unix stream socket that listens already. Who serves
/// on it need not listen on [`BIND`]. It has no name in the file system, so nobody but the host and those that
/// inherit the descriptor can reach it.
pub const LISTEN_FD: &str = "JACKFIELD_LISTEN_FD";

/// A secret made for this one process. A plugin that reads it answers UNAUTHENTICATED to every request that does not
/// carry it in [`TOKEN_HEADER`].
pub const TOKEN: &str = "JACKFIELD_TOKEN";

/// The header of every request that carries [`TOKEN`].
pub const TOKEN_HEADER: &str = "jackfield-token";

/// The last part of the path of the method that tells whether a plugin is ready: unary, its answer carries
/// `optional string not_ready = 1`, the reason why not; empty or absent is ready.
pub const PING: &str = "Ping";
