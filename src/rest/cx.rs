//! One request, as far as handlers may know it.

use std::sync::Arc;

use bytes::Bytes;

use super::negotiate::Representation;
use super::query::Query;
use super::target::Target;
use crate::auth::User;
use crate::cluster::Namespaces;
use crate::meta::{Resource, Status, Time, field};

/// A request after authentication, routing and negotiation. Credentials are not in it.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Who asks.
    pub user: Arc<User>,
    /// What the path names.
    pub target: Target,
    /// The parameters.
    pub query: Query,
    /// The media type of the body, as the client wrote it.
    pub content_type: Option<String>,
    /// The body; empty for methods that have none.
    pub body: Bytes,
    /// How the answer is written.
    pub representation: Representation,
    /// When the request arrived.
    pub now: Time,
    /// Which namespaces there are.
    pub namespaces: Namespaces,
}

impl Cx {
    /// The name in the path; empty for collections.
    pub fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    /// The namespace in the path; empty for objects of the cluster and for all namespaces.
    pub fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    /// Whether the request only asks what would happen. `options` is the kind of the options, for the error.
    ///
    /// # Errors
    /// 422 for a value of `dryRun` that is not `All`.
    pub fn is_dry_run(&self, options: &'static str) -> Result<bool, Status> {
        let values: Vec<&str> = self.query.all("dryRun").collect();
        check_dry_run(&values, options)?;
        Ok(!values.is_empty())
    }
}

/// Refuses values of `dryRun` other than `All`. `options` is the kind of the options, for the error.
///
/// # Errors
/// 422 that names the value.
pub fn check_dry_run(values: &[&str], options: &'static str) -> Result<(), Status> {
    if values.iter().all(|value| *value == "All") {
        return Ok(());
    }
    let shown: Vec<String> = values.iter().map(|value| field::quote(value)).collect();
    let fault = field::Fault::Unsupported { value: format!("[{}]", shown.join(",")), supported: vec!["All"] };
    let kind = Resource { group: "meta.k8s.io", name: options };
    Err(Status::invalid(kind, "", &[field::Error { field: "dryRun".into(), fault }]))
}
