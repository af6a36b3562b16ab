//! `access_get`.
