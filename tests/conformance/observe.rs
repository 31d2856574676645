//! Conversion of a response into the recorded form: status, compared headers, and the body as JSON,
//! text, base64, events or keys, scrubbed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::case::{Request, Step};
use super::{json, scrub::Scrubber};
use crate::support::client::Answer;

/// Headers that are compared.
const HEADERS: [&str; 13] = [
    "content-type",
    "cache-control",
    "warning",
    "www-authenticate",
    "allow",
    "accept-patch",
    "location",
    "retry-after",
    "x-content-type-options",
    "vary",
    "content-encoding",
    "audit-id",
    "etag",
];

/// Response in the recorded form.
pub(crate) fn observe(
    answer: &Answer,
    request: &Request,
    step: &Step,
    scrubber: &Scrubber<'_>,
) -> Result<Value> {
    let headers = headers(answer, scrubber);
    let json = headers
        .get("content-type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.contains("json"));
    let mut seen = json!({"status": answer.status, "headers": headers});
    let Ok(text) = std::str::from_utf8(&answer.body) else {
        seen["base64"] = BASE64_STANDARD.encode(&answer.body).into();
        return Ok(seen);
    };
    let watch = request.watch && answer.status == 200;
    let parsed = if watch {
        events(text)
    } else if json || step.keys.is_some() {
        serde_json::from_str(text).ok()
    } else {
        None
    };
    match (&step.keys, parsed) {
        (Some(wanted), parsed) => seen["keys"] = keys(&parsed.unwrap_or_default(), wanted)?,
        (None, Some(parsed)) if !request.verbatim => {
            seen[if watch { "events" } else { "body" }] = scrubber.value(&parsed);
        }
        _ if !text.is_empty() => seen["text"] = scrubber.text(text).into(),
        _ => {}
    }
    Ok(seen)
}

/// Captures a value from the raw response: from its body, which must be declared as JSON, or from a
/// header with `headers.x`.
pub(crate) fn take(answer: &Answer, place: &str) -> Result<String> {
    let headers: Map<String, Value> =
        answer.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let json = answer.header("content-type").is_some_and(|kind| kind.contains("json"));
    let mut parsed =
        answer.json().ok().filter(|body| json && body.is_object()).unwrap_or_else(|| json!({}));
    parsed["headers"] = headers.into();
    let found = json::lookup(&parsed, place)
        .with_context(|| format!("cannot capture {place} from the response"))?;
    Ok(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

fn headers(answer: &Answer, scrubber: &Scrubber<'_>) -> Map<String, Value> {
    let mut lines = BTreeMap::<_, Vec<&str>>::new();
    for (name, value) in answer.headers.iter().filter(|(name, _)| HEADERS.contains(&name.as_str()))
    {
        lines.entry(name.clone()).or_default().push(value);
    }
    lines
        .into_iter()
        .map(|(name, values)| (name, scrubber.text(&values.join(" | ")).into()))
        .collect()
}

fn events(text: &str) -> Option<Value> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str::<Value>(line).ok())
        .collect()
}

fn keys(parsed: &Value, wanted: &BTreeMap<String, String>) -> Result<Value> {
    let mut found = Map::new();
    for (place, pattern) in wanted {
        let pattern = Regex::new(pattern)?;
        let object = json::lookup(parsed, place).and_then(Value::as_object);
        let object = object.with_context(|| format!("the response has no object at {place:?}"))?;
        let mut keys: Vec<&str> =
            object.keys().map(String::as_str).filter(|key| pattern.is_match(key)).collect();
        keys.sort();
        found.insert(place.clone(), keys.into());
    }
    Ok(found.into())
}
