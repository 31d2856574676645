//! The messages of `image.openshift.io/v1`, with the numbers of openshift/api's `image/v1/generated.proto`.

use crate::meta::protobuf::Form::{Bytes, Flag, Integer, JsonLine, Text, Time};
use crate::meta::protobuf::{
    Form, LIST_META, LOCAL_OBJECT_REFERENCE, Message, OBJECT_META, OBJECT_REFERENCE, SECRET, STATUS, always, each,
    if_set, keyed,
};

/// `Image`.
pub static IMAGE: Message = Message {
    name: "Image",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        always(2, "dockerImageReference", Text),
        always(3, "dockerImageMetadata", JsonLine),
        always(4, "dockerImageMetadataVersion", Text),
        always(5, "dockerImageManifest", Text),
        each(6, "dockerImageLayers", Form::Message(&IMAGE_LAYER)),
        each(7, "signatures", Form::Message(&IMAGE_SIGNATURE)),
        each(8, "dockerImageSignatures", Bytes),
        always(9, "dockerImageManifestMediaType", Text),
        always(10, "dockerImageConfig", Text),
        each(11, "dockerImageManifests", Form::Message(&IMAGE_MANIFEST)),
    ],
};

static IMAGE_LAYER: Message = Message {
    name: "ImageLayer",
    fields: &[always(1, "name", Text), always(2, "size", Integer), always(3, "mediaType", Text)],
};

static IMAGE_MANIFEST: Message = Message {
    name: "ImageManifest",
    fields: &[
        always(1, "digest", Text),
        always(2, "mediaType", Text),
        always(3, "manifestSize", Integer),
        always(4, "architecture", Text),
        always(5, "os", Text),
        always(6, "variant", Text),
    ],
};

/// `ImageSignature`.
pub static IMAGE_SIGNATURE: Message = Message {
    name: "ImageSignature",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        always(2, "type", Text),
        if_set(3, "content", Bytes),
        each(4, "conditions", Form::Message(&SIGNATURE_CONDITION)),
        always(5, "imageIdentity", Text),
        keyed(6, "signedClaims", Text),
        if_set(7, "created", Time),
        if_set(8, "issuedBy", Form::Message(&SIGNATURE_ISSUER)),
        if_set(9, "issuedTo", Form::Message(&SIGNATURE_SUBJECT)),
    ],
};

static SIGNATURE_CONDITION: Message = Message {
    name: "SignatureCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        always(3, "lastProbeTime", Time),
        always(4, "lastTransitionTime", Time),
        always(5, "reason", Text),
        always(6, "message", Text),
    ],
};

static SIGNATURE_GENERIC_ENTITY: Message = Message {
    name: "SignatureGenericEntity",
    fields: &[always(1, "organization", Text), always(2, "commonName", Text)],
};

static SIGNATURE_ISSUER: Message =
    Message { name: "SignatureIssuer", fields: &[always(1, "", Form::Inline(&SIGNATURE_GENERIC_ENTITY))] };

static SIGNATURE_SUBJECT: Message = Message {
    name: "SignatureSubject",
    fields: &[always(1, "", Form::Inline(&SIGNATURE_GENERIC_ENTITY)), always(2, "publicKeyID", Text)],
};

/// `ImageStream`.
pub static IMAGE_STREAM: Message = Message {
    name: "ImageStream",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        always(2, "spec", Form::Message(&IMAGE_STREAM_SPEC)),
        always(3, "status", Form::Message(&IMAGE_STREAM_STATUS)),
    ],
};

static IMAGE_STREAM_SPEC: Message = Message {
    name: "ImageStreamSpec",
    fields: &[
        always(1, "dockerImageRepository", Text),
        each(2, "tags", Form::Message(&TAG_REFERENCE)),
        always(3, "lookupPolicy", Form::Message(&IMAGE_LOOKUP_POLICY)),
    ],
};

static IMAGE_LOOKUP_POLICY: Message = Message { name: "ImageLookupPolicy", fields: &[always(3, "local", Flag)] };

static TAG_REFERENCE: Message = Message {
    name: "TagReference",
    fields: &[
        always(1, "name", Text),
        keyed(2, "annotations", Text),
        if_set(3, "from", Form::Message(&OBJECT_REFERENCE)),
        always(4, "reference", Flag),
        if_set(5, "generation", Integer),
        always(6, "importPolicy", Form::Message(&TAG_IMPORT_POLICY)),
        always(7, "referencePolicy", Form::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static TAG_IMPORT_POLICY: Message = Message {
    name: "TagImportPolicy",
    fields: &[always(1, "insecure", Flag), always(2, "scheduled", Flag), always(3, "importMode", Text)],
};

static TAG_REFERENCE_POLICY: Message = Message { name: "TagReferencePolicy", fields: &[always(1, "type", Text)] };

static IMAGE_STREAM_STATUS: Message = Message {
    name: "ImageStreamStatus",
    fields: &[
        always(1, "dockerImageRepository", Text),
        each(2, "tags", Form::Message(&NAMED_TAG_EVENT_LIST)),
        always(3, "publicDockerImageRepository", Text),
    ],
};

static NAMED_TAG_EVENT_LIST: Message = Message {
    name: "NamedTagEventList",
    fields: &[
        always(1, "tag", Text),
        each(2, "items", Form::Message(&TAG_EVENT)),
        each(3, "conditions", Form::Message(&TAG_EVENT_CONDITION)),
    ],
};

static TAG_EVENT: Message = Message {
    name: "TagEvent",
    fields: &[
        always(1, "created", Time),
        always(2, "dockerImageReference", Text),
        always(3, "image", Text),
        always(4, "generation", Integer),
    ],
};

static TAG_EVENT_CONDITION: Message = Message {
    name: "TagEventCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        always(3, "lastTransitionTime", Time),
        always(4, "reason", Text),
        always(5, "message", Text),
        always(6, "generation", Integer),
    ],
};

/// `ImageStreamTag`.
pub static IMAGE_STREAM_TAG: Message = Message {
    name: "ImageStreamTag",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        if_set(2, "tag", Form::Message(&TAG_REFERENCE)),
        always(3, "generation", Integer),
        each(4, "conditions", Form::Message(&TAG_EVENT_CONDITION)),
        always(5, "image", Form::Message(&IMAGE)),
        always(6, "lookupPolicy", Form::Message(&IMAGE_LOOKUP_POLICY)),
    ],
};

/// `ImageTag`.
pub static IMAGE_TAG: Message = Message {
    name: "ImageTag",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        if_set(2, "spec", Form::Message(&TAG_REFERENCE)),
        if_set(3, "status", Form::Message(&NAMED_TAG_EVENT_LIST)),
        if_set(4, "image", Form::Message(&IMAGE)),
    ],
};

/// `ImageStreamImage`.
pub static IMAGE_STREAM_IMAGE: Message = Message {
    name: "ImageStreamImage",
    fields: &[always(1, "metadata", Form::Message(&OBJECT_META)), always(2, "image", Form::Message(&IMAGE))],
};

/// `ImageStreamMapping`.
pub static IMAGE_STREAM_MAPPING: Message = Message {
    name: "ImageStreamMapping",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        always(2, "image", Form::Message(&IMAGE)),
        always(3, "tag", Text),
    ],
};

/// `ImageStreamLayers`.
pub static IMAGE_STREAM_LAYERS: Message = Message {
    name: "ImageStreamLayers",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        keyed(2, "blobs", Form::Message(&IMAGE_LAYER_DATA)),
        keyed(3, "images", Form::Message(&IMAGE_BLOB_REFERENCES)),
    ],
};

static IMAGE_LAYER_DATA: Message =
    Message { name: "ImageLayerData", fields: &[if_set(1, "size", Integer), always(2, "mediaType", Text)] };

static IMAGE_BLOB_REFERENCES: Message = Message {
    name: "ImageBlobReferences",
    fields: &[
        each(1, "layers", Text),
        if_set(2, "config", Text),
        always(3, "imageMissing", Flag),
        each(4, "manifests", Text),
    ],
};

/// `SecretList`.
pub static SECRET_LIST: Message = Message {
    name: "SecretList",
    fields: &[always(1, "metadata", Form::Message(&LIST_META)), each(2, "items", Form::Message(&SECRET))],
};

/// `ImageStreamImport`.
pub static IMAGE_STREAM_IMPORT: Message = Message {
    name: "ImageStreamImport",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        always(2, "spec", Form::Message(&IMAGE_STREAM_IMPORT_SPEC)),
        always(3, "status", Form::Message(&IMAGE_STREAM_IMPORT_STATUS)),
    ],
};

static IMAGE_STREAM_IMPORT_SPEC: Message = Message {
    name: "ImageStreamImportSpec",
    fields: &[
        always(1, "import", Flag),
        if_set(2, "repository", Form::Message(&REPOSITORY_IMPORT_SPEC)),
        each(3, "images", Form::Message(&IMAGE_IMPORT_SPEC)),
    ],
};

static IMAGE_STREAM_IMPORT_STATUS: Message = Message {
    name: "ImageStreamImportStatus",
    fields: &[
        if_set(1, "import", Form::Message(&IMAGE_STREAM)),
        if_set(2, "repository", Form::Message(&REPOSITORY_IMPORT_STATUS)),
        each(3, "images", Form::Message(&IMAGE_IMPORT_STATUS)),
    ],
};

static REPOSITORY_IMPORT_SPEC: Message = Message {
    name: "RepositoryImportSpec",
    fields: &[
        always(1, "from", Form::Message(&OBJECT_REFERENCE)),
        always(2, "importPolicy", Form::Message(&TAG_IMPORT_POLICY)),
        always(3, "includeManifest", Flag),
        always(4, "referencePolicy", Form::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static REPOSITORY_IMPORT_STATUS: Message = Message {
    name: "RepositoryImportStatus",
    fields: &[
        always(1, "status", Form::Message(&STATUS)),
        each(2, "images", Form::Message(&IMAGE_IMPORT_STATUS)),
        each(3, "additionalTags", Text),
    ],
};

static IMAGE_IMPORT_SPEC: Message = Message {
    name: "ImageImportSpec",
    fields: &[
        always(1, "from", Form::Message(&OBJECT_REFERENCE)),
        if_set(2, "to", Form::Message(&LOCAL_OBJECT_REFERENCE)),
        always(3, "importPolicy", Form::Message(&TAG_IMPORT_POLICY)),
        always(4, "includeManifest", Flag),
        always(5, "referencePolicy", Form::Message(&TAG_REFERENCE_POLICY)),
    ],
};

static IMAGE_IMPORT_STATUS: Message = Message {
    name: "ImageImportStatus",
    fields: &[
        always(1, "status", Form::Message(&STATUS)),
        if_set(2, "image", Form::Message(&IMAGE)),
        always(3, "tag", Text),
        each(4, "manifests", Form::Message(&IMAGE)),
    ],
};
