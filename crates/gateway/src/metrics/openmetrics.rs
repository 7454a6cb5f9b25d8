//! The page in the OpenMetrics text format, which Prometheus asks for first.
//!
//! The library that gathers the metrics writes the older text format only. The two differ in little: a counter's family has
//! a name without `_total`, numbers that bound a bucket have a decimal point, help texts escape quotes, and the page ends
//! with a line that says so.
//!
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/#text-format>

use std::fmt::Write as _;

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// What the page ends with: whoever reads no such line has not read all of it.
const END: &str = "# EOF\n";

/// Writes the families, without timestamps and exemplars, which we have none of.
pub(super) fn write(families: &[MetricFamily]) -> String {
    let mut page = String::new();
    for family in families {
        write_family(&mut page, family);
    }
    page.push_str(END);
    page
}

fn write_family(page: &mut String, family: &MetricFamily) {
    let name = family.name();
    let (family_name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (name.strip_suffix("_total").unwrap_or(name), "counter"),
        MetricType::HISTOGRAM => (name, "histogram"),
        MetricType::GAUGE => (name, "gauge"),
        // There are none; the format's word for what it does not know.
        MetricType::SUMMARY | MetricType::UNTYPED => (name, "unknown"),
    };
    let _ = writeln!(page, "# TYPE {family_name} {kind}");
    let _ = writeln!(page, "# HELP {family_name} {}", escape(family.help()));
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                sample(page, family_name, "_total", metric, None, value);
            }
            MetricType::HISTOGRAM => histogram(page, family_name, metric),
            _ => sample(
                page,
                family_name,
                "",
                metric,
                None,
                metric.get_gauge().get_value(),
            ),
        }
    }
}

fn histogram(page: &mut String, name: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let finite = histogram
        .get_bucket()
        .iter()
        .filter(|bucket| bucket.upper_bound().is_finite());
    for bucket in finite {
        // `Debug` writes a whole number with its decimal point.
        let bound = format!("{:?}", bucket.upper_bound());
        let value = count(bucket.cumulative_count());
        sample(page, name, "_bucket", metric, Some(&bound), value);
    }
    let all = count(histogram.get_sample_count());
    sample(page, name, "_bucket", metric, Some("+Inf"), all);
    sample(page, name, "_sum", metric, None, histogram.get_sample_sum());
    sample(page, name, "_count", metric, None, all);
}

fn sample(page: &mut String, name: &str, suffix: &str, metric: &Metric, bound: Option<&str>, value: f64) {
    let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    let labels: Vec<String> = labels
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    let _ = writeln!(page, "{name}{suffix}{labels} {}", number(value));
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn each_kind_is_written_as_the_format_has_it() {
        let registry = Registry::new();
        let polls =
            IntCounterVec::new(Opts::new("polls_total", "Polls, \"all\".\nOf them"), &["why"]).unwrap();
        polls.with_label_values(&["a\\b\"c\nd"]).inc_by(3);
        let share = GaugeVec::new(Opts::new("share", "A share."), &[]).unwrap();
        share.with_label_values::<&str>(&[]).set(f64::INFINITY);
        let opts = HistogramOpts::new("seconds", "Times.").buckets(vec![0.25, 1.0]);
        let times = HistogramVec::new(opts, &["route"]).unwrap();
        times.with_label_values(&["/"]).observe(0.5);
        times.with_label_values(&["/"]).observe(2.0);
        registry.register(Box::new(polls)).unwrap();
        registry.register(Box::new(share)).unwrap();
        registry.register(Box::new(times)).unwrap();

        let page = write(&registry.gather());
        let expected = r##"# TYPE polls counter
# HELP polls Polls, \"all\".\nOf them
polls_total{why="a\\b\"c\nd"} 3
# TYPE seconds histogram
# HELP seconds Times.
seconds_bucket{route="/",le="0.25"} 0
seconds_bucket{route="/",le="1.0"} 1
seconds_bucket{route="/",le="+Inf"} 2
seconds_sum{route="/"} 2.5
seconds_count{route="/"} 2
# TYPE share gauge
# HELP share A share.
share +Inf
# EOF
"##;
        assert_eq!(page, expected);
    }
}
