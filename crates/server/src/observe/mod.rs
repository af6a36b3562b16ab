//! What is measured, and where it goes.
