//! The options of a deletion (`DeleteOptions` of `meta/v1`).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::Value;

use super::context::RequestContext;
use super::decode;
use super::write_options::{check_valid, dry_run_error};
use crate::machinery::value;
use crate::meta::protobuf::DELETE_OPTIONS;
use crate::meta::{Status, excerpt, field};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::unreadable::{OPTION, ignores_read_errors};

/// Reads the options from the body or, if there is none, from the query (`DeleteResource` in
/// k8s.io/apiserver/pkg/endpoints/handlers/delete.go), and validates them
/// (`ValidateDeleteOptions` in k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go).
///
/// # Errors
/// 400 for options that cannot be decoded, 415 for an unsupported media type, 422 for invalid
/// values.
pub fn read(cx: &RequestContext) -> Result<DeleteOptions, Status> {
    let options = if cx.body.is_empty() { from_query(cx)? } else { from_body(cx)? };
    let dry_run: Vec<&str> = options.dry_run.iter().flatten().map(String::as_str).collect();
    let errors: field::Errors =
        propagation_policy_error(&options).into_iter().chain(dry_run_error(&dry_run)).collect();
    check_valid(KIND, &errors)?;
    check_valid(KIND, &unsafe_delete_errors(&options))?;
    Ok(options)
}

/// Reads the options of the deletion of a collection, see [`read`].
///
/// # Errors
/// The errors of [`read`], and 422 for an option that only one object can have.
pub fn read_for_collection(cx: &RequestContext) -> Result<DeleteOptions, Status> {
    let options = read(cx)?;
    let rule = "is not allowed with DELETECOLLECTION, try again after removing the option";
    let errors = ignores_read_errors(&options)
        .then(|| field::Error::invalid_value(OPTION, true, rule))
        .into_iter()
        .collect();
    check_valid(KIND, &errors)?;
    Ok(options)
}

/// The actor of a deletion.
pub fn actor(cx: &RequestContext, options: &DeleteOptions) -> Actor {
    let is_dry_run = options.dry_run.as_ref().is_some_and(|values| !values.is_empty());
    let dry_run = if is_dry_run { DryRun::All } else { DryRun::Off };
    let mut options = serde_json::to_value(options).unwrap_or_default();
    if let Value::Object(fields) = &mut options {
        fields.retain(|name, _| !["kind", "apiVersion"].contains(&name.as_str()));
    }
    Actor { dry_run, options: Some(Arc::new(options)), ..cx.actor.clone() }
}

const KIND: &str = "DeleteOptions";

fn from_query(cx: &RequestContext) -> Result<DeleteOptions, Status> {
    let text = |name| cx.query.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let dry_run: Vec<String> = cx.query.all("dryRun").map(str::to_owned).collect();
    // For a collection the parameter selects the version of the list. It is no precondition.
    let resource_version = text("resourceVersion").filter(|_| !cx.at.name().is_empty());
    let uid = text("uid");
    let has_preconditions = uid.is_some() || resource_version.is_some();
    Ok(DeleteOptions {
        dry_run: Some(dry_run).filter(|values| !values.is_empty()),
        grace_period_seconds: cx.query.integer("gracePeriodSeconds")?,
        orphan_dependents: cx
            .query
            .get("orphanDependents")
            .map(|_| cx.query.switch("orphanDependents")),
        preconditions: has_preconditions.then_some(Preconditions { resource_version, uid }),
        propagation_policy: cx.query.get("propagationPolicy").map(str::to_owned),
        ignore_store_read_error_with_cluster_breaking_potential: cx
            .query
            .get(OPTION)
            .map(|_| cx.query.switch(OPTION)),
        ..DeleteOptions::default()
    })
}

fn from_body(cx: &RequestContext) -> Result<DeleteOptions, Status> {
    let value = decode::options(cx, &DELETE_OPTIONS)?;
    if let Some(other) =
        value.get("kind").and_then(Value::as_str).filter(|kind| ![KIND, ""].contains(kind))
    {
        let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let (other, version) = (excerpt::of(other), excerpt::of(version));
        let text = format!(
            "no kind {other:?} is registered for version {version:?} in scheme \"meta.k8s.io\""
        );
        return Err(Status::bad_request(text));
    }
    value::from_value(value).map_err(Status::bad_request)
}

/// The options that an unsafe deletion excludes, as `ValidateIgnoreStoreReadError` in
/// k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.
fn unsafe_delete_errors(options: &DeleteOptions) -> field::Errors {
    if !ignores_read_errors(options) {
        return field::Errors::default();
    }
    let is_dry_run = options.dry_run.as_ref().is_some_and(|values| !values.is_empty());
    let excluded = [
        ("dryRun", is_dry_run),
        ("propagationPolicy", options.propagation_policy.is_some()),
        ("orphanDependents", options.orphan_dependents.is_some()),
        ("gracePeriodSeconds", options.grace_period_seconds.is_some()),
        ("preconditions", options.preconditions.is_some()),
    ];
    let set = excluded.iter().filter(|(_, is_set)| *is_set);
    set.map(|(name, _)| {
        let rule = format!("cannot be set together with .{name}");
        field::Error::invalid_value(OPTION, true, rule)
    })
    .collect()
}

fn propagation_policy_error(options: &DeleteOptions) -> Option<field::Error> {
    const NAME: &str = "propagationPolicy";
    match options.propagation_policy.as_deref()? {
        policy if options.orphan_dependents.is_some() => {
            let rule = "orphanDependents and deletionPropagation cannot be both set";
            Some(field::Error::invalid(NAME, policy, rule))
        }
        "Foreground" | "Background" | "Orphan" => None,
        other => Some(field::Error::unsupported(
            NAME,
            other,
            &["Foreground", "Background", "Orphan", "nil"],
        )),
    }
}
