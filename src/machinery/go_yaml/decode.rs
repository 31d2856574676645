//! Decoding of a tree into JSON, as `decoder` in `go.yaml.in/yaml/v2/decode.go` and
//! `convertToJSONableObject` in `sigs.k8s.io/yaml/yaml.go`.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::YamlDocument;
use super::float;
use super::scalar::{self, ScalarValue};
use super::tree::{Content, MAX_DEPTH, NodeId, Tree, YamlScalar, too_deep};
use crate::machinery::body_cost::max_yaml_nodes;
use crate::meta::field::quote;
use crate::meta::{Limited, excerpt};

/// Minimum limit for the scalars of an expanded document, in bytes.
const MIN_SCALAR_BYTES: usize = 256 << 10;
/// Maximum limit for the scalars of an expanded document, in bytes.
const MAX_SCALAR_BYTES: usize = 64 << 20;

/// Decodes a document of a body of this length.
///
/// With all aliases and merge keys expanded, a document may have one node for every two bytes and
/// two bytes of scalars for every byte, or the minimum limits where these are higher.
pub(super) fn document(tree: &Tree, body_bytes: usize) -> Result<YamlDocument, String> {
    let Some(root) = tree.root() else { return Ok(YamlDocument::default()) };
    let mut decoder = YamlDecoder {
        tree,
        aliases: Vec::new(),
        duplicate_keys: Limited::default(),
        nodes_left: max_yaml_nodes(body_bytes),
        bytes_left: (body_bytes * 2).clamp(MIN_SCALAR_BYTES, MAX_SCALAR_BYTES),
    };
    let value = decoder.value(root, 0)?;
    Ok(YamlDocument { value, duplicate_keys: decoder.duplicate_keys })
}

struct YamlDecoder<'a> {
    tree: &'a Tree,
    /// The targets of the aliases that are being expanded.
    aliases: Vec<NodeId>,
    duplicate_keys: Limited<String>,
    nodes_left: usize,
    bytes_left: usize,
}

/// A key of a mapping.
struct MappingKey {
    /// The key of the JSON object.
    text: String,
    /// The key as `%#v` formats it.
    shown: String,
}

impl<'a> YamlDecoder<'a> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<Value, String> {
        self.charge_node(depth)?;
        match &self.tree.node(id).content {
            Content::Scalar(scalar) => self.scalar(scalar),
            Content::Sequence(items) => {
                let items = items.iter().map(|item| self.value(*item, depth + 1));
                items.collect::<Result<Vec<_>, _>>().map(Value::from)
            }
            Content::Mapping(children) => {
                let mut fields = Map::new();
                self.entries(children, depth, &mut fields)?;
                // `encoding/json` writes maps in this order.
                fields.sort_keys();
                Ok(fields.into())
            }
            Content::Alias { anchor, target } => {
                self.expand(anchor, *target, |decoder| decoder.value(*target, depth + 1))
            }
        }
    }

    fn scalar(&mut self, scalar: &YamlScalar) -> Result<Value, String> {
        match self.resolve(scalar)? {
            ScalarValue::Null => Ok(Value::Null),
            ScalarValue::Bool(value) => Ok(value.into()),
            ScalarValue::Int(number) => Ok(number.into()),
            ScalarValue::Uint(number) => Ok((number as f64).into()),
            ScalarValue::Float(number) => float_value(number),
            ScalarValue::Text(text) => Ok(text.into()),
        }
    }

    /// Adds the entries of a mapping. A later key replaces an earlier one, even if it comes from a
    /// merge.
    fn entries(
        &mut self,
        children: &'a [NodeId],
        depth: usize,
        fields: &mut Map<String, Value>,
    ) -> Result<(), String> {
        for pair in children.chunks_exact(2) {
            let (key, value) = (pair[0], pair[1]);
            if let Content::Scalar(scalar) = &self.tree.node(key).content
                && scalar::is_merge_key(scalar)
            {
                self.merge(value, depth, fields)?;
                continue;
            }
            let key = self.key(key, depth)?;
            let line = self.tree.node(value).line;
            let value = self.value(value, depth + 1)?;
            match fields.entry(key.text) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    entry.insert(value);
                    let shown = &key.shown;
                    self.duplicate_keys
                        .push_with(|| format!("line {line}: key {shown} already set in map"));
                }
            }
        }
        Ok(())
    }

    /// Adds the entries of a merged mapping, or of several in reverse order.
    fn merge(
        &mut self,
        id: NodeId,
        depth: usize,
        fields: &mut Map<String, Value>,
    ) -> Result<(), String> {
        match &self.tree.node(id).content {
            Content::Sequence(items) => {
                items.iter().rev().try_for_each(|item| self.merge_mapping(*item, depth, fields))
            }
            _ => self.merge_mapping(id, depth, fields),
        }
    }

    fn merge_mapping(
        &mut self,
        id: NodeId,
        depth: usize,
        fields: &mut Map<String, Value>,
    ) -> Result<(), String> {
        self.charge_node(depth)?;
        match &self.tree.node(id).content {
            Content::Mapping(children) => self.entries(children, depth + 1, fields),
            Content::Alias { anchor, target } => match &self.tree.node(*target).content {
                Content::Mapping(children) => self.expand(anchor, *target, |decoder| {
                    decoder.entries(children, depth + 1, fields)
                }),
                _ => Err(no_mapping()),
            },
            _ => Err(no_mapping()),
        }
    }

    fn key(&mut self, id: NodeId, depth: usize) -> Result<MappingKey, String> {
        self.charge_node(depth)?;
        let scalar = match &self.tree.node(id).content {
            Content::Scalar(scalar) => scalar,
            Content::Alias { anchor, target } => {
                return self.expand(anchor, *target, |decoder| decoder.key(*target, depth + 1));
            }
            Content::Sequence(_) | Content::Mapping(_) => {
                return Err("yaml: invalid map key: a list or a mapping".into());
            }
        };
        let unsupported = |kind: &str| Err(format!("unsupported map key of type: {kind}"));
        let (text, shown) = match self.resolve(scalar)? {
            ScalarValue::Text(text) => (None, text),
            ScalarValue::Bool(value) => (Some(value.to_string()), value.to_string()),
            ScalarValue::Int(number) => (Some(number.to_string()), number.to_string()),
            ScalarValue::Float(number) => (Some(float::key(number)), number.to_string()),
            ScalarValue::Uint(_) => return unsupported("uint64"),
            ScalarValue::Null => return unsupported("%!s(<nil>)"),
        };
        Ok(match text {
            Some(text) => MappingKey { text, shown },
            None => MappingKey { shown: quote(&excerpt::of(&shown)), text: shown },
        })
    }

    /// Calls `decode` for the target of an alias.
    fn expand<T>(
        &mut self,
        anchor: &str,
        target: NodeId,
        decode: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.aliases.contains(&target) {
            return Err(format!("yaml: anchor '{}' value contains itself", excerpt::of(anchor)));
        }
        self.aliases.push(target);
        let decoded = decode(self);
        self.aliases.pop();
        decoded
    }

    fn resolve(&mut self, scalar: &YamlScalar) -> Result<ScalarValue, String> {
        match self.bytes_left.checked_sub(scalar.text.len()) {
            Some(left) => self.bytes_left = left,
            None => {
                return Err(
                    "yaml: the aliases of the document expand to more text than the budget \
                            for its size"
                        .into(),
                );
            }
        }
        scalar::resolve(scalar)
    }

    fn charge_node(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match self.nodes_left.checked_sub(1) {
            Some(left) => {
                self.nodes_left = left;
                Ok(())
            }
            None => Err("yaml: the aliases of the document expand to more values than the limit \
                         for its size"
                .into()),
        }
    }
}

/// The JSON of a number: an integer if it has no fraction, as `encoding/json` writes it.
fn float_value(number: f64) -> Result<Value, String> {
    /// 2^63, the first integer that does not fit.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return Err("json: unsupported value: NaN".into());
    }
    if number.is_infinite() {
        let sign = if number > 0.0 { '+' } else { '-' };
        return Err(format!("json: unsupported value: {sign}Inf"));
    }
    let is_integer = number.fract() == 0.0 && (-END..END).contains(&number);
    Ok(if is_integer { (number as i64).into() } else { number.into() })
}

fn no_mapping() -> String {
    "yaml: map merge requires map or sequence of maps as the value".into()
}
