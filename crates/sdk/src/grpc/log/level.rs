//! How much is logged.

use tracing::level_filters::LevelFilter;

/// A level by one of the names that hosts give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level(pub(crate) LevelFilter);

impl Level {
    /// In any case. `default`, and nothing, is what a plugin logs by itself.
    pub(crate) fn read(name: &str) -> Option<Self> {
        Some(Self(match name.to_ascii_lowercase().as_str() {
            "trace" => LevelFilter::TRACE,
            "debug" => LevelFilter::DEBUG,
            "info" | "default" | "" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_no_others() {
        assert_eq!(Level::read("DEBUG"), Some(Level(LevelFilter::DEBUG)));
        assert_eq!(Level::read("Warn"), Some(Level(LevelFilter::WARN)));
        assert_eq!(Level::read("default"), Some(Level(LevelFilter::INFO)));
        for other in ["warning", "off", "5", " info", "fatal"] {
            assert_eq!(Level::read(other), None, "{other}");
        }
    }
}
