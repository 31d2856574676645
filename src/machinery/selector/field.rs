//! Field selectors: `name=value`, `name==value` and `name!=value`, separated by commas. A backslash
//! escapes the next character. Port of `k8s.io/apimachinery/pkg/fields/selector.go`.

use super::requirement::Requirement;
use crate::meta::field::quote;

pub(super) const NAME: &str = "metadata.name";
pub(super) const NAMESPACE: &str = "metadata.namespace";

/// A field selector: requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSelector(Vec<FieldRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: String,
    operator: FieldOperator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldOperator {
    Equal,
    NotEqual,
}

impl FieldSelector {
    /// Parses a selector on name, namespace and the fields in `more`.
    ///
    /// # Errors
    /// A message for the client.
    pub(super) fn parse(text: &str, more: &[&'static str]) -> Result<Self, String> {
        let selector = Self::parse_any(text)?;
        let is_known = |field: &str| field == NAME || field == NAMESPACE || more.contains(&field);
        match selector.0.iter().find(|requirement| !is_known(&requirement.field)) {
            None => Ok(selector),
            Some(requirement) => {
                let (name, namespace) = (quote(NAME), quote(NAMESPACE));
                Err(format!(
                    "{} is not a known field selector: only {name}, {namespace}",
                    quote(&requirement.field)
                ))
            }
        }
    }

    /// Parses a selector on any fields. Terms are parsed in lexical order, so errors are reported
    /// in that order, as `parseSelector` does.
    ///
    /// # Errors
    /// A message for the client.
    pub(super) fn parse_any(text: &str) -> Result<Self, String> {
        let mut parts = split(text);
        parts.retain(|part| !part.is_empty());
        parts.sort_unstable();
        parts
            .iter()
            .map(|part| FieldRequirement::parse(part, text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The requirements in the form of a SubjectAccessReview.
    pub(super) fn requirements(&self) -> Vec<Requirement> {
        let requirement = |requirement: &FieldRequirement| Requirement {
            key: requirement.field.clone(),
            operator: if requirement.operator == FieldOperator::Equal { "In" } else { "NotIn" },
            values: Some(vec![requirement.value.clone()]),
        };
        self.0.iter().map(requirement).collect()
    }

    /// The value that the selector requires for a field.
    pub(super) fn exact(&self, field: &str) -> Option<&str> {
        let mut requirements = self.0.iter().filter(|requirement| {
            requirement.field == field && requirement.operator == FieldOperator::Equal
        });
        requirements.next().map(|requirement| requirement.value.as_str())
    }

    /// Removes the requirements that a field equals a value.
    pub(super) fn remove_exact(&mut self, field: &str, value: &str) {
        self.0.retain(|requirement| {
            !(requirement.field == field
                && requirement.operator == FieldOperator::Equal
                && requirement.value == value)
        });
    }

    /// Removes all requirements on a field.
    pub(super) fn remove(&mut self, field: &str) {
        self.0.retain(|requirement| requirement.field != field);
    }

    /// Removes all requirements on other fields.
    pub(super) fn keep(&mut self, field: &str) {
        self.0.retain(|requirement| requirement.field == field);
    }

    /// Returns true if the requirements on a field match a value.
    pub(super) fn selects_value(&self, field: &str, value: &str) -> bool {
        let mut requirements = self.0.iter().filter(|requirement| requirement.field == field);
        requirements.all(|requirement| {
            (requirement.value == value) == (requirement.operator == FieldOperator::Equal)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if all requirements are on these fields.
    pub(super) fn is_about(&self, fields: &[&str]) -> bool {
        self.0.iter().all(|requirement| fields.contains(&&*requirement.field))
    }

    pub(super) fn selects(&self, field: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|requirement| {
            (field(&requirement.field) == requirement.value)
                == (requirement.operator == FieldOperator::Equal)
        })
    }
}

impl FieldRequirement {
    /// Parses one term of the selector `whole` (`splitTerm`).
    fn parse(text: &str, whole: &str) -> Result<Self, String> {
        let at = text
            .find(['=', '!'])
            .filter(|at| text[*at..].starts_with('=') || text[*at..].starts_with("!="));
        let at =
            at.ok_or_else(|| format!("invalid selector: '{whole}'; can't understand '{text}'"))?;
        let symbols = [
            ("!=", FieldOperator::NotEqual),
            ("==", FieldOperator::Equal),
            ("=", FieldOperator::Equal),
        ];
        let (symbol, operator) = symbols
            .into_iter()
            .find(|(symbol, _)| text[at..].starts_with(symbol))
            .unwrap_or(("=", FieldOperator::Equal));
        let value = unescape(&text[at + symbol.len()..])?;
        Ok(Self { field: text[..at].to_owned(), operator, value })
    }
}

/// Splits at unescaped commas (`splitTerms`).
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        if character == ',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{next}"
                    ));
                }
            },
            // UnescapedRune formats the character as its number.
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(character)
                ));
            }
            character => plain.push(character),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(text: &str) -> Result<bool, String> {
        let object = |field: &str| if field == NAME { "a,b".to_owned() } else { String::new() };
        FieldSelector::parse(text, &["spec.x"]).map(|selector| selector.selects(object))
    }

    #[test]
    fn all_requirements_must_hold() {
        for text in
            ["", r"metadata.name=a\,b", r"metadata.name==a\,b,spec.x=", "metadata.namespace!=n,"]
        {
            assert_eq!(selects(text), Ok(true), "{text}");
        }
        assert_eq!(selects("metadata.name!=a\\,b"), Ok(false));
    }

    #[test]
    fn errors_have_the_texts_of_kubernetes() {
        let unknown =
            "\"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        assert_eq!(selects("foo=bar").unwrap_err(), unknown);
        let unclear = "invalid selector: 'metadata.name'; can't understand 'metadata.name'";
        assert_eq!(selects("metadata.name").unwrap_err(), unclear);
        let unclear = "invalid selector: 'metadata.name=a,b'; can't understand 'b'";
        assert_eq!(selects("metadata.name=a,b").unwrap_err(), unclear);
        let first =
            "\"baz\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        assert_eq!(selects("foo=bar,baz=x").unwrap_err(), first);
        let sign = "invalid field selector: unescaped character in value: 61";
        assert_eq!(selects("metadata.name=a=b").unwrap_err(), sign);
        assert_eq!(
            selects("metadata.name=x\\").unwrap_err(),
            "invalid field selector: invalid escape sequence: \\"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = selects(&text);
        }
    }
}
