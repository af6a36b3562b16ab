//! The same figures, as OpenTelemetry has them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use metrics_exporter_prometheus::PrometheusRecorder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter as OtelCounter, Histogram as OtelHistogram, Meter};

use super::family::{COMPUTED, Family, Kind};
use super::recorder::BUCKETS;
use super::sample::Sample;

/// Where figures go beside Prometheus, while a collector is told of them.
static CURRENT: RwLock<Option<Arc<Instruments>>> = RwLock::new(None);

/// The instruments of one meter.
pub(super) struct Instruments {
    meter: Meter,
    counters: Mutex<HashMap<String, OtelCounter<u64>>>,
    histograms: Mutex<HashMap<String, OtelHistogram<f64>>>,
    /// What is computed, as it was lately: whoever collects cannot wait for a database.
    computed: Arc<Mutex<Vec<Sample>>>,
}

/// What a collector is told, where there is one.
pub(super) fn current() -> Option<Arc<Instruments>> {
    CURRENT
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// From now on figures go to this meter as well; to none without one.
pub(super) fn set(meter: Option<Meter>) {
    let instruments = meter.map(|meter| Arc::new(Instruments::new(meter)));
    *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = instruments;
}

impl Instruments {
    fn new(meter: Meter) -> Self {
        let computed: Arc<Mutex<Vec<Sample>>> = Arc::default();
        for family in COMPUTED {
            observe(&meter, family, Arc::clone(&computed));
        }
        Self {
            meter,
            counters: Mutex::default(),
            histograms: Mutex::default(),
            computed,
        }
    }

    /// What is computed, as it is now.
    pub(super) fn put(&self, samples: Vec<Sample>) {
        *lock(&self.computed) = samples;
    }

    fn count(&self, name: &str, value: u64, attributes: &[KeyValue]) {
        let mut counters = lock(&self.counters);
        let counter = counters
            .entry(name.to_owned())
            .or_insert_with(|| self.meter.u64_counter(name.to_owned()).build());
        counter.add(value, attributes);
    }

    fn measure(&self, name: &str, value: f64, attributes: &[KeyValue]) {
        let mut histograms = lock(&self.histograms);
        let histogram = histograms.entry(name.to_owned()).or_insert_with(|| {
            let builder = self.meter.f64_histogram(name.to_owned());
            builder
                .with_unit("s")
                .with_boundaries(BUCKETS.to_vec())
                .build()
        });
        histogram.record(value, attributes);
    }
}

/// Hands out the samples of one figure whenever it is collected.
fn observe(meter: &Meter, family: &'static Family, computed: Arc<Mutex<Vec<Sample>>>) {
    let told = move |tell: &dyn Fn(f64, &[KeyValue])| {
        for sample in lock(&computed).iter().filter(|s| s.family == family) {
            let labels = sample.labels.iter();
            let labels: Vec<_> = labels
                .map(|(name, value)| KeyValue::new(*name, value.clone()))
                .collect();
            tell(sample.value, &labels);
        }
    };
    match family.kind {
        Kind::Counter => {
            let instrument = meter.f64_observable_counter(family.name);
            instrument
                .with_description(family.help)
                .with_callback(move |to| told(&|value, labels| to.observe(value, labels)))
                .build();
        }
        Kind::Gauge | Kind::Seconds => {
            let instrument = meter.f64_observable_gauge(family.name);
            instrument
                .with_description(family.help)
                .with_callback(move |to| told(&|value, labels| to.observe(value, labels)))
                .build();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts for Prometheus, and for a collector while there is one.
pub(super) struct Twin {
    prometheus: PrometheusRecorder,
}

struct TwinCounter {
    prometheus: Counter,
    key: Key,
}

struct TwinHistogram {
    prometheus: Histogram,
    key: Key,
}

impl Twin {
    pub(super) fn new(prometheus: PrometheusRecorder) -> Self {
        Self { prometheus }
    }
}

impl Recorder for Twin {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.prometheus.describe_counter(key, unit, help);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.prometheus.describe_gauge(key, unit, help);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.prometheus.describe_histogram(key, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let prometheus = self.prometheus.register_counter(key, metadata);
        let key = key.clone();
        Counter::from_arc(Arc::new(TwinCounter { prometheus, key }))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.prometheus.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let prometheus = self.prometheus.register_histogram(key, metadata);
        let key = key.clone();
        Histogram::from_arc(Arc::new(TwinHistogram { prometheus, key }))
    }
}

impl CounterFn for TwinCounter {
    fn increment(&self, value: u64) {
        self.prometheus.increment(value);
        if let Some(instruments) = current() {
            instruments.count(self.key.name(), value, &attributes(&self.key));
        }
    }

    fn absolute(&self, value: u64) {
        // There is no such thing beyond Prometheus, and nobody here uses it.
        self.prometheus.absolute(value);
    }
}

impl HistogramFn for TwinHistogram {
    fn record(&self, value: f64) {
        self.prometheus.record(value);
        if let Some(instruments) = current() {
            instruments.measure(self.key.name(), value, &attributes(&self.key));
        }
    }
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    let labels = key.labels();
    labels
        .map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned()))
        .collect()
}
