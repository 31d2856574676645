//! Consistency of `manifests/monitoring` with the metrics of the server. `.ci/alerts` tests when
//! the alerts fire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use imagestream_apiserver::telemetry::flow_metrics::SharedLimit;
use imagestream_apiserver::telemetry::import_metrics::{ImportOutcome, ResponseClass};
use imagestream_apiserver::telemetry::metrics::{Certificate, Delegated, Metrics, RequestLabels};
use imagestream_apiserver::telemetry::usage_metrics::{
    FileUsage, QuotaGauges, ResourceLabels, ResourceUsage,
};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::NAME;
use super::kustomize::{build, folder};
use super::rendered::{KUBECTL, Manifests, texts, texts_of};

static MONITORING: LazyLock<Manifests> = LazyLock::new(|| Manifests::with("monitoring"));

/// Series names with the label names of each.
type Series = BTreeMap<String, BTreeSet<String>>;

/// All series that the server exports after each metric was recorded once.
fn told() -> Series {
    let metrics = Metrics::new();
    let request = RequestLabels::default();
    metrics.record_response(&request, 200, Duration::ZERO);
    metrics.record_termination(&request, 429);
    metrics.flows().record_rejection(SharedLimit::Reads, "users", "queue-full");
    metrics.in_flight("mutating");
    metrics.record_delegated_request(Delegated::Authentication, Some(201));
    metrics.record_delegated_request(Delegated::Authorization, None);
    metrics.set_certificate_expiry(Certificate::Serving, Timestamp::UNIX_EPOCH);
    metrics.audit_errors();
    drop(metrics.long_running(&request));
    let usage = metrics.usage();
    usage.set_resource(
        ResourceLabels { group: "g", resource: "r" },
        ResourceUsage { objects: 1, bytes: 1, largest_bytes: Some(1) },
    );
    usage.set_file(FileUsage {
        backend: "embedded",
        bytes: 1,
        available_bytes: Some(1),
        reserve_bytes: 1,
        revision: 1,
        compacted: 1,
    });
    usage.set_quota(QuotaGauges { backend: "etcd3", bytes: 1, used_bytes: 1, quota_bytes: 1 });
    let imports = metrics.imports();
    imports.record_try("r.io", ImportOutcome::Imported, Duration::ZERO);
    imports.record_request("r.io", ResponseClass::None);
    usage.backups().set_latest(1, 1);
    usage.set_tag_events(1);
    usage.set_free_pages(1);
    let (series, label) =
        (Regex::new(r"^(\w+)(?:\{(.*)\})? \S+$").unwrap(), Regex::new(r#"(\w+)=""#).unwrap());
    let text = metrics.text();
    let lines = text.lines().filter_map(|line| series.captures(line));
    let labels = |text: &str| label.captures_iter(text).map(|found| found[1].to_owned()).collect();
    lines
        .map(|line| (line[1].to_owned(), labels(line.get(2).map_or("", |found| found.as_str()))))
        .collect()
}

/// The queries of the rules and of the dashboard, each with the alert or panel title.
fn questions() -> Vec<(String, String)> {
    let alerts = alerts().into_iter().map(|alert| (text(&alert["alert"]), text(&alert["expr"])));
    let dashboard = dashboard();
    let panels = list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
    let targets = panels.flat_map(|panel| {
        let targets = list(&panel["targets"]);
        assert!(!targets.is_empty(), "{} has queries", panel["title"]);
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"])))
    });
    let found: Vec<_> = alerts.chain(targets).collect();
    assert!(found.len() > 30, "the manifests have alerts and panels");
    found
}

fn alerts() -> Vec<Value> {
    alerts_of(MONITORING.the("PrometheusRule"))
}

fn alerts_of(rule: &Value) -> Vec<Value> {
    let groups = list(&rule["spec"]["groups"]);
    groups.iter().flat_map(|group| list(&group["rules"]).iter().cloned()).collect()
}

fn dashboard() -> Value {
    let map = MONITORING.the("ConfigMap");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    serde_json::from_str(&text(&map["data"]["imagestream-apiserver.json"]))
        .expect("a dashboard is JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("the value is a string").to_owned()
}

#[test]
fn rules_and_dashboard_use_existing_metrics_and_labels() {
    let mut told = told();
    // Prometheus itself records `up`.
    told.insert("up".to_owned(), BTreeSet::new());
    // Every selector needs the `job` label: a bare name would also select the series of other jobs.
    let selector = Regex::new(r"\b([a-z][a-z0-9_]+)\{([^}]*)\}").unwrap();
    let name = Regex::new(r"\b(?:\w*apiserver|process)_\w+").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*""#).unwrap();
    for (place, question) in questions() {
        let selectors: Vec<_> = selector.captures_iter(&question).collect();
        let names = name.find_iter(&question).count();
        let named = selectors.iter().filter(|found| name.is_match(&found[1])).count();
        assert_eq!(names, named, "{place}: every metric has a selector in {question}");
        for found in selectors {
            let labels =
                told.get(&found[1]).unwrap_or_else(|| panic!("{place}: no metric {}", &found[1]));
            let asked: BTreeSet<String> =
                matcher.captures_iter(&found[2]).map(|label| label[1].to_owned()).collect();
            assert!(asked.contains("job"), "{place}: {question}");
            for label in asked.iter().filter(|label| *label != "job") {
                assert!(labels.contains(label), "{place}: {} has no label {label}", &found[1]);
            }
        }
    }
}

#[test]
fn an_alert_is_explained_tested_and_has_a_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = |name: &str| fs::read_to_string(root.join(name)).expect("the file can be read");
    let (runbook, tested) = (file("manifests/monitoring/README.md"), file(".ci/alerts.test.yaml"));
    for alert in alerts() {
        let name = text(&alert["alert"]);
        let severity = text(&alert["labels"]["severity"]);
        assert!(["critical", "warning", "info"].contains(&&*severity), "{name}: {severity}");
        for part in ["summary", "description"] {
            assert!(text(&alert["annotations"][part]).len() > 20, "{name} has no {part}");
        }
        let url = text(&alert["annotations"]["runbook_url"]);
        assert!(url.starts_with("https://"), "{name}: {url}");
        assert!(url.ends_with(&format!("#{}", name.to_lowercase())), "{name}: {url}");
        assert!(
            runbook.contains(&format!("\n### {name}\n")),
            "{name} has no heading in the runbook"
        );
        assert!(
            tested.contains(&format!("alertname=\"{name}\"")),
            "{name} has no test in .ci/alerts.test.yaml"
        );
    }
}

#[test]
fn the_base_of_the_runbook_urls_is_set_in_one_place() {
    let own = tempfile::tempdir().expect("a temporary folder can be created");
    let (component, overlay) = (own.path().join("component"), own.path().join("overlay"));
    for folder in [&component, &overlay] {
        fs::create_dir(folder).expect("a folder can be created");
    }
    for entry in fs::read_dir(folder().join("monitoring")).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        fs::copy(&path, component.join(path.file_name().expect("a file has a name")))
            .expect("files can be copied");
    }
    let place = component.join("kustomization.yaml");
    let before = fs::read_to_string(&place).expect("the file can be read");
    let changed = Regex::new("base-url=.*")
        .unwrap()
        .replace(&before, "base-url=https://wiki.example.org/a/b");
    assert_ne!(changed, before);
    fs::write(&place, &*changed).expect("the file can be written");
    fs::write(overlay.join("kustomization.yaml"), "components: [../component]")
        .expect("the file can be written");

    let objects = build(&KUBECTL, &overlay);
    let rule = objects
        .iter()
        .find(|object| object["kind"] == "PrometheusRule")
        .expect("the component has rules");
    for alert in alerts_of(rule) {
        let url = text(&alert["annotations"]["runbook_url"]);
        let name = text(&alert["alert"]).to_lowercase();
        assert_eq!(url, format!("https://wiki.example.org/a/b#{name}"));
    }
}

#[test]
fn prometheus_finds_the_service_and_may_read_its_metrics() {
    let monitor = &MONITORING.the("ServiceMonitor")["spec"];
    let labels = &MONITORING.the("Service")["metadata"]["labels"];
    for (label, value) in monitor["selector"]["matchLabels"]
        .as_object()
        .expect("the ServiceMonitor selects by labels")
    {
        assert_eq!(&labels[label], value);
    }
    let endpoint = &monitor["endpoints"][0];
    assert_eq!(endpoint["port"], MONITORING.the("Service")["spec"]["ports"][0]["name"]);
    assert_eq!([&endpoint["scheme"], &endpoint["path"]], ["https", "/metrics"]);
    // The name without the namespace, so that the namespace can be another one.
    assert_eq!(endpoint["tlsConfig"]["serverName"], NAME);
    assert_eq!(labels[monitor["jobLabel"].as_str().expect("the job is a label")], NAME);
    assert_eq!(
        endpoint["tlsConfig"]["insecureSkipVerify"],
        Value::Null,
        "the certificate is verified"
    );

    let role = MONITORING
        .of_kind("ClusterRole")
        .find(|role| role["metadata"]["name"] == format!("{NAME}:metrics"));
    assert_eq!(
        role.expect("a role exists")["rules"],
        json!([{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }])
    );
    let subjects = MONITORING
        .of_kind("ClusterRoleBinding")
        .filter(|binding| binding["roleRef"]["name"] == format!("{NAME}:metrics"))
        .flat_map(|binding| texts_of(&binding["subjects"], "name"));
    assert_eq!(subjects.collect::<Vec<_>>(), ["prometheus-k8s"]);
    let role = MONITORING
        .of_kind("Role")
        .find(|role| role["metadata"]["name"] == format!("{NAME}:scrape"));
    for rule in list(&role.expect("a role exists")["rules"]) {
        assert_eq!(texts(&rule["verbs"]), ["get", "list", "watch"]);
    }
}
