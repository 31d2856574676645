//! The text format of Prometheus, version 0.0.4, made of OpenMetrics.
//!
//! The formats have the same samples. In OpenMetrics a counter is named without the suffix of its
//! samples, and a line marks the end.

/// Converts OpenMetrics to the text format.
pub(super) fn from_open_metrics(metrics: &str) -> String {
    let mut text = String::with_capacity(metrics.len());
    // The type of a metric follows its help, which needs the same name.
    let mut help = None;
    // kube-apiserver has counters whose names end with `_count`.
    let mut count = None;
    for line in metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), description) => {
                help = Some((name, description.unwrap_or_default()));
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                count = (kind == "counter" && name.ends_with("_count")).then_some(name);
                let (suffix, kind) = match kind {
                    "counter" if count.is_some() => ("", kind),
                    "counter" => ("_total", kind),
                    "unknown" => ("", "untyped"),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                if let Some((_, description)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{suffix} {description}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                let counted = count.and_then(|name| line.strip_prefix(name));
                match counted.and_then(|rest| rest.strip_prefix("_total")) {
                    Some(rest) => text.extend([count.unwrap_or_default(), rest]),
                    None => text.push_str(line),
                }
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_names_of_their_samples() {
        let metrics = "# HELP a Things.\n# TYPE a counter\na_total{l=\"# x\"} 1\n# HELP b_bytes Size.\n\
                       # TYPE b_bytes gauge\n# UNIT b_bytes bytes\nb_bytes 2\n# HELP c_count Calls.\n\
                       # TYPE c_count counter\nc_count_total{l=\"x\"} 3\n# EOF\n";
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{l=\"# x\"} 1\n\
                    # HELP b_bytes Size.\n# TYPE b_bytes gauge\nb_bytes 2\n# HELP c_count Calls.\n\
                    # TYPE c_count counter\nc_count{l=\"x\"} 3\n";
        assert_eq!(from_open_metrics(metrics), text);
    }
}
