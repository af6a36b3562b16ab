//! Figures as Prometheus reads them (text format 0.0.4).

use std::fmt::Write as _;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::family::Kind;
use super::recorder;
use super::sample::{self, Sample};
use crate::registry::Registry;

/// The `Content-Type` of [`render`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often what nobody reads is condensed, and what a collector is told is renewed.
const UPKEEP: Duration = Duration::from_secs(10);

/// All figures, now.
pub(crate) async fn render(registry: &Registry) -> String {
    let mut text = computed(&sample::now(registry).await);
    text.push_str(&recorder::handle().render());
    text
}

/// Keeps what is counted small while nobody reads it, until the server is gone.
pub(crate) async fn upkeep(registry: Registry, gone: CancellationToken) {
    let mut beat = tokio::time::interval(UPKEEP);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while gone.run_until_cancelled(beat.tick()).await.is_some() {
        recorder::handle().run_upkeep();
        #[cfg(feature = "otel")]
        if let Some(instruments) = super::instruments::current() {
            let Some(now) = gone.run_until_cancelled(sample::now(&registry)).await else {
                return;
            };
            instruments.put(now);
        }
        #[cfg(not(feature = "otel"))]
        let _ = &registry;
    }
}

fn computed(samples: &[Sample]) -> String {
    let mut text = String::new();
    let mut last = "";
    for Sample {
        family,
        labels,
        value,
    } in samples
    {
        if last != family.name {
            last = family.name;
            let kind = match family.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Seconds => "histogram",
            };
            let _ = writeln!(text, "# HELP {last} {}\n# TYPE {last} {kind}", family.help);
        }
        text.push_str(last);
        for (n, (name, value)) in labels.iter().enumerate() {
            let before = if n == 0 { '{' } else { ',' };
            let _ = write!(text, "{before}{name}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
    }
    text.push('\n');
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::family::{CPU, PLUGINS};
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let sample = |family, labels: &[(&'static str, &str)], value| Sample {
            family,
            labels: labels.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            value,
        };
        let text = computed(&[
            sample(&PLUGINS, &[("state", "active"), ("mode", "external")], 2.0),
            sample(&PLUGINS, &[("state", "a\"b\\c\nd")], 0.0),
            sample(&CPU, &[], 1.25),
        ]);
        assert_eq!(
            text,
            "# HELP jackfield_plugins Installed plugins by what they are doing\n\
             # TYPE jackfield_plugins gauge\n\
             jackfield_plugins{state=\"active\",mode=\"external\"} 2\n\
             jackfield_plugins{state=\"a\\\"b\\\\c\\nd\"} 0\n\
             # HELP jackfield_plugin_cpu_seconds_total Processor time of a plugin's processes on this machine, since its process was started\n\
             # TYPE jackfield_plugin_cpu_seconds_total counter\n\
             jackfield_plugin_cpu_seconds_total 1.25\n\n"
        );
    }
}
