//! The demo's plugin in Rust: the very source that `jackfield new --lang rust` writes.

include!("../../templates/rust/src/main.rs");

/// Runs it. It makes a runtime of its own, as the program that it otherwise is.
pub(crate) fn run() -> Result<(), RunError> {
    main()
}
