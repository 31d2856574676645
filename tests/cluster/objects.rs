//! The objects that tests create in a cluster in addition to those of the manifests.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// The name of the server's ServiceAccount and of its namespace.
pub(crate) const SERVER: &str = "imagestream-apiserver";
/// The Service that routes to a server outside of the cluster.
pub(crate) const SERVICE: &str = "outside";
/// The path of the APIService.
pub(crate) const API_SERVICE: &str =
    "/apis/apiregistration.k8s.io/v1/apiservices/v1.image.openshift.io";
/// The path prefix of all image resources.
pub(crate) const V1: &str = "/apis/image.openshift.io/v1";

const RBAC: &str = "rbac.authorization.k8s.io";

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn service_account(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": name}})
}

/// The Service that routes to a server on this machine.
pub(crate) fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": SERVER, "name": SERVICE},
        "spec": {"type": "ExternalName", "externalName": "localhost"}})
}

/// The APIService of a server on this port. kube-apiserver trusts certificates of the authorities
/// in `bundle`.
pub(crate) fn api_service(port: u16, bundle: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.image.openshift.io"},
        "spec": {
            "group": "image.openshift.io",
            "version": "v1",
            "groupPriorityMinimum": 9900,
            "versionPriority": 15,
            "service": {"namespace": SERVER, "name": SERVICE, "port": port},
        },
    });
    if let Some(bundle) = bundle {
        object["spec"]["caBundle"] = in_base64(bundle).into();
    }
    object
}

/// Encodes bytes for a field such as `spec.caBundle`.
pub(crate) fn in_base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Decodes the text of a field in base64.
pub(crate) fn from_base64(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text).expect("an object has base64");
    String::from_utf8(bytes).expect("the value is a string")
}

/// The Secret that holds the certificate authority that replicas share.
pub(crate) const SECRET: &str = "imagestream-apiserver-certificates";

/// A Role or a ClusterRole. The namespace of a ClusterRole is empty.
pub(crate) fn role(kind: &str, namespace: &str, name: &str, rules: Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata(namespace, name), "rules": rules})
}

/// A RoleBinding or a ClusterRoleBinding to a role, given as `(kind, name)`.
pub(crate) fn binding(
    kind: &str,
    namespace: &str,
    name: &str,
    role: (&str, &str),
    subjects: &[Value],
) -> Value {
    let role = json!({"apiGroup": RBAC, "kind": role.0, "name": role.1});
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata(namespace, name),
        "roleRef": role, "subjects": subjects})
}

/// A Role with one rule and a RoleBinding of the same name.
pub(crate) fn allow(
    namespace: &str,
    name: &str,
    resources: &[&str],
    verbs: &[&str],
    subjects: &[Value],
) -> [Value; 2] {
    let rules =
        json!([{"apiGroups": ["image.openshift.io"], "resources": resources, "verbs": verbs}]);
    [
        role("Role", namespace, name, rules),
        binding("RoleBinding", namespace, name, ("Role", name), subjects),
    ]
}

pub(crate) fn stream(name: &str) -> Value {
    json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name}})
}

/// A stream with its namespace set.
pub(crate) fn stream_in(namespace: &str, name: &str) -> Value {
    let mut stream = stream(name);
    stream["metadata"]["namespace"] = namespace.into();
    stream
}

/// The digest of the manifest of an image that tests push.
pub(crate) const DIGEST: &str =
    "sha256:a1de8ca94896f2a64bc8664d3c1c7771023b293e49946b715ca673a4a6972fe8";
/// The digest of a second image.
pub(crate) const NEWER: &str =
    "sha256:dcb21ef7eba3062ea7b56366c27542887cd1c4573ad47c5673441fd96e6aa395";

/// The manifest and configuration for one of these two digests. The tests share a server. Only a
/// manifest that matches the digest lets several users push the same image.
fn texts(digest: &str) -> Option<(String, String)> {
    let (architecture, config) = match digest {
        DIGEST => {
            ("amd64", "sha256:9d99a75171aea000c711b34c0e5e3f28d3d537dd99d110eafbfbc2bd8e52c2bf")
        }
        NEWER => {
            ("arm64", "sha256:d6f56bc20064075ce319ac2e6fcef5de9ea21773b0a8a4398c4405222971f9c0")
        }
        _ => return None,
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"digest":"{config}"}},"layers":[]}}"#
    );
    Some((manifest, format!(r#"{{"architecture":"{architecture}","os":"linux"}}"#)))
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An ImageStreamMapping as a registry sends it after a push to the tag `latest`. It contains a
/// manifest for the two digests above.
pub(crate) fn mapping(stream: &str, digest: &str) -> Value {
    let mut image = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": digest},
        "dockerImageReference": format!("registry.example.com/shop/{stream}@{digest}")});
    if let Some((manifest, config)) = texts(digest) {
        image["dockerImageManifestMediaType"] = OCI_MANIFEST.into();
        image["dockerImageManifest"] = manifest.into();
        image["dockerImageConfig"] = config.into();
    }
    json!({"kind": "ImageStreamMapping", "apiVersion": "image.openshift.io/v1", "metadata": {"name": stream},
        "image": image, "tag": "latest"})
}

/// Flag of kubectl for creating a mapping. kubectl inspects the PATCH operation of a kind to detect
/// server-side field validation, and a mapping has no PATCH. It then lists
/// CustomResourceDefinitions, which few users may do, and a standalone server does not serve
/// OpenAPI v2 in protobuf.
pub(crate) const WITHOUT_VALIDATION: &str = "--validate=false";

fn metadata(namespace: &str, name: &str) -> Value {
    match namespace {
        "" => json!({"name": name}),
        _ => json!({"namespace": namespace, "name": name}),
    }
}
