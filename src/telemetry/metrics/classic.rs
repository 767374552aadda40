//! The text format of Prometheus before OpenMetrics (`text/plain; version=0.0.4`), which every
//! scraper reads.
//!
//! `prometheus-client` encodes OpenMetrics only. The samples of the two formats are the same; the
//! comment lines differ:
//!
//! | OpenMetrics 1.0                 | classic                              |
//! |---------------------------------|--------------------------------------|
//! | `# TYPE x counter`, `x_total`   | `# TYPE x_total counter`             |
//! | `# TYPE x info`, `x_info`       | `# TYPE x_info gauge`                |
//! | `# UNIT x seconds`              | none                                 |
//! | `# EOF`                         | none                                 |

/// Rewrites a page of OpenMetrics as our encoder makes it: HELP, TYPE and UNIT precede the samples
/// of their family.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut classic = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // Written once TYPE has decided the name.
            (Some("#"), Some("HELP"), Some(_), text) => help = text,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    other => ("", other),
                };
                if let Some(help) = help.take() {
                    push_line(&mut classic, &["# HELP ", name, suffix, " ", help]);
                }
                push_line(&mut classic, &["# TYPE ", name, suffix, " ", kind]);
            }
            (Some("#"), ..) => {}
            _ => push_line(&mut classic, &[line]),
        }
    }
    classic
}

fn push_line(page: &mut String, parts: &[&str]) {
    for part in parts {
        page.push_str(part);
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn counters_and_infos_are_named_by_their_samples() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"# b c\"} 1\n\
                    # HELP b How long it took.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
                    b_seconds_sum 0.5\n# HELP v Version.\n# TYPE v info\nv_info{version=\"1\"} 1\n# EOF\n";
        let classic = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"# b c\"} 1\n\
                       # HELP b_seconds How long it took.\n# TYPE b_seconds histogram\n\
                       b_seconds_sum 0.5\n# HELP v_info Version.\n# TYPE v_info gauge\nv_info{version=\"1\"} 1\n";
        assert_eq!(from_open_metrics(open), classic);
    }
}
