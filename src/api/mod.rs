//! The types of `image.openshift.io/v1`: nothing but data, their JSON shape, and the defaults of the API.
//!
//! Doc comments on fields are the descriptions that clients see in OpenAPI and `kubectl explain`.
//! Field order is the order on the wire.

mod docker;
mod evidence;
mod image;
mod layers;
mod nulls;
pub mod protobuf;
mod secrets;
mod signature;
mod stream;
mod tags;
mod views;

pub use docker::{DockerConfig, DockerImage, DockerImageMetadata, Empty};
pub use evidence::{Authored, Evidence, NamedBlobs, Proof};
pub use image::{Image, ImageLayer, ImageManifest};
pub use layers::{ImageBlobReferences, ImageLayerData, ImageStreamLayers};
pub use secrets::SecretList;
pub use signature::{ImageSignature, SignatureCondition, SignatureIssuer, SignatureSubject};
pub use stream::{
    ImageLookupPolicy, ImageStream, ImageStreamSpec, ImageStreamStatus, NamedTagEventList, ObjectReference, TagEvent,
    TagEventCondition, TagImportPolicy, TagReference, TagReferencePolicy,
};
pub use tags::{ImageStreamTag, ImageTag};
pub use views::{ImageStreamImage, ImageStreamMapping};

/// The API group.
pub const GROUP: &str = "image.openshift.io";
/// The one version of the group.
pub const VERSION: &str = "v1";
/// Group and version as they stand in `apiVersion`.
pub const GROUP_VERSION: &str = "image.openshift.io/v1";

/// Implements access to the field `metadata` and names the kind.
macro_rules! object {
    ($type:ident) => {
        impl crate::meta::Object for $type {
            fn metadata(&self) -> &crate::meta::ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut crate::meta::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
use object;
