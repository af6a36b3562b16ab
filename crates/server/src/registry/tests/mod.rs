//! The registry over a real host, a real database and real plugins.

mod fixture;

mod activation;
mod coming;
mod external;
mod resuming;
mod settings;
mod upgrades;
