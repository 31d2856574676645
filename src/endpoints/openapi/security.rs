//! Authentication schemes of the documents.
//!
//! Neither version has a scheme for client certificates (OpenAPI 3.1 has `mutualTLS`), so that the
//! requirement is stated once for the document and not for each operation: code generators then
//! leave the credentials to the user of the client.

use serde_json::{Value, json};

use super::version::OpenApiVersion;

/// The name of the scheme, as in the documents of kube-apiserver.
const BEARER_TOKEN: &str = "BearerToken";
const DESCRIPTION: &str = "A bearer token. A client certificate is accepted instead of a token.";

/// The schemes by name: `securityDefinitions` of version 2, `securitySchemes` of version 3.
pub(super) fn schemes(version: OpenApiVersion) -> Value {
    let scheme = match version {
        // Version 2 has no scheme for bearer tokens.
        OpenApiVersion::V2 => {
            json!({ "type": "apiKey", "in": "header", "name": "authorization", "description": DESCRIPTION })
        }
        OpenApiVersion::V3 => {
            json!({ "type": "http", "scheme": "bearer", "description": DESCRIPTION })
        }
    };
    json!({ BEARER_TOKEN: scheme })
}

/// The requirement of all operations.
pub(super) fn requirement() -> Value {
    json!([{ BEARER_TOKEN: [] }])
}
