//! Rules for names, label keys and label values, with the texts of Kubernetes.

/// Returns the violated rules for a name that is a segment of a URL path, as
/// `IsValidPathSegmentName` in k8s.io/apimachinery/pkg/api/validation/path/name.go.
pub fn path_segment_errors(name: &str) -> Vec<&'static str> {
    match name {
        "." => return vec!["may not be '.'"],
        ".." => return vec!["may not be '..'"],
        _ => {}
    }
    let forbidden = [('/', "may not contain '/'"), ('%', "may not contain '%'")];
    forbidden
        .into_iter()
        .filter(|(letter, _)| name.contains(*letter))
        .map(|(_, text)| text)
        .collect()
}

/// Maximum length of the name part of a key, and of a label value, in bytes.
const MAX_NAME_LENGTH: usize = 63;
/// Maximum length of a DNS subdomain, and of the prefix of a key, in bytes.
const MAX_SUBDOMAIN_LENGTH: usize = 253;

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
    character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation \
    is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const PREFIX: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Returns the violated rules for a label key, an annotation key or a finalizer, as
/// `IsQualifiedName` in k8s.io/apimachinery/pkg/util/validation/validation.go.
///
/// A qualified name has a name part and an optional DNS prefix: `[<prefix>/]<name>`.
pub fn qualified_name_errors(key: &str) -> Vec<String> {
    let (prefix, name) = match key.split('/').collect::<Vec<_>>()[..] {
        [name] => (None, name),
        [prefix, name] => (Some(prefix), name),
        _ => {
            let form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {NAME} {form}")];
        }
    };
    let mut errors = Vec::new();
    match prefix {
        Some("") => errors.push("prefix part must be non-empty".into()),
        Some(prefix) => {
            if prefix.len() > MAX_SUBDOMAIN_LENGTH {
                errors.push(format!(
                    "prefix part must be no more than {MAX_SUBDOMAIN_LENGTH} characters"
                ));
            }
            if !prefix.split('.').all(is_dns_part) {
                errors.push(PREFIX.into());
            }
        }
        None => {}
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else if name.len() > MAX_NAME_LENGTH {
        errors.push(format!("name part must be no more than {MAX_NAME_LENGTH} characters"));
    }
    if !is_name(name) {
        errors.push(format!("name part {NAME}"));
    }
    errors
}

/// Returns the violated rules for a label value, as `IsValidLabelValue` in
/// k8s.io/apimachinery/pkg/util/validation/validation.go.
pub fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_NAME_LENGTH {
        errors.push(format!("must be no more than {MAX_NAME_LENGTH} characters"));
    }
    if !value.is_empty() && !is_name(value) {
        errors.push(LABEL_VALUE.into());
    }
    errors
}

/// Returns true for a valid namespace name, as `IsDNS1123Label` in
/// k8s.io/apimachinery/pkg/util/validation/validation.go.
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= MAX_NAME_LENGTH && is_dns_part(name)
}

/// Returns true for a valid name of most objects: labels of any length, joined by dots, as
/// `IsDNS1123Subdomain` in k8s.io/apimachinery/pkg/util/validation/validation.go.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= MAX_SUBDOMAIN_LENGTH && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
        && bytes.iter().all(|byte| is_edge(byte) || *byte == b'-')
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_with_an_optional_prefix() {
        for key in ["a", "a.b/c-d_e", "k8s.io/X", "1"] {
            assert_eq!(qualified_name_errors(key), Vec::<String>::new(), "{key}");
        }
        for (key, errors) in
            [("a/b/c", 1), ("A/b", 1), ("/b", 1), ("a b", 1), ("", 2), ("a/", 2), ("-x", 1)]
        {
            assert_eq!(qualified_name_errors(key).len(), errors, "{key}");
        }
    }

    #[test]
    fn label_values_are_names_or_empty() {
        assert!(label_value_errors("").is_empty() && label_value_errors("X.y").is_empty());
        assert_eq!(label_value_errors("-x").len(), 1);
        assert_eq!(label_value_errors(&"x".repeat(64)), ["must be no more than 63 characters"]);
    }
}
