//! Messages of `image.openshift.io/v1`. The field numbers are those of image/v1/generated.proto in
//! openshift/api.

use crate::meta::protobuf::FieldType::{Bool, Bytes, Int64, JsonLine, String, Time};
use crate::meta::protobuf::{
    FieldType, LIST_META, LOCAL_OBJECT_REFERENCE, MessageDescriptor, OBJECT_META, OBJECT_REFERENCE,
    SECRET, STATUS, map, optional, repeated, required,
};

/// `Image`.
pub static IMAGE: MessageDescriptor = MessageDescriptor {
    name: "Image",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "dockerImageReference", String),
        required(3, "dockerImageMetadata", JsonLine),
        required(4, "dockerImageMetadataVersion", String),
        required(5, "dockerImageManifest", String),
        repeated(6, "dockerImageLayers", FieldType::Message(&IMAGE_LAYER)),
        repeated(7, "signatures", FieldType::Message(&IMAGE_SIGNATURE)),
        repeated(8, "dockerImageSignatures", Bytes),
        required(9, "dockerImageManifestMediaType", String),
        required(10, "dockerImageConfig", String),
        repeated(11, "dockerImageManifests", FieldType::Message(&IMAGE_MANIFEST)),
    ],
};

static IMAGE_LAYER: MessageDescriptor = MessageDescriptor {
    name: "ImageLayer",
    fields: &[
        required(1, "name", String),
        required(2, "size", Int64),
        required(3, "mediaType", String),
    ],
};

static IMAGE_MANIFEST: MessageDescriptor = MessageDescriptor {
    name: "ImageManifest",
    fields: &[
        required(1, "digest", String),
        required(2, "mediaType", String),
        required(3, "manifestSize", Int64),
        required(4, "architecture", String),
        required(5, "os", String),
        required(6, "variant", String),
    ],
};

/// `ImageSignature`.
pub static IMAGE_SIGNATURE: MessageDescriptor = MessageDescriptor {
    name: "ImageSignature",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "type", String),
        optional(3, "content", Bytes),
        repeated(4, "conditions", FieldType::Message(&SIGNATURE_CONDITION)),
        required(5, "imageIdentity", String),
        map(6, "signedClaims", String),
        optional(7, "created", Time),
        optional(8, "issuedBy", FieldType::Message(&SIGNATURE_ISSUER)),
        optional(9, "issuedTo", FieldType::Message(&SIGNATURE_SUBJECT)),
    ],
};

static SIGNATURE_CONDITION: MessageDescriptor = MessageDescriptor {
    name: "SignatureCondition",
    fields: &[
        required(1, "type", String),
        required(2, "status", String),
        required(3, "lastProbeTime", Time),
        required(4, "lastTransitionTime", Time),
        required(5, "reason", String),
        required(6, "message", String),
    ],
};

static SIGNATURE_GENERIC_ENTITY: MessageDescriptor = MessageDescriptor {
    name: "SignatureGenericEntity",
    fields: &[required(1, "organization", String), required(2, "commonName", String)],
};

static SIGNATURE_ISSUER: MessageDescriptor = MessageDescriptor {
    name: "SignatureIssuer",
    fields: &[required(1, "", FieldType::Inline(&SIGNATURE_GENERIC_ENTITY))],
};

static SIGNATURE_SUBJECT: MessageDescriptor = MessageDescriptor {
    name: "SignatureSubject",
    fields: &[
        required(1, "", FieldType::Inline(&SIGNATURE_GENERIC_ENTITY)),
        required(2, "publicKeyID", String),
    ],
};

/// `ImageStream`.
pub static IMAGE_STREAM: MessageDescriptor = MessageDescriptor {
    name: "ImageStream",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "spec", FieldType::Message(&IMAGE_STREAM_SPEC)),
        required(3, "status", FieldType::Message(&IMAGE_STREAM_STATUS)),
    ],
};

static IMAGE_STREAM_SPEC: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamSpec",
    fields: &[
        required(1, "dockerImageRepository", String),
        repeated(2, "tags", FieldType::Message(&TAG_REFERENCE)),
        required(3, "lookupPolicy", FieldType::Message(&IMAGE_LOOKUP_POLICY)),
    ],
};

static IMAGE_LOOKUP_POLICY: MessageDescriptor =
    MessageDescriptor { name: "ImageLookupPolicy", fields: &[required(3, "local", Bool)] };

static TAG_REFERENCE: MessageDescriptor = MessageDescriptor {
    name: "TagReference",
    fields: &[
        required(1, "name", String),
        map(2, "annotations", String),
        optional(3, "from", FieldType::Message(&OBJECT_REFERENCE)),
        required(4, "reference", Bool),
        optional(5, "generation", Int64),
        required(6, "importPolicy", FieldType::Message(&TAG_IMPORT_POLICY)),
        required(7, "referencePolicy", FieldType::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static TAG_IMPORT_POLICY: MessageDescriptor = MessageDescriptor {
    name: "TagImportPolicy",
    fields: &[
        required(1, "insecure", Bool),
        required(2, "scheduled", Bool),
        required(3, "importMode", String),
    ],
};

static TAG_REFERENCE_POLICY: MessageDescriptor =
    MessageDescriptor { name: "TagReferencePolicy", fields: &[required(1, "type", String)] };

static IMAGE_STREAM_STATUS: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamStatus",
    fields: &[
        required(1, "dockerImageRepository", String),
        repeated(2, "tags", FieldType::Message(&NAMED_TAG_EVENT_LIST)),
        required(3, "publicDockerImageRepository", String),
    ],
};

static NAMED_TAG_EVENT_LIST: MessageDescriptor = MessageDescriptor {
    name: "NamedTagEventList",
    fields: &[
        required(1, "tag", String),
        repeated(2, "items", FieldType::Message(&TAG_EVENT)),
        repeated(3, "conditions", FieldType::Message(&TAG_EVENT_CONDITION)),
    ],
};

static TAG_EVENT: MessageDescriptor = MessageDescriptor {
    name: "TagEvent",
    fields: &[
        required(1, "created", Time),
        required(2, "dockerImageReference", String),
        required(3, "image", String),
        required(4, "generation", Int64),
    ],
};

static TAG_EVENT_CONDITION: MessageDescriptor = MessageDescriptor {
    name: "TagEventCondition",
    fields: &[
        required(1, "type", String),
        required(2, "status", String),
        required(3, "lastTransitionTime", Time),
        required(4, "reason", String),
        required(5, "message", String),
        required(6, "generation", Int64),
    ],
};

/// `ImageStreamTag`.
pub static IMAGE_STREAM_TAG: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamTag",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        optional(2, "tag", FieldType::Message(&TAG_REFERENCE)),
        required(3, "generation", Int64),
        repeated(4, "conditions", FieldType::Message(&TAG_EVENT_CONDITION)),
        required(5, "image", FieldType::Message(&IMAGE)),
        required(6, "lookupPolicy", FieldType::Message(&IMAGE_LOOKUP_POLICY)),
    ],
};

/// `ImageTag`.
pub static IMAGE_TAG: MessageDescriptor = MessageDescriptor {
    name: "ImageTag",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        optional(2, "spec", FieldType::Message(&TAG_REFERENCE)),
        optional(3, "status", FieldType::Message(&NAMED_TAG_EVENT_LIST)),
        optional(4, "image", FieldType::Message(&IMAGE)),
    ],
};

/// `ImageStreamImage`.
pub static IMAGE_STREAM_IMAGE: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamImage",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "image", FieldType::Message(&IMAGE)),
    ],
};

/// `ImageStreamMapping`.
pub static IMAGE_STREAM_MAPPING: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamMapping",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "image", FieldType::Message(&IMAGE)),
        required(3, "tag", String),
    ],
};

/// `ImageStreamLayers`.
pub static IMAGE_STREAM_LAYERS: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamLayers",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        map(2, "blobs", FieldType::Message(&IMAGE_LAYER_DATA)),
        map(3, "images", FieldType::Message(&IMAGE_BLOB_REFERENCES)),
    ],
};

static IMAGE_LAYER_DATA: MessageDescriptor = MessageDescriptor {
    name: "ImageLayerData",
    fields: &[optional(1, "size", Int64), required(2, "mediaType", String)],
};

static IMAGE_BLOB_REFERENCES: MessageDescriptor = MessageDescriptor {
    name: "ImageBlobReferences",
    fields: &[
        repeated(1, "layers", String),
        optional(2, "config", String),
        required(3, "imageMissing", Bool),
        repeated(4, "manifests", String),
    ],
};

/// `SecretList`.
pub static SECRET_LIST: MessageDescriptor = MessageDescriptor {
    name: "SecretList",
    fields: &[
        required(1, "metadata", FieldType::Message(&LIST_META)),
        repeated(2, "items", FieldType::Message(&SECRET)),
    ],
};

/// `ImageStreamImport`.
pub static IMAGE_STREAM_IMPORT: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamImport",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "spec", FieldType::Message(&IMAGE_STREAM_IMPORT_SPEC)),
        required(3, "status", FieldType::Message(&IMAGE_STREAM_IMPORT_STATUS)),
    ],
};

static IMAGE_STREAM_IMPORT_SPEC: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamImportSpec",
    fields: &[
        required(1, "import", Bool),
        optional(2, "repository", FieldType::Message(&REPOSITORY_IMPORT_SPEC)),
        repeated(3, "images", FieldType::Message(&IMAGE_IMPORT_SPEC)),
    ],
};

static IMAGE_STREAM_IMPORT_STATUS: MessageDescriptor = MessageDescriptor {
    name: "ImageStreamImportStatus",
    fields: &[
        optional(1, "import", FieldType::Message(&IMAGE_STREAM)),
        optional(2, "repository", FieldType::Message(&REPOSITORY_IMPORT_STATUS)),
        repeated(3, "images", FieldType::Message(&IMAGE_IMPORT_STATUS)),
    ],
};

static REPOSITORY_IMPORT_SPEC: MessageDescriptor = MessageDescriptor {
    name: "RepositoryImportSpec",
    fields: &[
        required(1, "from", FieldType::Message(&OBJECT_REFERENCE)),
        required(2, "importPolicy", FieldType::Message(&TAG_IMPORT_POLICY)),
        required(3, "includeManifest", Bool),
        required(4, "referencePolicy", FieldType::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static REPOSITORY_IMPORT_STATUS: MessageDescriptor = MessageDescriptor {
    name: "RepositoryImportStatus",
    fields: &[
        required(1, "status", FieldType::Message(&STATUS)),
        repeated(2, "images", FieldType::Message(&IMAGE_IMPORT_STATUS)),
        repeated(3, "additionalTags", String),
    ],
};

static IMAGE_IMPORT_SPEC: MessageDescriptor = MessageDescriptor {
    name: "ImageImportSpec",
    fields: &[
        required(1, "from", FieldType::Message(&OBJECT_REFERENCE)),
        optional(2, "to", FieldType::Message(&LOCAL_OBJECT_REFERENCE)),
        required(3, "importPolicy", FieldType::Message(&TAG_IMPORT_POLICY)),
        required(4, "includeManifest", Bool),
        required(5, "referencePolicy", FieldType::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static IMAGE_IMPORT_STATUS: MessageDescriptor = MessageDescriptor {
    name: "ImageImportStatus",
    fields: &[
        required(1, "status", FieldType::Message(&STATUS)),
        optional(2, "image", FieldType::Message(&IMAGE)),
        required(3, "tag", String),
        repeated(4, "manifests", FieldType::Message(&IMAGE)),
    ],
};
