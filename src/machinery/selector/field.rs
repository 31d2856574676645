//! Field selectors: `name=value`, `name==value`, `name!=value`, joined by commas. A backslash takes the next letter as it is.

use super::Requirement;
use crate::meta::field::quote;

/// The field that holds an object's name.
pub(super) const NAME: &str = "metadata.name";
/// The field that holds an object's namespace.
pub(super) const NAMESPACE: &str = "metadata.namespace";

/// Demands on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSelector(Vec<FieldRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: String,
    operator_: FieldOperator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldOperator {
    Equal,
    NotEqual,
}

impl FieldSelector {
    /// Reads a selector about name, namespace and `more` fields.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(super) fn parse(text: &str, more: &[&'static str]) -> Result<Self, String> {
        let selector = Self::parse_any(text)?;
        let is_known = |field: &str| field == NAME || field == NAMESPACE || more.contains(&field);
        match selector.0.iter().find(|requirement| !is_known(&requirement.field)) {
            None => Ok(selector),
            Some(requirement) => {
                let (name, namespace) = (quote(NAME), quote(NAMESPACE));
                Err(format!("{} is not a known field selector: only {name}, {namespace}", quote(&requirement.field)))
            }
        }
    }

    /// Reads a selector about any fields. Demands are read in the order of their texts: the first fault in that is told.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(super) fn parse_any(text: &str) -> Result<Self, String> {
        let mut parts = split(text);
        parts.retain(|part| !part.is_empty());
        parts.sort_unstable();
        parts.iter().map(|part| FieldRequirement::parse(part, text)).collect::<Result<_, _>>().map(Self)
    }

    /// The requirements_ in the words of authorization.
    pub(super) fn requirements(&self) -> Vec<Requirement> {
        let requirement = |requirement: &FieldRequirement| Requirement {
            key: requirement.field.clone(),
            operator: if requirement.operator_ == FieldOperator::Equal { "In" } else { "NotIn" },
            values: Some(vec![requirement.value.clone()]),
        };
        self.0.iter().map(requirement).collect()
    }

    /// The value that a field must have.
    pub(super) fn exact(&self, field: &str) -> Option<&str> {
        let mut requirements_ = self
            .0
            .iter()
            .filter(|requirement| requirement.field == field && requirement.operator_ == FieldOperator::Equal);
        requirements_.next().map(|requirement| requirement.value.as_str())
    }

    /// Drops the requirements_ that a field has a value.
    pub(super) fn remove_exact(&mut self, field: &str, value: &str) {
        self.0.retain(|requirement| {
            !(requirement.field == field && requirement.operator_ == FieldOperator::Equal && requirement.value == value)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no requirement is about anything but these fields.
    pub(super) fn is_about(&self, fields: &[&str]) -> bool {
        self.0.iter().all(|requirement| fields.contains(&&*requirement.field))
    }

    pub(super) fn selects(&self, field: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|requirement| {
            (field(&requirement.field) == requirement.value) == (requirement.operator_ == FieldOperator::Equal)
        })
    }
}

impl FieldRequirement {
    /// Reads one requirement of the selector `whole`.
    fn parse(text: &str, whole: &str) -> Result<Self, String> {
        let at = text.find(['=', '!']).filter(|at| text[*at..].starts_with('=') || text[*at..].starts_with("!="));
        let at = at.ok_or_else(|| format!("invalid selector: '{whole}'; can't understand '{text}'"))?;
        let operators = [("!=", FieldOperator::NotEqual), ("==", FieldOperator::Equal), ("=", FieldOperator::Equal)];
        let (operator, operator_) = operators
            .into_iter()
            .find(|(operator, _)| text[at..].starts_with(operator))
            .unwrap_or(("=", FieldOperator::Equal));
        let value = unescape(&text[at + operator.len()..])?;
        Ok(Self { field: text[..at].to_owned(), operator_, value })
    }
}

/// Splits at commas that have no backslash before them.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        if letter == ',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{next}"));
                }
            },
            // The letter is told by its number.
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(letter)));
            }
            letter => plain.push(letter),
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
    fn every_demand_must_hold() {
        for text in ["", r"metadata.name=a\,b", r"metadata.name==a\,b,spec.x=", "metadata.namespace!=n,"] {
            assert_eq!(selects(text), Ok(true), "{text}");
        }
        assert_eq!(selects("metadata.name!=a\\,b"), Ok(false));
    }

    #[test]
    fn faults_are_told() {
        let unknown = "\"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        assert_eq!(selects("foo=bar").unwrap_err(), unknown);
        let unclear = "invalid selector: 'metadata.name'; can't understand 'metadata.name'";
        assert_eq!(selects("metadata.name").unwrap_err(), unclear);
        let unclear = "invalid selector: 'metadata.name=a,b'; can't understand 'b'";
        assert_eq!(selects("metadata.name=a,b").unwrap_err(), unclear);
        let first = "\"baz\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        assert_eq!(selects("foo=bar,baz=x").unwrap_err(), first);
        let sign = "invalid field selector: unescaped character in value: 61";
        assert_eq!(selects("metadata.name=a=b").unwrap_err(), sign);
        assert_eq!(selects("metadata.name=x\\").unwrap_err(), "invalid field selector: invalid escape sequence: \\");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = selects(&text);
        }
    }
}
