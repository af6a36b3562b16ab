//! Connections: accepted, served, drained.
