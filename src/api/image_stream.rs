//! `ImageStream`: a named set of tags with their history.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SharedList, object, protobuf};
use crate::meta::protobuf::{MessageDescriptor, UnknownFields};
use crate::meta::{Kind, ObjectMeta, Time};

/// ImageStream is a named set of tags. Each tag points to an image and records the images that it
/// pointed to before.
///
/// The spec lists the sources of tags, the status the images of each tag, newest first. Users
/// create, tag and delete streams; image registries and importers update the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStream")]
pub struct ImageStream {
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// Spec describes the desired tags of the stream.
    pub spec: ImageStreamSpec,
    /// Status describes the current tags of the stream and their history.
    pub status: ImageStreamStatus,
    /// Images in the history that this stream has without proof: image name to UID of the image
    /// that the mapping created. Stored only; never read from or written to the API.
    #[serde(skip)]
    pub unproved: BTreeMap<String, String>,
    /// Fields of a newer version in the stored form. Stored only.
    #[serde(skip)]
    pub unknown_fields: UnknownFields,
}

/// ImageStreamSpec describes the desired tags of an image stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamSpec")]
pub struct ImageStreamSpec {
    /// LookupPolicy controls whether other resources of the namespace can refer to this stream by
    /// name.
    pub lookup_policy: ImageLookupPolicy,
    /// DockerImageRepository is the repository, without tag or digest, from which the images of
    /// this stream come if they are not in the integrated registry.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_repository: String,
    /// Tags is the list of desired tags, keyed by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "name"
    ))]
    pub tags: Vec<TagReference>,
}

/// ImageLookupPolicy controls the use of an image stream's name in place of an image reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLookupPolicy")]
pub struct ImageLookupPolicy {
    /// Local allows pods and other objects of the same namespace to refer to the tags of this
    /// stream by `<stream>:<tag>`.
    pub local: bool,
}

/// TagReference is a desired tag of an image stream and its source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagReference")]
pub struct TagReference {
    /// Name is the name of the tag.
    #[schemars(extend("required" = true))]
    pub name: String,
    /// Annotations is a map of annotations of the tag. They appear as the annotations of the
    /// ImageStreamTag.
    pub annotations: Option<BTreeMap<String, String>>,
    /// From is the source of the tag: an ImageStreamTag or ImageStreamImage of this or another
    /// stream, or a DockerImage in an external registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// Reference is true if the tag is only a pointer to its source and the image is not imported.
    #[serde(skip_serializing_if = "is_false")]
    pub reference: bool,
    /// Generation is the generation of the stream in which the tag was last changed. Set it to 0 to
    /// import the tag again.
    pub generation: Option<i64>,
    /// ImportPolicy controls the import of the tag.
    pub import_policy: TagImportPolicy,
    /// ReferencePolicy controls the pull spec that users of the tag get.
    pub reference_policy: TagReferencePolicy,
}

/// ObjectReference identifies another object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.core.v1.ObjectReference", extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectReference {
    /// Kind of the referent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Namespace of the referent. Defaults to the namespace of the referring object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name of the referent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// UID of the referent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// API version of the referent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Specific resourceVersion to which this reference is made, if any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Path of a field in the referent, if the reference is to a part of it, such as
    /// `spec.containers{name}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

/// TagImportPolicy controls the import of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagImportPolicy")]
pub struct TagImportPolicy {
    /// Insecure is true if the import may use HTTP or skip the verification of TLS certificates.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Scheduled is true if the tag is imported again periodically.
    #[serde(skip_serializing_if = "is_false")]
    pub scheduled: bool,
    /// ImportMode is the way in which a manifest list is imported: `Legacy` imports one image of
    /// the list, `PreserveOriginal` the list and all its images. Defaults to `Legacy`.
    #[schemars(extend("default" = "Legacy"))]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub import_mode: String,
}

/// TagReferencePolicy controls the pull spec that users of a tag get.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagReferencePolicy")]
pub struct TagReferencePolicy {
    /// Type is the type of the pull spec: `Source` for the registry from which the image was
    /// imported, `Local` for the integrated registry. Defaults to `Source`.
    #[schemars(extend("default" = "Source"))]
    pub r#type: String,
}

/// ImageStreamStatus describes the current tags of an image stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamStatus")]
pub struct ImageStreamStatus {
    /// DockerImageRepository is the repository from which clients inside the cluster pull images of
    /// the stream, and to which they push.
    pub docker_image_repository: String,
    /// PublicDockerImageRepository is the same repository under its address outside the cluster, if
    /// there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_docker_image_repository: String,
    /// Tags is the list of tags with their history, keyed by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "tag"
    ))]
    pub tags: Vec<NamedTagEventList>,
}

/// NamedTagEventList is the history of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.NamedTagEventList")]
pub struct NamedTagEventList {
    /// Tag is the name of the tag.
    #[schemars(extend("required" = true))]
    pub tag: String,
    /// Items is the list of images that the tag has pointed to, newest first.
    #[schemars(with = "Vec<TagEvent>", extend("nullable" = true))]
    pub items: SharedList<TagEvent>,
    /// Conditions is the list of problems with the tag, such as a failed import.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TagEventCondition>,
}

/// TagEvent records that a tag began to point to an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagEvent")]
pub struct TagEvent {
    /// Created is the time at which the event was recorded.
    pub created: Option<Time>,
    /// DockerImageReference is the pull spec of the image.
    pub docker_image_reference: String,
    /// Image is the name of the Image. Empty if the tag is only a reference.
    pub image: String,
    /// Generation is the generation of the spec tag that resulted in this event.
    pub generation: i64,
}

/// TagEventCondition is an observation of the state of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagEventCondition")]
pub struct TagEventCondition {
    /// Type is the type of the condition: `ImportSuccess`.
    pub r#type: String,
    /// Status is the status of the condition: `True`, `False` or `Unknown`.
    pub status: String,
    /// LastTransitionTime is the time at which the status last changed.
    pub last_transition_time: Option<Time>,
    /// Reason is a brief, machine-readable reason for the last transition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Message is a human-readable description of the last transition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Generation is the generation of the spec tag to which this condition applies.
    pub generation: i64,
}

object!(ImageStream);

impl Kind for ImageStream {
    const KIND: &'static str = "ImageStream";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM;

    fn default_fields(&mut self) {
        keep_last_by_name(&mut self.spec.tags, |tag| &tag.name);
        keep_last_by_name(&mut self.status.tags, |tag| &tag.tag);
        self.spec.tags.iter_mut().for_each(TagReference::default_fields);
    }
}

impl TagReference {
    /// Sets the default policies, as `SetDefaults_TagReferencePolicy` and
    /// `SetDefaults_TagImportPolicy` in openshift-apiserver pkg/image/apis/image/v1/defaults.go.
    pub fn default_fields(&mut self) {
        self.reference_policy.default_fields();
        self.import_policy.default_fields();
        self.annotations = self.annotations.take().filter(|annotations| !annotations.is_empty());
    }
}

impl TagImportPolicy {
    /// Sets the default mode.
    pub(super) fn default_fields(&mut self) {
        if self.import_mode.is_empty() {
            self.import_mode = "Legacy".into();
        }
    }
}

impl TagReferencePolicy {
    /// Sets the default type.
    pub(super) fn default_fields(&mut self) {
        if self.r#type.is_empty() {
            self.r#type = "Source".into();
        }
    }
}

/// Sorts tags by name and keeps the last of several with the same name. Go decodes them into a map.
fn keep_last_by_name<T>(tags: &mut Vec<T>, name: impl Fn(&T) -> &String) {
    tags.reverse();
    tags.sort_by(|a, b| name(a).cmp(name(b)));
    tags.dedup_by(|a, b| name(a) == name(b));
}

fn is_false(value: &bool) -> bool {
    !*value
}
