//! Effective flags of the server, for `/configz`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::machinery::json;

/// Name of the component in `/configz`.
pub const COMPONENT: &str = "imagestream-apiserver";

/// Values of flags by their names, in the form of the file of `--config`. Secrets are redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EffectiveFlags(pub BTreeMap<String, Value>);

impl EffectiveFlags {
    /// Body of `/configz`: an object for each component, as in k8s.io/component-base/configz.
    pub(super) fn configz(&self) -> Vec<u8> {
        let mut body = json::encode(&BTreeMap::from([(COMPONENT, self)]));
        body.push(b'\n');
        body
    }
}
