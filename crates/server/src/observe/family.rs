//! The names of all figures, and what they mean.

/// One figure, with all its labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up, and begins anew.
    Counter,
    /// How long things took, in seconds.
    Seconds,
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family { name, kind, help }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Counter;
    Family { name, kind, help }
}

const fn seconds(name: &'static str, help: &'static str) -> Family {
    let kind = Kind::Seconds;
    Family { name, kind, help }
}

pub(super) static BUILD_INFO: Family =
    gauge("jackfield_build_info", "Always 1; the version is a label");
pub(super) static PLUGINS: Family = gauge(
    "jackfield_plugins",
    "Installed plugins by what they are doing",
);
pub(super) static RESTARTS: Family = counter(
    "jackfield_plugin_restarts_total",
    "Restarts of a plugin by the host since somebody last asked for a start",
);
pub(super) static MEMORY: Family = gauge(
    "jackfield_plugin_memory_bytes",
    "Resident memory of a plugin's processes on this machine; shared pages count for each",
);
pub(super) static CPU: Family = counter(
    "jackfield_plugin_cpu_seconds_total",
    "Processor time of a plugin's processes on this machine, since its process was started",
);
pub(super) static PROCESSES: Family = gauge(
    "jackfield_plugin_processes",
    "Processes of a plugin on this machine",
);
pub(super) static CALLS_OPEN: Family = gauge(
    "jackfield_calls_open",
    "Calls that wait for their answer, to_plugin or from_plugin",
);
pub(super) static WAITING: Family = gauge(
    "jackfield_events_waiting",
    "Events that a plugin has still to be told, counted up to 1000",
);
pub(super) static PARKED: Family = gauge(
    "jackfield_events_parked",
    "Events that a plugin refused until they were set aside",
);

/// What is computed when it is asked for.
#[cfg(feature = "otel")]
pub(super) static COMPUTED: [&Family; 9] = [
    &BUILD_INFO,
    &PLUGINS,
    &RESTARTS,
    &MEMORY,
    &CPU,
    &PROCESSES,
    &CALLS_OPEN,
    &WAITING,
    &PARKED,
];

pub(super) static CALLS: Family = counter(
    "jackfield_calls_total",
    "Calls that have ended: to_plugin or from_plugin, and how",
);
pub(super) static CALL_SECONDS: Family =
    seconds("jackfield_call_duration_seconds", "How long calls took");
pub(super) static REQUESTS: Family = counter(
    "jackfield_http_requests_total",
    "Requests that were answered, by route and status",
);
pub(super) static REQUEST_SECONDS: Family = seconds(
    "jackfield_http_request_duration_seconds",
    "How long requests took until their answer began",
);

/// What is counted as it happens.
pub(super) static COUNTED: [Family; 4] = [
    counter(
        "jackfield_events_published_total",
        "Events that were published",
    ),
    counter(
        "jackfield_events_delivered_total",
        "Events that a plugin took",
    ),
    counter(
        "jackfield_events_refused_total",
        "Attempts to deliver an event that failed",
    ),
    counter(
        "jackfield_events_parked_total",
        "Events that were set aside after too many attempts",
    ),
];
