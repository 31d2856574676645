//! Types of `image.openshift.io/v1`: data, JSON format and API defaults.
//!
//! Doc comments of types and fields are the descriptions in OpenAPI and `kubectl explain`. The
//! order of fields is the order on the wire.

mod docker_image;
mod evidence;
mod image;
mod image_layer;
mod image_signature;
mod image_stream;
mod image_stream_image;
mod image_stream_import;
mod image_stream_layers;
mod image_stream_mapping;
mod image_stream_tag;
mod image_tag;
mod nulls;
pub mod protobuf;
mod secret_list;
mod shared_list;

pub use docker_image::{DockerConfig, DockerImage, DockerImageMetadata, EmptyObject};
pub use evidence::{Authored, Evidence, NamedBlobs, Proof};
pub use image::{Image, ImageManifest};
pub use image_layer::ImageLayer;
pub use image_signature::{ImageSignature, SignatureCondition, SignatureIssuer, SignatureSubject};
pub use image_stream::{
    ImageLookupPolicy, ImageStream, ImageStreamSpec, ImageStreamStatus, NamedTagEventList,
    ObjectReference, TagEvent, TagEventCondition, TagImportPolicy, TagReference,
    TagReferencePolicy,
};
pub use image_stream_image::ImageStreamImage;
pub use image_stream_import::{
    ImageImportSpec, ImageImportStatus, ImageStreamImport, ImageStreamImportSpec,
    ImageStreamImportStatus, LocalObjectReference, RepositoryImportSpec, RepositoryImportStatus,
};
pub use image_stream_layers::{ImageBlobReferences, ImageLayerData, ImageStreamLayers};
pub use image_stream_mapping::ImageStreamMapping;
pub use image_stream_tag::ImageStreamTag;
pub use image_tag::ImageTag;
pub use secret_list::SecretList;
pub use shared_list::SharedList;

/// API group.
pub const GROUP: &str = "image.openshift.io";
/// API version.
pub const VERSION: &str = "v1";
/// Value of `apiVersion`.
pub const GROUP_VERSION: &str = "image.openshift.io/v1";

/// Implements [`crate::meta::Object`] for a type with a field `metadata`.
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
