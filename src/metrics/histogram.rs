//! Histograms with fixed buckets.
//!
//! The exporter's own histograms keep each value until the next scrape or upkeep: a value costs about 250 instructions and
//! 16 bytes there, and there are up to four for each request. Here it is two atomic additions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::table::{Kind, TABLE};

/// Counts values by buckets.
struct FixedHistogram {
    /// The upper ends of the buckets, each included.
    ends: &'static [f64],
    /// One for each end, and one for values above the last.
    counts: Box<[AtomicU64]>,
    /// The bits of a float.
    sum: AtomicU64,
}

impl FixedHistogram {
    fn new(ends: &'static [f64]) -> Self {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        Self { ends, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }
}

impl HistogramFn for FixedHistogram {
    fn record(&self, value: f64) {
        let bucket = self.ends.partition_point(|end| *end < value);
        self.counts.get(bucket).inspect(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It always adds.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// All histograms, by name and by the text of their labels.
#[derive(Default)]
pub(super) struct Histograms(Mutex<BTreeMap<(String, String), Arc<FixedHistogram>>>);

impl Histograms {
    fn register(&self, key: &Key) -> Histogram {
        let metric = TABLE.iter().find(|metric| metric.name == key.name());
        let Some(Kind::Histogram(ends)) = metric.map(|metric| &metric.kind) else { return Histogram::noop() };
        let mut labels = String::new();
        for label in key.labels() {
            // Labels of histograms come from closed sets: there is nothing to escape.
            let _ = write!(labels, "{}=\"{}\",", label.key(), label.value());
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram =
            all.entry((key.name().to_owned(), labels)).or_insert_with(|| Arc::new(FixedHistogram::new(ends)));
        Histogram::from_arc(Arc::clone(histogram))
    }

    /// Adds all series in the text format of Prometheus.
    pub(super) fn render(&self, text: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut described = "";
        for ((name, labels), histogram) in &*all {
            if described != name {
                let metric = TABLE.iter().find(|metric| metric.name == name);
                let help = metric.map(super::table::Metric::plain_help).unwrap_or_default();
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
                described = name;
            }
            let mut total = 0;
            let ends = histogram.ends.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (end, count) in ends.zip(&histogram.counts) {
                total += count.load(Ordering::Relaxed);
                let _ = writeln!(text, "{name}_bucket{{{labels}le=\"{end}\"}} {total}");
            }
            let sum = f64::from_bits(histogram.sum.load(Ordering::Relaxed));
            let braced = match labels.strip_suffix(',') {
                Some(labels) => format!("{{{labels}}}"),
                None => String::new(),
            };
            let _ = writeln!(text, "{name}_sum{braced} {sum}\n{name}_count{braced} {total}\n");
        }
    }
}

/// The exporter's recorder, but for histograms.
pub(super) struct TableRecorder {
    pub(super) exporter: PrometheusRecorder,
    pub(super) histograms: Arc<Histograms>,
}

impl Recorder for TableRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_gauge(key, unit, description);
    }

    // The table describes them.
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.exporter.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.histograms.register(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::{DECISION_SECONDS, STORE_BATCH_SIZE};

    #[test]
    fn a_value_is_in_the_first_bucket_whose_end_is_not_below_it() {
        let histograms = Histograms::default();
        let histogram = histograms.register(&Key::from_parts(STORE_BATCH_SIZE, &[("store", "redis")]));
        for value in [1.0, 2.0, 3.0, 4.0, 128.0, 500.0] {
            histogram.record(value);
        }
        let mut text = String::new();
        histograms.render(&mut text);
        for line in [
            "_bucket{store=\"redis\",le=\"1\"} 1",
            "_bucket{store=\"redis\",le=\"2\"} 2",
            "_bucket{store=\"redis\",le=\"4\"} 4",
            "_bucket{store=\"redis\",le=\"64\"} 4",
            "_bucket{store=\"redis\",le=\"128\"} 5",
            "_bucket{store=\"redis\",le=\"+Inf\"} 6",
            "_sum{store=\"redis\"} 638",
            "_count{store=\"redis\"} 6",
        ] {
            assert!(text.contains(&format!("\n{STORE_BATCH_SIZE}{line}\n")), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn handles_of_one_series_share_it() {
        let histograms = Histograms::default();
        let key = Key::from_name(DECISION_SECONDS);
        histograms.register(&key).record(0.5);
        histograms.register(&key).record(0.25);
        let mut text = String::new();
        histograms.render(&mut text);
        assert!(
            text.contains(&format!("\n{DECISION_SECONDS}_sum 0.75\n{DECISION_SECONDS}_count 2\n")),
            "{text}"
        );
    }

    #[test]
    fn a_histogram_that_is_not_in_the_table_counts_nothing() {
        let histograms = Histograms::default();
        histograms.register(&Key::from_name("other_seconds")).record(1.0);
        let mut text = String::new();
        histograms.render(&mut text);
        assert_eq!(text, "");
    }
}
