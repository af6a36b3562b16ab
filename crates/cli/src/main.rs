//! The command `jackfield`.
fn main() {}
