//! Rules of Kubernetes for names, keys and label values, with the texts that clients know.

/// Why a name that is a segment of a URL path is not allowed; empty if it is.
pub fn path_segment_errors(name: &str) -> Vec<&'static str> {
    match name {
        "." => return vec!["may not be '.'"],
        ".." => return vec!["may not be '..'"],
        _ => {}
    }
    let forbidden = [('/', "may not contain '/'"), ('%', "may not contain '%'")];
    forbidden.into_iter().filter(|(letter, _)| name.contains(*letter)).map(|(_, text)| text).collect()
}

/// The most letters of a key's name, and of a label's value.
const LONGEST: usize = 63;
/// The most letters of a key's domain.
const LONGEST_DOMAIN: usize = 253;

const WORD: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
    character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation \
    is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const DOMAIN: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Why a key of a label or an annotation, or a finalizer, is not allowed; empty if it is.
///
/// Such a name is a word, or a domain, a slash and a word.
pub fn qualified_name_errors(key: &str) -> Vec<String> {
    let (domain, word) = match key.split('/').collect::<Vec<_>>()[..] {
        [word] => (None, word),
        [domain, word] => (Some(domain), word),
        _ => {
            let form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {WORD} {form}")];
        }
    };
    let mut faults = Vec::new();
    match domain {
        Some("") => faults.push("prefix part must be non-empty".into()),
        Some(domain) => {
            if domain.len() > LONGEST_DOMAIN {
                faults.push(format!("prefix part must be no more than {LONGEST_DOMAIN} characters"));
            }
            if !domain.split('.').all(is_domain_part) {
                faults.push(DOMAIN.into());
            }
        }
        None => {}
    }
    if word.is_empty() {
        faults.push("name part must be non-empty".into());
    } else if word.len() > LONGEST {
        faults.push(format!("name part must be no more than {LONGEST} characters"));
    }
    if !is_word(word) {
        faults.push(format!("name part {WORD}"));
    }
    faults
}

/// Why the value of a label is not allowed; empty if it is.
pub fn label_value_errors(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LONGEST {
        faults.push(format!("must be no more than {LONGEST} characters"));
    }
    if !value.is_empty() && !is_word(value) {
        faults.push(LABEL_VALUE.into());
    }
    faults
}

/// Whether a text can be the name of a namespace.
pub fn is_dns_label(name: &str) -> bool {
    name.len() <= LONGEST && is_domain_part(name)
}

/// Whether a text can be the name of most objects: DNS labels of any length, joined by dots.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_domain_part)
}

fn is_domain_part(part: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
        && bytes.iter().all(|byte| is_edge(byte) || *byte == b'-')
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words_with_an_optional_domain() {
        for key in ["a", "a.b/c-d_e", "k8s.io/X", "1"] {
            assert_eq!(qualified_name_errors(key), Vec::<String>::new(), "{key}");
        }
        for (key, faults) in [("a/b/c", 1), ("A/b", 1), ("/b", 1), ("a b", 1), ("", 2), ("a/", 2), ("-x", 1)] {
            assert_eq!(qualified_name_errors(key).len(), faults, "{key}");
        }
    }

    #[test]
    fn label_values_are_words_or_empty() {
        assert!(label_value_errors("").is_empty() && label_value_errors("X.y").is_empty());
        assert_eq!(label_value_errors("-x").len(), 1);
        assert_eq!(label_value_errors(&"x".repeat(64)), ["must be no more than 63 characters"]);
    }
}
