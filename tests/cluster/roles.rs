//! The rules on image resources that the manifests aggregate to the default roles.

use serde_json::{Value, json};

use super::grants::user;
use super::kubectl::{Kubectl, Said};
use super::objects;
use super::site::{DIGEST, Shared, shared};

const ROLES: &str = "roles";

/// A user with a role in the namespace.
async fn with(site: &Shared, name: &str, role: &str) -> Kubectl {
    site.plane.apply(&[objects::namespace(ROLES)]);
    site.plane.bind(ROLES, &user(name), role, ("get", "imagestreams")).await;
    site.plane.kubectl_of(&site.plane.user(name, None).identity())
}

fn run(kubectl: &Kubectl, arguments: &[&str]) -> Said {
    kubectl.run(&[&["--namespace", ROLES], arguments].concat(), &[])
}

fn create(kubectl: &Kubectl, object: &Value) -> Said {
    let arguments = ["--namespace", ROLES, "create", objects::WITHOUT_VALIDATION, "--filename=-"];
    kubectl.run(&arguments, object.to_string().as_bytes())
}

/// A tag that refers to the tag `latest` of the same stream.
fn tag(stream: &str) -> Value {
    json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": format!("{stream}:prod")},
        "tag": {"name": "prod", "from": {"kind": "ImageStreamTag", "name": "latest"}}})
}

#[tokio::test]
async fn edit_may_push_and_tag() {
    let site = shared().await;
    let editor = with(&site, "edits", "edit").await;
    create(&editor, &objects::stream("edited")).done();
    create(&editor, &objects::mapping("edited", DIGEST)).done();
    create(&editor, &tag("edited")).done();
    let image =
        run(&editor, &["get", "istag/edited:prod", "--output=jsonpath={.image.metadata.name}"])
            .done();
    assert_eq!(image, DIGEST);
    run(&editor, &["delete", "istag/edited:prod"]).done();
    run(&editor, &["delete", "is/edited"]).done();
}

#[tokio::test]
async fn edit_role_cannot_touch_images_status_or_other_namespaces() {
    let site = shared().await;
    let editor = with(&site, "edits-only", "edit").await;
    let image = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "planted"},
        "dockerImageReference": "registry.example.com/a/b"});
    create(&editor, &objects::stream("happened")).done();
    let status = [
        "patch",
        "is/happened",
        "--subresource=status",
        "--type=merge",
        r#"--patch={"status":{"tags":[]}}"#,
    ];
    let elsewhere = ["get", "is", "--namespace=default"];
    for refused in [create(&editor, &image), run(&editor, &status), run(&editor, &elsewhere)] {
        let errors = refused.failed();
        assert!(errors.contains("User \"edits-only\" cannot "), "{errors}");
    }
}

#[tokio::test]
async fn creating_a_mapping_with_validation_needs_list_crds() {
    let site = shared().await;
    with(&site, "with-edit", "edit").await;
    let admin = site.plane.kubectl_of(&site.plane.user("admin", Some("system:masters")).identity());
    create(&admin, &objects::stream("validated")).done();
    let mapping = objects::mapping("validated", DIGEST).to_string();
    let arguments = ["--namespace", ROLES, "create", "--validate=strict", "--filename=-"];
    admin.run(&arguments, mapping.as_bytes()).done();
}

#[tokio::test]
async fn view_may_get_and_neither_push_nor_tag() {
    let site = shared().await;
    let (editor, viewer) = (with(&site, "owner", "edit").await, with(&site, "views", "view").await);
    create(&editor, &objects::stream("viewed")).done();
    create(&editor, &objects::mapping("viewed", DIGEST)).done();
    for what in [
        "is/viewed",
        "istag/viewed:latest",
        "itag/viewed:latest",
        &format!("isimage/viewed@{DIGEST}"),
    ] {
        run(&viewer, &["get", what]).done();
    }
    run(&viewer, &["get", "is,istag,itag"]).done();

    let cannot = |verb: &str, resource: &str, name: &str| {
        format!(
            "Error from server (Forbidden): {name}is forbidden: User \"views\" cannot {verb} resource \
             \"{resource}\" in API group \"image.openshift.io\" in the namespace \"roles\""
        )
    };
    let prefixed = |resource: &str| {
        cannot(
            "create",
            resource,
            &format!("error when creating \"STDIN\": {resource}.image.openshift.io "),
        )
    };
    let refused = create(&viewer, &objects::mapping("viewed", DIGEST)).failed();
    assert_eq!(refused.trim_end(), prefixed("imagestreammappings"));
    let refused = create(&viewer, &tag("viewed")).failed();
    assert_eq!(refused.trim_end(), prefixed("imagestreamtags"));
    let refused = run(&viewer, &["annotate", "is/viewed", "a=b"]).failed();
    assert_eq!(
        refused.trim_end(),
        cannot("patch", "imagestreams", "imagestreams.image.openshift.io \"viewed\" ")
    );
    let refused = run(&viewer, &["delete", "istag/viewed:latest"]).failed();
    assert_eq!(
        refused.trim_end(),
        cannot(
            "delete",
            "imagestreamtags",
            "imagestreamtags.image.openshift.io \"viewed:latest\" "
        )
    );
    let secrets =
        format!("/apis/image.openshift.io/v1/namespaces/{ROLES}/imagestreams/viewed/secrets");
    let refused = run(&viewer, &["get", "--raw", &secrets]).failed();
    assert!(
        refused.contains("User \"views\" cannot get resource \"imagestreams/secrets\""),
        "{refused}"
    );
}
