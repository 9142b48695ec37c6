//! Prometheus' text format 0.0.4 from that of OpenMetrics.

use std::borrow::Cow;

/// Rewrites OpenMetrics as Prometheus' text format: a counter's `# HELP` and `# TYPE` name its
/// sample, which ends in `_total`, and there is neither `# UNIT` nor `# EOF`. Samples are the same.
pub(super) fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let line = if let Some(help) = line.strip_prefix("# HELP ") {
            // The type is in the next line.
            let is_counter = lines.peek().is_some_and(|next| next.ends_with(" counter"));
            let (name, rest) = help.split_once(' ').unwrap_or((help, ""));
            let total = if is_counter { "_total" } else { "" };
            Cow::Owned(format!("# HELP {name}{total} {rest}"))
        } else if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        } else if let Some(name) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.strip_suffix(" counter"))
        {
            Cow::Owned(format!("# TYPE {name}_total counter"))
        } else {
            Cow::Borrowed(line)
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_by_their_samples_and_units_are_left_out() {
        let open_metrics = "\
# HELP a_bytes Bytes written.
# TYPE a_bytes counter
# UNIT a_bytes bytes
a_bytes_total{kind=\"x y\"} 3
# HELP b A gauge, no counter.
# TYPE b gauge
b 1
# HELP c_seconds Time.
# TYPE c_seconds histogram
# UNIT c_seconds seconds
c_seconds_sum 0.1
c_seconds_count 1
c_seconds_bucket{le=\"0.2\"} 1
c_seconds_bucket{le=\"+Inf\"} 1
# EOF
";
        let text = "\
# HELP a_bytes_total Bytes written.
# TYPE a_bytes_total counter
a_bytes_total{kind=\"x y\"} 3
# HELP b A gauge, no counter.
# TYPE b gauge
b 1
# HELP c_seconds Time.
# TYPE c_seconds histogram
c_seconds_sum 0.1
c_seconds_count 1
c_seconds_bucket{le=\"0.2\"} 1
c_seconds_bucket{le=\"+Inf\"} 1
";
        assert_eq!(to_text(open_metrics), text);
    }
}
