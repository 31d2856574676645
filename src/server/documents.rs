//! Documents that never change while the server runs: made once, sent from memory.

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

/// Discovery and the version, as JSON: compact and with a final newline, but for the version.
pub(super) struct Documents {
    /// `/apis`.
    pub(super) groups: Bytes,
    /// `/apis/<group>`.
    pub(super) group: Bytes,
    /// `/apis/<group>/<version>`.
    pub(super) resources: Bytes,
    /// `/apis` in one document, with everything below it.
    pub(super) aggregated: Tagged,
    /// `/openapi/v2`.
    pub(super) openapi_v2: Tagged,
    /// The same as protobuf.
    pub(super) openapi_v2_protobuf: Tagged,
    /// `/openapi/v3`: where the documents about the version and about the group are.
    pub(super) openapi_index: Tagged,
    /// `/openapi/v3/apis/<group>/<version>`.
    pub(super) openapi_v3: Tagged,
    /// `/openapi/v3/apis/<group>`.
    pub(super) openapi_v3_group: Tagged,
    /// `/version`, indented.
    pub(super) version: Bytes,
}

/// A document that clients ask for again and again.
pub(super) struct Tagged {
    /// The document.
    pub(super) body: Bytes,
    /// Its hash in upper-case hexadecimal digits.
    pub(super) hash: String,
    /// The same as an entity tag, with its quotes.
    pub(super) tag: HeaderValue,
}

impl Tagged {
    fn new(body: Bytes) -> Self {
        let hash: String = Sha512::digest(&body).iter().map(|byte| format!("{byte:02X}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hash}\"")).expect("a hash in quotes is plain ASCII");
        Self { body, hash, tag }
    }
}

/// What the command `openapi` made of the API; a test proves that it still would.
const OPENAPI_V2: &[u8] = include_bytes!("../../openapi/v2.json");
const OPENAPI_V2_PROTOBUF: &[u8] = include_bytes!("../../openapi/v2.pb");
const OPENAPI_V3: &[u8] = include_bytes!("../../openapi/v3.json");
const OPENAPI_V3_GROUP: &[u8] = include_bytes!("../../openapi/v3-group.json");

impl Documents {
    /// The documents about an API.
    pub(super) fn new(api: &Api) -> Self {
        let openapi_v3 = Tagged::new(Bytes::from_static(OPENAPI_V3));
        let openapi_v3_group = Tagged::new(Bytes::from_static(OPENAPI_V3_GROUP));
        let of_version_3 =
            [(format!("apis/{GROUP}"), &*openapi_v3_group.hash), (format!("apis/{}", API.name), &*openapi_v3.hash)];
        Self {
            groups: line(&discovery::groups(API, GROUP)),
            group: line(&discovery::group(API, GROUP)),
            resources: line(&discovery::resources(API, api.endpoints())),
            aggregated: Tagged::new(line(&discovery::aggregated(API, GROUP, api.endpoints()))),
            openapi_v2: Tagged::new(Bytes::from_static(OPENAPI_V2)),
            openapi_v2_protobuf: Tagged::new(Bytes::from_static(OPENAPI_V2_PROTOBUF)),
            openapi_index: Tagged::new(json::encode(&openapi::index(&of_version_3)).into()),
            openapi_v3,
            openapi_v3_group,
            version: json::indent(&json::encode(&VersionInfo::current())).into(),
        }
    }
}

fn line(document: &impl Serialize) -> Bytes {
    let mut compact = json::encode(document);
    compact.push(b'\n');
    compact.into()
}
