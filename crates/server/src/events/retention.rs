//! Old events go.
