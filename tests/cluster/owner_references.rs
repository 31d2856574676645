//! OwnerReferencesPermissionEnforcement: owners are set by users who may delete the object, and block
//! its owner only by users who may set finalizers of the owner.

use serde_json::{Value, json};

use super::backend::path;
use super::grants::user;
use super::objects;
use super::site::shared;
use super::wait;
use crate::support::client::Request;
use crate::support::expect::Expect;

const NAMESPACE: &str = "owners";

/// A stream that a Deployment owns.
fn owned(name: &str, kind: &str, blocks: bool) -> Value {
    let mut stream = objects::stream(name);
    let owner = json!({
        "apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "6f1c7a3e-5a0e-4d5e-9a43-6f0f5a0c1c11",
        "blockOwnerDeletion": blocks,
    });
    stream["metadata"]["ownerReferences"] = json!([owner]);
    stream
}

#[tokio::test]
async fn owners_need_the_permissions_of_the_user() {
    let site = shared().await;
    site.plane.create_namespace(NAMESPACE).await;
    let tester = user("owner-tester");
    site.plane.grant(NAMESPACE, &tester, &["create", "update"], &["imagestreams"]).await;
    let client = site.plane.client(site.plane.user("owner-tester", None).identity());
    let create = async |stream: &Value| {
        let request = Request::new("POST", &path(NAMESPACE, "imagestreams")).json(stream);
        client.send(request).await.expect("kube-apiserver answers")
    };
    let forbidden = |name: &str, why: &str| {
        format!("imagestreams.image.openshift.io \"{name}\" is forbidden: {why}")
    };
    create(&owned("free", "Deployment", false)).await.is(201);
    let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
    let blocking = owned("blocking", "Deployment", true);
    create(&blocking).await.fails(403, "Forbidden", &forbidden("blocking", why));
    let why = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind \
               Unknown: no matches for kind \"Unknown\" in version \"apps/v1\"";
    let unknown = owned("unknown", "Unknown", true);
    create(&unknown).await.fails(403, "Forbidden", &forbidden("unknown", why));

    let stored = create(&objects::stream("plain")).await.is(201);
    let mut changed = stored;
    changed["metadata"]["ownerReferences"] =
        owned("plain", "Deployment", false)["metadata"]["ownerReferences"].clone();
    let put = Request::new("PUT", &path(NAMESPACE, "imagestreams/plain")).json(&changed);
    let why = "cannot set an ownerRef on a resource you can't delete: , <nil>";
    let refused = client.send(put.clone()).await.expect("kube-apiserver answers");
    refused.fails(403, "Forbidden", &forbidden("plain", why));

    let rules = json!([
        {"apiGroups": ["apps"], "resources": ["deployments/finalizers"], "verbs": ["update"]},
        {"apiGroups": ["image.openshift.io"], "resources": ["imagestreams"], "verbs": ["delete"]},
    ]);
    let role = objects::role("Role", NAMESPACE, "finalizers", rules);
    let binding =
        objects::binding("RoleBinding", NAMESPACE, "finalizers", ("Role", "finalizers"), &[tester]);
    site.plane.apply(&[role, binding]);
    // Denied reviews are cached for a few seconds.
    wait::until("the permissions hold", || async {
        let answer = create(&blocking).await;
        if answer.status == 201 { Ok(()) } else { Err(format!("{}", answer.status)) }
    })
    .await;
    wait::until("the owner can be set", || async {
        let answer = client.send(put.clone()).await.expect("kube-apiserver answers");
        if answer.status == 200 { Ok(()) } else { Err(format!("{}", answer.status)) }
    })
    .await;
}
