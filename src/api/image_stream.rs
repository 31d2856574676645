//! `ImageStream`: a name for images that move, with the history of each tag.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{nulls, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta, Time};

/// A named set of tags, each of which stands for one image after another.
///
/// The spec says where tags should come from, the status which images they have been, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStream")]
pub struct ImageStream {
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// What the stream's owner wants.
    pub spec: ImageStreamSpec,
    /// What became of it.
    pub status: ImageStreamStatus,
    /// The images in the history that the stream has without proof: by name, the UID of the image that its own mapping
    /// made. Neither read from clients nor sent to them.
    #[serde(skip)]
    pub unproved: BTreeMap<String, String>,
}

/// What the owner of a stream wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamSpec")]
pub struct ImageStreamSpec {
    /// Whether other objects of the namespace may use the stream's name in place of an image reference.
    pub lookup_policy: ImageLookupPolicy,
    /// A repository outside of the cluster whose images the stream shows, without tag or digest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_repository: String,
    /// The tags that the owner wants, each at most once, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "name"
    ))]
    pub tags: Vec<TagReference>,
}

/// Who may use a stream's name in place of an image reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLookupPolicy")]
pub struct ImageLookupPolicy {
    /// Whether pods and other objects of the stream's namespace may.
    pub local: bool,
}

/// A tag that the owner of a stream wants, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagReference")]
pub struct TagReference {
    /// Name of the tag.
    #[schemars(extend("required" = true))]
    pub name: String,
    /// Annotations of the tag, shown on ImageStreamTags.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Where the tag's image comes from: a `DockerImage`, an `ImageStreamTag` or an `ImageStreamImage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// Whether the tag only refers to its source and nothing is imported.
    #[serde(skip_serializing_if = "is_false")]
    pub reference: bool,
    /// Generation of the stream in which this tag was last set; `0` asks for a new import.
    pub generation: Option<i64>,
    /// How the tag is imported.
    pub import_policy: TagImportPolicy,
    /// How clients pull the tag's image.
    pub reference_policy: TagReferencePolicy,
}

/// A reference to an object, as in the core API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.core.v1.ObjectReference", extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectReference {
    /// Kind of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Namespace of the object; empty for the namespace of the referring object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// UID of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// API version of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Version of the object that is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Path of a field inside of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

/// How a tag is imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagImportPolicy")]
pub struct TagImportPolicy {
    /// Whether the registry may be asked without verified TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Whether the tag is imported again from time to time.
    #[serde(skip_serializing_if = "is_false")]
    pub scheduled: bool,
    /// What is imported of an image for several platforms: `Legacy` one of them, `PreserveOriginal` all.
    #[schemars(extend("default" = "Legacy"))]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub import_mode: String,
}

/// How clients pull a tag's image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagReferencePolicy")]
pub struct TagReferencePolicy {
    /// `Source` for the registry that the image was imported from, `Local` for the cluster's own.
    #[schemars(extend("default" = "Source"))]
    pub r#type: String,
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamStatus")]
pub struct ImageStreamStatus {
    /// Where the stream's images are pulled from and pushed to inside of the cluster.
    pub docker_image_repository: String,
    /// The same from outside of the cluster, where that is possible.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_docker_image_repository: String,
    /// The history of each tag, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "tag"
    ))]
    pub tags: Vec<NamedTagEventList>,
}

/// The history of one tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.NamedTagEventList")]
pub struct NamedTagEventList {
    /// Name of the tag.
    #[schemars(extend("required" = true))]
    pub tag: String,
    /// The images that the tag has stood for, newest first.
    #[serde(serialize_with = "nulls::list", deserialize_with = "nulls::or_empty")]
    pub items: Vec<TagEvent>,
    /// What stands in the way of the tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TagEventCondition>,
}

/// A tag became an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagEvent")]
pub struct TagEvent {
    /// When.
    pub created: Option<Time>,
    /// The string with which the image can be pulled.
    pub docker_image_reference: String,
    /// Name of the Image object; empty where the tag only refers to something.
    pub image: String,
    /// Generation of the stream that led to this.
    pub generation: i64,
}

/// One statement about a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.TagEventCondition")]
pub struct TagEventCondition {
    /// What the statement is about: `ImportSuccess`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When it last changed.
    pub last_transition_time: Option<Time>,
    /// Reason of the last change, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Reason of the last change, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Generation of the stream that the statement is about.
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
    /// Fills in the policies that the API defines for a tag that names none.
    pub fn default_fields(&mut self) {
        if self.reference_policy.r#type.is_empty() {
            self.reference_policy.r#type = "Source".into();
        }
        if self.import_policy.import_mode.is_empty() {
            self.import_policy.import_mode = "Legacy".into();
        }
        self.annotations = self.annotations.take().filter(|annotations| !annotations.is_empty());
    }
}

/// Tags are a map by name: always in byte order of their names, of several with one name the last.
fn keep_last_by_name<T>(tags: &mut Vec<T>, name: impl Fn(&T) -> &String) {
    tags.reverse();
    tags.sort_by(|a, b| name(a).cmp(name(b)));
    tags.dedup_by(|a, b| name(a) == name(b));
}

fn is_false(value: &bool) -> bool {
    !*value
}
