//! Rules for the metadata of any object, and what the server sets when an object is made.

use super::cx::Cx;
use crate::meta::{ObjectMeta, Status, field, path_segment_faults};

/// The most bytes that all annotations of an object may have together.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;
/// The longest base of a generated name.
const MAX_GENERATED_BASE: usize = 58;
/// Letters of generated names: none that reads as another, and none that spells words.
const GENERATED_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Sets what belongs to the server in a new object, and its namespace.
///
/// # Errors
/// 400 when the object names another namespace than the path, or has a resourceVersion.
pub fn prepare_create(cx: &Cx, meta: &mut ObjectMeta) -> Result<(), Status> {
    if !meta.namespace.is_empty() && meta.namespace != cx.namespace() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !meta.resource_version.is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    meta.namespace = cx.namespace().into();
    if meta.name.is_empty() && !meta.generate_name.is_empty() {
        meta.name = generate_name(&meta.generate_name);
    }
    meta.uid = uuid::Uuid::new_v4().to_string();
    meta.creation_timestamp = Some(cx.now);
    meta.generation = 0;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link.clear();
    Ok(())
}

/// Gives the new form of an object what only the server may set.
pub fn prepare_update(old: &ObjectMeta, new: &mut ObjectMeta) {
    new.namespace.clone_from(&old.namespace);
    new.uid.clone_from(&old.uid);
    new.resource_version.clone_from(&old.resource_version);
    new.generation = old.generation;
    new.creation_timestamp = old.creation_timestamp;
    new.deletion_timestamp = old.deletion_timestamp;
    new.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    new.self_link.clear();
}

fn generate_name(base: &str) -> String {
    let mut end = base.len().min(MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let random = uuid::Uuid::new_v4();
    let letters = random.as_bytes()[..5]
        .iter()
        .map(|byte| char::from(GENERATED_LETTERS[usize::from(*byte) % GENERATED_LETTERS.len()]));
    base[..end].chars().chain(letters).collect()
}

/// The faults of the metadata of an object whose name is a segment of a storage path.
pub fn faults(meta: &ObjectMeta) -> Vec<field::Error> {
    faults_by(meta, path_segment_faults)
}

/// The faults of the metadata of an object whose name has rules of its own.
pub fn faults_by(meta: &ObjectMeta, name_faults: impl Fn(&str) -> Vec<&'static str>) -> Vec<field::Error> {
    let mut faults = Vec::new();
    if !meta.generate_name.is_empty() {
        let rules = name_faults(&meta.generate_name).into_iter();
        faults.extend(rules.map(|rule| field::Error::invalid("metadata.generateName", &meta.generate_name, rule)));
    }
    if meta.name.is_empty() {
        faults.push(field::Error::required("metadata.name", "name or generateName is required"));
    } else {
        let rules = name_faults(&meta.name).into_iter();
        faults.extend(rules.map(|rule| field::Error::invalid("metadata.name", &meta.name, rule)));
    }
    let annotations: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if annotations > MAX_ANNOTATION_BYTES {
        let fault = field::Fault::TooLong(MAX_ANNOTATION_BYTES);
        faults.push(field::Error { field: "metadata.annotations".into(), fault });
    }
    for key in meta.annotations.keys() {
        faults.extend(key_fault("metadata.annotations", &key.to_lowercase(), key));
    }
    for (key, value) in &meta.labels {
        faults.extend(key_fault("metadata.labels", key, key));
        if !is_label_value(value) {
            faults.push(field::Error::invalid("metadata.labels", value, LABEL_VALUE_RULE));
        }
    }
    faults
}

const NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Keys of labels and annotations: an optional domain, a slash, and a name of at most 63 characters.
fn key_fault(path: &str, key: &str, shown: &str) -> Option<field::Error> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_domain = |domain: &str| !domain.is_empty() && domain.len() <= 253 && domain.split('.').all(is_domain_part);
    let rule = match (domain, name) {
        (_, "") => "name part must be non-empty",
        (_, name) if name.contains('/') => "a qualified name may have one slash only, between its domain and its name",
        (Some(domain), _) if !is_domain(domain) => "prefix part must be a DNS subdomain in lower case",
        (_, name) if name.len() > 63 => "name part must be no more than 63 characters",
        (_, name) if !is_word(name) => NAME_RULE,
        _ => return None,
    };
    Some(field::Error::invalid(path, shown, rule))
}

fn is_domain_part(part: &str) -> bool {
    let is_edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    !bytes.is_empty()
        && is_edge(bytes[0])
        && is_edge(bytes[bytes.len() - 1])
        && bytes.iter().all(|&byte| is_edge(byte) || byte == b'-')
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= 63 && is_word(value))
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_label(key: &str, value: &str) -> Vec<field::Error> {
        let mut meta = ObjectMeta { name: "x".into(), ..ObjectMeta::default() };
        meta.labels.insert(key.into(), value.into());
        faults(&meta)
    }

    #[test]
    fn labels_have_a_form() {
        for (key, value) in [("a", ""), ("a.b/c-d_e", "X.y"), ("k8s.io/x", "1")] {
            assert!(with_label(key, value).is_empty(), "{key}={value}");
        }
        for (key, value) in
            [("", ""), ("a/b/c", ""), ("A/b", ""), ("/b", ""), ("a b", ""), ("a", "-x"), ("a", &"x".repeat(64))]
        {
            assert_eq!(with_label(key, value).len(), 1, "{key}={value}");
        }
    }

    #[test]
    fn a_generated_name_is_the_base_and_five_letters() {
        assert_eq!(generate_name(&"é".repeat(40)).len(), 58 + 5);
    }
}
