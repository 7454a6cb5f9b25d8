//! The request times, as Prometheus' histograms.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tidegate_api::{BOUNDS, POLL_ROUTE, Reading, RequestMetrics, Series};

const NAME: &str = "ota_request_duration_seconds";
const HELP: &str = "How long requests took, by route, method and HTTP status or gRPC code.";

/// Reads the times when it is asked.
pub(super) struct RequestTimes {
    request_metrics: Arc<RequestMetrics>,
    describes: Option<Desc>,
}

impl RequestTimes {
    pub(super) fn new(request_metrics: Arc<RequestMetrics>) -> Self {
        let labels = ["route", "method", "code"].map(str::to_owned);
        Self {
            request_metrics,
            // Refused only for names that are none.
            describes: Desc::new(NAME.to_owned(), HELP.to_owned(), labels.into(), HashMap::new()).ok(),
        }
    }
}

impl Collector for RequestTimes {
    fn desc(&self) -> Vec<&Desc> {
        self.describes.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let polls = self.request_metrics.polls().into_iter().map(|(status, reading)| {
            let series = Series {
                route: POLL_ROUTE.to_owned(),
                method: "GET".to_owned(),
                code: status.as_str().to_owned(),
            };
            (series, reading)
        });
        let times = polls
            .chain(self.request_metrics.others())
            .map(histogram)
            .collect();
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(times);
        vec![family]
    }
}

/// Without the bucket that has no bound: both formats write it from the count, and the library would write a bound of ours
/// as `inf`, which is no number to Prometheus' format.
fn histogram((series, reading): (Series, Reading)) -> Metric {
    let mut below = 0;
    let buckets = BOUNDS
        .into_iter()
        .zip(reading.buckets)
        .map(|(bound, requests)| {
            below += requests;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(below);
            bucket
        })
        .collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(reading.count());
    histogram.set_sample_sum(reading.seconds);
    let labels = [
        ("code", series.code),
        ("method", series.method),
        ("route", series.route),
    ];
    let mut metric = Metric::from_label(labels.map(label).into());
    metric.set_histogram(histogram);
    metric
}

fn label((name, value): (&str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}
