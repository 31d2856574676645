//! The command line of a container as the kubelet makes it.

use serde_json::Value;

const FLAGS: &str = "IMAGESTREAM_APISERVER_FLAG_";

/// The arguments of the only container of a pod, with variables expanded. The variables that the
/// server reads as flags follow the first argument.
pub(crate) fn arguments(pod: &Value, namespace: &str) -> Vec<String> {
    let container = &pod["containers"][0];
    let variables = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let variables = variables.iter().fold(Vec::new(), |mut known, variable| {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.namespace") => Some(namespace),
            Some("spec.serviceAccountName") => pod["serviceAccountName"].as_str(),
            _ => variable["value"].as_str(),
        };
        let name = variable["name"].as_str().expect("it has a name");
        let value = expanded(value.expect("it has a value"), &known);
        known.push((name, value));
        known
    });
    let args = container["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    let args = args.iter().map(|argument| argument.as_str().expect("an argument is a string"));
    let mut all: Vec<String> = args.map(|argument| expanded(argument, &variables)).collect();
    let flags = variables.iter().filter_map(|(name, value)| {
        let flag = name.strip_prefix(FLAGS)?.to_lowercase().replace('_', "-");
        Some(format!("--{flag}={value}"))
    });
    let after_first = all.len().min(1);
    all.splice(after_first..after_first, flags);
    all
}

fn expanded(text: &str, variables: &[(&str, String)]) -> String {
    variables
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}
