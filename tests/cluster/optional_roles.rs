//! The roles of optional components.

use std::path::Path;

use serde_json::Value;

use super::grants::user;
use super::kubectl::{Kubectl, Said};
use super::objects;
use super::site::{DIGEST, Shared, shared};
use super::wait::until;

const NAMESPACE: &str = "optional-roles";

/// The ClusterRoles in a file of a component.
fn roles(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/components").join(file);
    let text = std::fs::read_to_string(path).expect("the component can be read");
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).expect("the component is YAML");
    objects.retain(|object| object["kind"] == "ClusterRole");
    objects
}

/// A user with a role of a component, in the namespace or in the whole cluster.
fn with(site: &Shared, kind: &str, file: &str, name: &str, role: &str) -> Kubectl {
    let mut objects = roles(file);
    objects.push(objects::namespace(NAMESPACE));
    let namespace = if kind == "RoleBinding" { NAMESPACE } else { "" };
    let role = ("ClusterRole", role);
    objects.push(objects::binding(kind, namespace, name, role, &[user(name)]));
    site.plane.apply(&objects);
    site.plane.kubectl_of(&site.plane.user(name, None).identity())
}

fn run(kubectl: &Kubectl, arguments: &[&str]) -> Said {
    kubectl.run(&[&["--namespace", NAMESPACE], arguments].concat(), &[])
}

fn can(kubectl: &Kubectl, verb: &str, resource: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let resource = format!("{resource}.image.openshift.io");
    let subresource = format!("--subresource={subresource}");
    let said = run(kubectl, &["auth", "can-i", verb, &resource, &subresource]);
    said.output.trim_end() == "yes"
}

#[tokio::test]
async fn openshift_roles_give_the_rights_of_their_names() {
    let site = shared().await;
    let layers = "imagestreams/layers";
    for (role, allowed, denied) in [
        (
            "system:image-puller",
            vec![("get", layers)],
            vec![("update", layers), ("get", "imagestreams")],
        ),
        ("system:image-pusher", vec![("update", layers)], vec![("create", "imagestreams")]),
        (
            "system:image-builder",
            vec![("create", "imagestreams")],
            vec![("delete", "imagestreams")],
        ),
        ("registry-viewer", vec![("list", "imagestreamtags")], vec![("create", "imagestreams")]),
        (
            "registry-editor",
            vec![("create", "imagestreamimports"), ("create", "imagestreammappings")],
            vec![("get", "images")],
        ),
        ("registry-admin", vec![("delete", "imagestreams")], vec![("create", "imagesignatures")]),
        ("system:image-signer", vec![("create", "imagesignatures")], vec![("create", "images")]),
        ("system:image-pruner", vec![("delete", "images")], vec![("create", "images")]),
    ] {
        let name = role.trim_start_matches("system:");
        let is_of_cluster = ["image-signer", "image-pruner"].contains(&name);
        let kind = if is_of_cluster { "ClusterRoleBinding" } else { "RoleBinding" };
        let kubectl = with(&site, kind, "openshift-roles/roles.yaml", name, role);
        until("the binding is in effect", || async {
            let (verb, resource) = allowed[0];
            let is_allowed = can(&kubectl, verb, resource);
            if is_allowed { Ok(()) } else { Err(format!("{role} may not {verb} {resource}")) }
        })
        .await;
        for (verb, resource) in &allowed {
            assert!(can(&kubectl, verb, resource), "{role} may not {verb} {resource}");
        }
        for (verb, resource) in &denied {
            assert!(!can(&kubectl, verb, resource), "{role} may {verb} {resource}");
        }
    }
}

#[tokio::test]
async fn an_editor_creates_mappings_with_client_validation() {
    let site = shared().await;
    site.plane.apply(&[objects::namespace(NAMESPACE)]);
    site.plane.bind(NAMESPACE, &user("validating"), "edit", ("create", "imagestreams")).await;
    let editor = site.plane.kubectl_of(&site.plane.user("validating", None).identity());
    let create = |object: &Value| {
        let arguments = ["--namespace", NAMESPACE, "create", "--filename=-"];
        editor.run(&arguments, object.to_string().as_bytes())
    };
    create(&objects::stream("mapped")).done();
    let refused = create(&objects::mapping("mapped", DIGEST)).failed();
    assert!(refused.contains("failed to list CRDs"), "{refused}");
    let role = "imagestream-apiserver:client-validation";
    with(&site, "ClusterRoleBinding", "client-validation/rbac.yaml", "validating", role);
    until("the mapping is created", || async {
        let said = create(&objects::mapping("mapped", DIGEST));
        if said.code == Some(0) { Ok(()) } else { Err(said.errors) }
    })
    .await;
}
