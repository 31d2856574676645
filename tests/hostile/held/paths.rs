//! Consistent parsing of requests by authorizer and handler: the server acts on the object that it
//! authorized. Each row compares the access review of a request with the object that is returned or
//! changed.

use std::rc::Rc;

use serde_json::{Value, json};

use super::targets::TARGETS;
use crate::bodies::{digest, image, mapping, stream};
use crate::plane;
use crate::row::{Finding, Ground, Row, Seen, Table};
use crate::site::{Site, V1};
use crate::support::client::Request;

pub(crate) fn table() -> Table {
    let rows = TARGETS.iter().map(|&(method, target, status, review)| {
        Row::script(format!("{method} {target}"), move |site: Rc<Site>| async move {
            agree(&site, method, target, status, review).await
        })
    });
    Table::new("paths", rows.collect()).on(Ground::with_plane(plane::everything)).shared()
}

async fn agree(site: &Site, method: &str, target: &str, status: u16, review: &str) -> Finding {
    let plane = site.plane.as_ref().expect("the table has a control plane");
    plane.take_reviews();
    let answer =
        site.mal.send_unchecked(request(method, target)).await.map_err(|why| why.to_string())?;
    let reviews = plane.take_reviews();
    let asked: Vec<String> = reviews.iter().map(|spec| told(attributes(spec))).collect();
    let asked = asked.join(", ");
    // A watch returns one event per line.
    for body in answer
        .body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
    {
        let object = if body["object"].is_object() { &body["object"] } else { &body };
        reviews.first().map_or(Ok(()), |spec| is_same_object(attributes(spec), object))?;
    }
    if (answer.status, asked.as_str()) != (status, review.escape_debug().to_string().as_str()) {
        return Err(format!(
            "{} after {asked:?}, not {status} after {review:?}: {:.200}",
            answer.status,
            answer.text()
        ));
    }
    Ok(Seen { largest: answer.body.len(), note: format!("{status}, {asked}") })
}

/// Request with this method, and with a body if the method needs one.
fn request(method: &str, target: &str) -> Request {
    let target = if target.starts_with('/') { target.to_owned() } else { format!("{V1}/{target}") };
    let request = Request::new(method, &target);
    let body = match (method, target.contains("imagestreammappings")) {
        ("POST", true) => mapping("w", "new", &image(&digest("ab"))),
        ("POST", false) => stream("made"),
        ("PUT", _) => stream("w"),
        ("PATCH", _) => return with_patch(request),
        _ => return request,
    };
    request.json(&body)
}

fn with_patch(request: Request) -> Request {
    let mut request = request.header("content-type", "application/merge-patch+json");
    request.body = Some(json!({"metadata": {"annotations": {"a": "b"}}}).to_string().into_bytes());
    request
}

fn attributes(spec: &Value) -> &Value {
    if spec["resourceAttributes"].is_null() {
        &spec["nonResourceAttributes"]
    } else {
        &spec["resourceAttributes"]
    }
}

/// `VERB RESOURCE/SUBRESOURCE NAMESPACE/NAME`, without missing parts.
pub(crate) fn told(attributes: &Value) -> String {
    let text = |key: &str| attributes[key].as_str().unwrap_or_default();
    let mut told = format!("{} {}", text("verb"), text("path").to_owned() + text("resource"));
    if !text("subresource").is_empty() {
        told += &format!("/{}", text("subresource"));
    }
    match (text("namespace"), text("name")) {
        ("", "") => {}
        ("", name) => told += &format!(" {name}"),
        (namespace, name) => told += &format!(" {namespace}/{name}"),
    }
    told.escape_debug().to_string()
}

/// Compares the authorized object with the returned object, or with the items of a returned list.
///
/// # Errors
/// The response has another object than the authorized one.
fn is_same_object(decided: &Value, body: &Value) -> Result<(), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&decided["namespace"]), text(&decided["name"]));
    let differs = |what: &str, found: String| {
        Err(format!("{what} {found:?} is returned after the review {}", told(decided)))
    };
    if body["kind"] == "Status" {
        let found = text(&body["details"]["name"]);
        let is_other =
            body["code"] == 404 && !found.is_empty() && !name.is_empty() && found != name;
        return if is_other { differs("the name", found) } else { Ok(()) };
    }
    let objects = body["items"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    for metadata in objects.iter().map(|object| &object["metadata"]) {
        let found = text(&metadata["namespace"]);
        if !namespace.is_empty() && !found.is_empty() && found != namespace {
            return differs("the namespace", found);
        }
        let found = text(&metadata["name"]);
        // The response to a partial digest has the full digest in its name.
        if !name.is_empty() && !found.is_empty() && !found.starts_with(&name) {
            return differs("the name", found);
        }
    }
    Ok(())
}
