//! Check of the number of replicas: an embedded store can have one.

use super::finding::Finding;
use crate::cluster::Clients;
use crate::server::Options;
use crate::server::replicas::{ReplicaCheck, TooManyReplicas, check_replicas};

const SUBJECT: &str = "replicas";

/// Checks the Deployment of this server. Returns nothing if any number is allowed.
pub(super) async fn check(options: &Options, clients: &Clients) -> Vec<Finding> {
    let finding = match check_replicas(options, &clients.general).await {
        ReplicaCheck::Allowed => return Vec::new(),
        ReplicaCheck::Refused(error) => {
            Finding::problem(SUBJECT, error.fact()).remedy(TooManyReplicas::REMEDY)
        }
        ReplicaCheck::Unknown(reason) => {
            Finding::note(SUBJECT, format!("the Deployment cannot be read: {reason}"))
                .remedy("allow this server's user to get it (manifests/base/rbac-server.yaml)")
        }
    };
    vec![finding]
}
