//! Parts of the APIs of Kubernetes that kubectl and oc need, for a server without a cluster.
//!
//! kubectl asks for the namespace after a 404, and replaces the message by its own if that request
//! fails as well. `kubectl auth whoami` and `can-i` post reviews. In a cluster, kube-apiserver serves
//! all of this.

mod namespaces;
mod protobuf;
mod selfsubjectaccessreviews;
mod selfsubjectreviews;

use std::sync::Arc;

use super::Catalog;
use crate::cluster::Namespaces;
use crate::endpoints::endpoint::Endpoint;
use crate::endpoints::serve::Api;
use crate::machinery::group_version::GroupVersion;
use crate::registry::permission::Permissions;

pub use namespaces::CORE;

/// The APIs and their resources. Only the core group is part of discovery, because clients of the
/// reviews do not look them up.
pub fn apis(catalog: &Arc<Catalog>, permissions: &Permissions) -> Vec<(GroupVersion, Api)> {
    let api = |endpoint: Endpoint| Api::new(vec![endpoint], Namespaces::all(), permissions.clone());
    vec![
        (CORE, api(namespaces::endpoint(catalog))),
        (selfsubjectreviews::API, api(selfsubjectreviews::endpoint())),
        (selfsubjectaccessreviews::API, api(selfsubjectaccessreviews::endpoint())),
    ]
}
