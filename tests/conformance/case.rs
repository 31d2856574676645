//! Recorded conversation: its file format and the placeholders of its requests. Parsing is strict:
//! an unknown option is an error.

use std::collections::BTreeMap;
use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use regex::{Captures, Regex};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::json;

/// File under `cases`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// `area/case`, which is also the path of the file.
    pub(crate) name: String,
    /// Rule that the case checks.
    pub(crate) about: String,
    pub(crate) steps: Vec<Step>,
    /// Requests that are sent before and after the steps; their responses are ignored.
    #[serde(default)]
    pub(crate) cleanup: Vec<Value>,
}

/// Request with its recorded response and the options of their comparison.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// [`Request`] with unfilled placeholders.
    pub(crate) request: Value,
    /// `{"status", "headers", "body" | "text" | "base64" | "events" | "keys"}`, normalised.
    #[serde(default = "nothing")]
    pub(crate) response: Value,
    /// Identity that sends the request.
    #[serde(default = "admin", rename = "as")]
    pub(crate) identity: String,
    /// Variables to capture from the response, with the path of each; `headers.x` is the header x.
    #[serde(default)]
    pub(crate) capture: BTreeMap<String, String>,
    /// Captured variables that become placeholders in later responses.
    #[serde(default)]
    pub(crate) back: Vec<String>,
    /// `managedFields`, if it is compared.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
    /// Paths that are not compared.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
    /// Regular expressions with their replacements, for every string of the response.
    #[serde(default)]
    pub(crate) scrub: Vec<(String, String)>,
    /// Lists that are compared regardless of order.
    #[serde(default)]
    pub(crate) unordered: Vec<String>,
    /// Lists that are compared only in the elements with this value at this path.
    #[serde(default)]
    pub(crate) filter: BTreeMap<String, (String, Value)>,
    /// Objects that are compared instead of the response, in the keys that match only.
    pub(crate) keys: Option<BTreeMap<String, String>>,
    /// Minimum and maximum duration of the request in seconds.
    #[serde(default = "any_time")]
    pub(crate) seconds: (f64, f64),
    /// Delay before the request in seconds.
    #[serde(default)]
    pub(crate) wait: f64,
}

/// Recorded request with filled placeholders.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Request target, sent unchanged.
    pub(crate) path: String,
    /// A string is one header line, a list is several lines, null removes a default.
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    #[serde(default, deserialize_with = "even_null")]
    body: Option<Value>,
    text: Option<String>,
    base64: Option<String>,
    /// The response is a stream of events.
    #[serde(default)]
    pub(crate) watch: bool,
    /// The response is compared as text although it is JSON.
    #[serde(default)]
    pub(crate) verbatim: bool,
    /// Seconds during which the request is repeated until the response matches.
    #[serde(default)]
    pub(crate) retry: f64,
    /// Used by the recorder only.
    #[serde(rename = "until")]
    _until: Option<u16>,
}

impl Case {
    /// Reads a case and checks its requests and that its name matches its path.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let case: Self =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        ensure!(
            path.with_extension("").ends_with(&case.name),
            "{} has the name {}",
            path.display(),
            case.name
        );
        for request in case.steps.iter().map(|step| &step.request).chain(&case.cleanup) {
            Request::deserialize(request).with_context(|| format!("a request of {}", case.name))?;
        }
        Ok(case)
    }

    /// Returns true if the case needs a server in a cluster: with users and roles, or with a create
    /// in a missing namespace.
    pub(crate) fn needs_cluster(&self) -> bool {
        let text =
            |step: &Step, key: &str| step.request[key].as_str().unwrap_or_default().to_owned();
        let makes_in_missing_namespace = |step: &Step| {
            ["POST", "PATCH"].contains(&text(step, "method").as_str())
                && text(step, "path").contains("/conf-nosuch/")
        };
        self.area() == "authz" || self.steps.iter().any(makes_in_missing_namespace)
    }

    /// Returns true if the case needs a registry with the recorded images.
    pub(crate) fn needs_registry(&self) -> bool {
        self.area() == "imagestreamimports"
    }

    /// Area part of the name.
    pub(crate) fn area(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

impl Request {
    /// The same request as a watch that ends.
    pub(crate) fn into_watch(self, seconds: u8) -> Self {
        let path = format!("{}&timeoutSeconds={seconds}", self.path);
        Self { path, watch: true, ..self }
    }

    /// Fills the placeholders of a recorded request: `${NAME}` with a variable, `${x*1000}` with a
    /// thousand letters x.
    pub(crate) fn fill(recorded: &Value, variables: &BTreeMap<String, String>) -> Result<Self> {
        let placeholder = Regex::new(r"\$\{(?:x\*(\d+)|(\w+))\}").expect("the pattern is valid");
        let filled = fill(recorded, &placeholder, variables)?;
        serde_json::from_value(filled)
            .context("the request is invalid after filling its placeholders")
    }

    /// Bytes of the body, if any. JSON is formatted as in the recording.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(match (&self.body, &self.text, &self.base64) {
            (Some(body), ..) => Some(json::spaced(body).into_bytes()),
            (_, Some(text), _) => Some(text.clone().into_bytes()),
            (.., Some(base64)) => Some(BASE64_STANDARD.decode(base64)?),
            _ => None,
        })
    }

    /// Returns true if the body is JSON, which sets the default `content-type`.
    pub(crate) fn has_json(&self) -> bool {
        self.body.is_some()
    }

    /// Lines of a header of the case.
    pub(crate) fn lines(value: &Value) -> Result<Vec<String>> {
        let text =
            |value: &Value| value.as_str().map(str::to_owned).context("a header line is a string");
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => list.iter().map(text).collect(),
            one => Ok(vec![text(one)?]),
        }
    }
}

fn fill(value: &Value, placeholder: &Regex, variables: &BTreeMap<String, String>) -> Result<Value> {
    Ok(match value {
        Value::Object(object) => {
            let text = |key: &str| fill_text(key, placeholder, variables);
            let pairs = object
                .iter()
                .map(|(key, value)| Ok((text(key)?, fill(value, placeholder, variables)?)));
            Value::Object(pairs.collect::<Result<_>>()?)
        }
        Value::Array(list) => Value::Array(
            list.iter().map(|each| fill(each, placeholder, variables)).collect::<Result<_>>()?,
        ),
        Value::String(text) => fill_text(text, placeholder, variables)?.into(),
        other => other.clone(),
    })
}

fn fill_text(
    text: &str,
    placeholder: &Regex,
    variables: &BTreeMap<String, String>,
) -> Result<String> {
    if let Some(unknown) = placeholder
        .captures_iter(text)
        .filter_map(|found| found.get(2))
        .find(|name| !variables.contains_key(name.as_str()))
    {
        bail!("the variable {} is not captured yet", unknown.as_str());
    }
    let put = |found: &Captures<'_>| match (found.get(1), found.get(2)) {
        (Some(count), _) => "x".repeat(count.as_str().parse().unwrap_or_default()),
        (_, Some(name)) => variables[name.as_str()].clone(),
        _ => String::new(),
    };
    Ok(placeholder.replace_all(text, put).into_owned())
}

fn even_null<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

fn admin() -> String {
    "admin".to_owned()
}

fn any_time() -> (f64, f64) {
    (0.0, 90.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(request: Value) -> Result<Request> {
        Request::fill(&request, &BTreeMap::from([("RV".to_owned(), "12".to_owned())]))
    }

    #[test]
    fn placeholders_are_filled_in_keys_and_values() {
        let recorded = json!({"method": "PUT", "path": "/a?rv=${RV}", "body": {"${RV}": ["${x*3}", "$RV", 1]}});
        let request = filled(recorded).unwrap();
        assert_eq!(request.path, "/a?rv=12");
        assert_eq!(request.bytes().unwrap().unwrap(), br#"{"12": ["xxx", "$RV", 1]}"#);
    }

    #[test]
    fn a_variable_without_a_value_and_an_unknown_option_are_errors() {
        assert!(filled(json!({"method": "GET", "path": "/${NEW}"})).is_err());
        assert!(filled(json!({"method": "GET", "path": "/", "patience": 1})).is_err());
    }

    #[test]
    fn a_body_is_json_or_text_or_bytes_or_none() {
        let bytes = |mut request: Value| {
            request["method"] = "POST".into();
            request["path"] = "/".into();
            filled(request).unwrap().bytes().unwrap()
        };
        assert_eq!(bytes(json!({"body": null})), Some(b"null".to_vec()));
        assert_eq!(bytes(json!({"text": "a: b"})), Some(b"a: b".to_vec()));
        assert_eq!(bytes(json!({"base64": "AP8="})), Some(vec![0, 255]));
        assert_eq!(bytes(json!({})), None);
    }
}
