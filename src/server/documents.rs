//! Documents that are constant at run time: discovery, OpenAPI and version.

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use sha2::{Digest, Sha512};

use super::version::VersionInfo;
use crate::api::GROUP;
use crate::endpoints::discovery;
use crate::endpoints::openapi;
use crate::endpoints::serve::Api;
use crate::machinery::json;
use crate::resources::API;
use crate::resources::standalone::CORE;

/// The documents. JSON is compact with a final newline, except for OpenAPI and the version.
pub(super) struct Documents {
    /// `/apis`.
    pub(super) groups: Bytes,
    /// `/apis/<group>`.
    pub(super) group: Bytes,
    /// `/apis/<group>/<version>`.
    pub(super) resources: Bytes,
    /// Aggregated discovery at `/apis`.
    pub(super) aggregated: EtagDocument,
    /// `/openapi/v2`.
    pub(super) openapi_v2: EtagDocument,
    /// `/openapi/v2` as protobuf.
    pub(super) openapi_v2_protobuf: EtagDocument,
    /// `/openapi/v3`: the index of the documents of the version and the group.
    pub(super) openapi_index: EtagDocument,
    /// `/openapi/v3/apis/<group>/<version>`.
    pub(super) openapi_v3: EtagDocument,
    /// `/openapi/v3/apis/<group>`.
    pub(super) openapi_v3_group: EtagDocument,
    /// `/version`, indented.
    pub(super) version: Bytes,
    /// The core group, which a server in a cluster does not have.
    pub(super) core: Option<CoreDocuments>,
}

/// The discovery documents of the core group.
pub(super) struct CoreDocuments {
    /// `/api`.
    pub(super) versions: Bytes,
    /// `/api/v1`.
    pub(super) resources: Bytes,
    /// Aggregated discovery at `/api`.
    pub(super) aggregated: EtagDocument,
}

/// A document with an entity tag.
pub(super) struct EtagDocument {
    /// Content.
    pub(super) body: Bytes,
    /// SHA-512 hash of the content in upper-case hexadecimal digits.
    pub(super) hash: String,
    /// The hash as an entity tag, with quotes.
    pub(super) tag: HeaderValue,
}

impl EtagDocument {
    fn new(body: Bytes) -> Self {
        let hash: String = Sha512::digest(&body).iter().map(|byte| format!("{byte:02X}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hash}\""))
            .expect("a quoted hexadecimal hash is ASCII");
        Self { body, hash, tag }
    }
}

// Output of the command `openapi`. A test compares it with the current API.
const OPENAPI_V2: &[u8] = include_bytes!("../../openapi/v2.json");
const OPENAPI_V2_PROTOBUF: &[u8] = include_bytes!("../../openapi/v2.pb");
const OPENAPI_V3: &[u8] = include_bytes!("../../openapi/v3.json");
const OPENAPI_V3_GROUP: &[u8] = include_bytes!("../../openapi/v3-group.json");

impl Documents {
    /// The documents of an API.
    pub(super) fn new(api: &Api) -> Self {
        let openapi_v3 = EtagDocument::new(Bytes::from_static(OPENAPI_V3));
        let openapi_v3_group = EtagDocument::new(Bytes::from_static(OPENAPI_V3_GROUP));
        let of_version_3 = [
            (format!("apis/{GROUP}"), &*openapi_v3_group.hash),
            (format!("apis/{}", API.name), &*openapi_v3.hash),
        ];
        Self {
            groups: line(&discovery::groups(API, GROUP)),
            group: line(&discovery::group(API, GROUP)),
            resources: line(&discovery::resources(API, api.endpoints())),
            aggregated: EtagDocument::new(line(&discovery::aggregated(
                API,
                GROUP,
                api.endpoints(),
            ))),
            openapi_v2: EtagDocument::new(Bytes::from_static(OPENAPI_V2)),
            openapi_v2_protobuf: EtagDocument::new(Bytes::from_static(OPENAPI_V2_PROTOBUF)),
            openapi_index: EtagDocument::new(json::encode(&openapi::index(&of_version_3)).into()),
            openapi_v3,
            openapi_v3_group,
            version: json::indent(&json::encode(&VersionInfo::current())).into(),
            core: None,
        }
    }

    /// The same documents, and those of the core group.
    pub(super) fn with_core(self, api: &Api) -> Self {
        Self { core: Some(CoreDocuments::new(api)), ..self }
    }
}

impl CoreDocuments {
    fn new(api: &Api) -> Self {
        let aggregated = discovery::aggregated(CORE, CORE.group, api.endpoints());
        Self {
            versions: line(&discovery::core_versions(CORE)),
            resources: line(&discovery::resources(CORE, api.endpoints())),
            aggregated: EtagDocument::new(line(&aggregated)),
        }
    }
}

fn line(document: &impl Serialize) -> Bytes {
    let mut compact = json::encode(document);
    compact.push(b'\n');
    compact.into()
}
