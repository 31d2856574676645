//! The recorded conversations that need users, roles and namespaces, replayed on the server's own
//! port.

use super::grants::{group, user};
use super::objects;
use super::site::{Shared, anonymous, front_proxy, shared};
use crate::replay::case::Case;
use crate::suite::Suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_that_needs_a_cluster_is_answered_as_recorded() {
    let suite = Suite::of(Case::needs_cluster);
    let site = shared().await;
    prepare(&site).await;
    let certificate = |name: &str, group: Option<&str>| site.plane.user(name, group).identity();
    let identities = [
        ("admin", certificate("admin", Some("system:masters"))),
        ("alice", certificate("alice", None)),
        ("viewer", certificate("viewer", None)),
        ("frontproxy", front_proxy(&site.plane).identity()),
        ("anonymous", anonymous()),
    ];
    let clients =
        identities.map(|(name, identity)| (name.to_owned(), site.backend.client(&identity)));
    // No case gets as far as a registry. The name is replaced in responses, so no case contains it.
    suite.with("registry", "registry.invalid").replay(clients.into()).await;
}

/// Creates the namespaces and roles that the recorded conversations use.
async fn prepare(site: &Shared) {
    let [namespace, source] = ["conf-authz", "conf-authz-source"];
    let others =
        ["imagestreams", "imagestreammappings", "imagestreamtags", "imagetags", "machinery"];
    let others = others.map(|area| format!("conf-{area}"));
    let all = [namespace, source].into_iter().chain(others.iter().map(String::as_str));
    site.plane.apply(&all.map(objects::namespace).collect::<Vec<_>>());
    let edited =
        ["imagestreams", "imagestreamtags", "imagetags", "imagestreamimports", "imagestreamimages"];
    let edit = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    for subject in [user("editor"), user("puller"), group("conf-editors")] {
        site.plane.grant(namespace, &subject, &edit, &edited).await;
    }
    site.plane
        .grant(namespace, &user("viewer"), &["get"], &["imagestreams", "imagestreamimages"])
        .await;
    site.plane.grant(source, &user("puller"), &["get"], &["imagestreams/layers"]).await;
}
