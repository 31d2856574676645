//! Label selectors: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1` and `a<2`,
//! separated by commas. Port of `k8s.io/apimachinery/pkg/labels/selector.go`.

use std::collections::BTreeMap;

use super::requirement::Requirement;
use crate::meta::{field, label_value_errors, qualified_name_errors};

/// A label selector: requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelSelector(Vec<LabelRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    operator: LabelOperator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelOperator {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    /// Also matches objects without the label.
    NotIn(Vec<String>),
    GreaterThan(i64),
    LessThan(i64),
}

impl LabelSelector {
    /// Parses a selector.
    ///
    /// # Errors
    /// A message for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = LabelParser { tokens: tokens(text), position: 0 };
        let mut requirements = Vec::new();
        if parser.peek().is_empty() {
            return Ok(Self(requirements));
        }
        loop {
            match parser.peek() {
                "!" => requirements.push(parser.requirement()?),
                word if is_word(word) => requirements.push(parser.requirement()?),
                other => {
                    return Err(format!(
                        "found '{other}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match parser.next().as_str() {
                "" => return Ok(Self(requirements)),
                "," => {
                    let next = parser.peek();
                    if next != "!" && !is_word(next) {
                        return Err(format!("found '{next}', expected: identifier after ','"));
                    }
                }
                other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
    }

    /// The requirements in the form of a SubjectAccessReview, which has no numeric comparisons.
    pub(super) fn requirements(&self) -> Vec<Requirement> {
        let requirement = |requirement: &LabelRequirement| {
            let (operator, values) = match &requirement.operator {
                LabelOperator::Exists => ("Exists", None),
                LabelOperator::DoesNotExist => ("DoesNotExist", None),
                LabelOperator::In(values) => ("In", Some(values.clone())),
                LabelOperator::NotIn(values) => ("NotIn", Some(values.clone())),
                LabelOperator::GreaterThan(_) | LabelOperator::LessThan(_) => return None,
            };
            Some(Requirement { key: requirement.key.clone(), operator, values })
        };
        self.0.iter().filter_map(requirement).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
    }
}

impl LabelRequirement {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
            LabelOperator::In(values) => value.is_some_and(|value| values.contains(value)),
            LabelOperator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            LabelOperator::GreaterThan(least) => number().is_some_and(|number| number > *least),
            LabelOperator::LessThan(most) => number().is_some_and(|number| number < *most),
        }
    }
}

struct LabelParser {
    tokens: Vec<String>,
    position: usize,
}

impl LabelParser {
    fn peek(&self) -> &str {
        self.tokens.get(self.position).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.position += 1;
        self.tokens.get(self.position - 1).cloned().unwrap_or_default()
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        self.parse_requirement().map_err(|reason| format!("unable to parse requirement: {reason}"))
    }

    fn parse_requirement(&mut self) -> Result<LabelRequirement, String> {
        let is_negated = self.peek() == "!";
        self.position += usize::from(is_negated);
        let key = self.next();
        if !is_word(&key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let rules = qualified_name_errors(&key);
        if !rules.is_empty() {
            return Err(field::Error::invalid("<nil>", &key, rules.join("; ")).to_string());
        }
        let operator = match self.peek() {
            _ if is_negated => LabelOperator::DoesNotExist,
            "" | "," => LabelOperator::Exists,
            _ => self.operator(&key)?,
        };
        Ok(LabelRequirement { key, operator })
    }

    fn operator(&mut self, key: &str) -> Result<LabelOperator, String> {
        let symbol = self.next();
        match symbol.as_str() {
            "in" => Ok(LabelOperator::In(self.values(key)?)),
            "notin" => Ok(LabelOperator::NotIn(self.values(key)?)),
            "=" | "==" => Ok(LabelOperator::In(vec![self.value(key)?])),
            "!=" => Ok(LabelOperator::NotIn(vec![self.value(key)?])),
            ">" | "<" => {
                let value = self.value(key)?;
                let number = value.parse().map_err(|_| {
                    let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
                    field::Error::invalid("values[0]", &value, rule).to_string()
                })?;
                Ok(if symbol == ">" {
                    LabelOperator::GreaterThan(number)
                } else {
                    LabelOperator::LessThan(number)
                })
            }
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// Parses one value, which may be empty (`parseExactValue`).
    fn value(&mut self, key: &str) -> Result<String, String> {
        let value = match self.peek() {
            "" | "," => String::new(),
            word if is_word(word) => self.next(),
            other => return Err(format!("found '{other}', expected: identifier")),
        };
        check_value(&value, key, 0)?;
        Ok(value)
    }

    /// Parses values in parentheses (`parseValues`, `parseIdentifiersList`).
    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = vec![String::new()];
        loop {
            let token = self.next();
            match token.as_str() {
                ")" => break,
                "," => values.push(String::new()),
                word if is_word(word) && values.last().is_some_and(String::is_empty) => {
                    values.pop();
                    values.push(token);
                }
                other => {
                    let expected = match (values.len(), values.last().is_some_and(String::is_empty))
                    {
                        (1, true) => "',', ')' or identifier",
                        (_, true) => "',', or identifier",
                        (_, false) => "',' or ')'",
                    };
                    return Err(format!("found '{other}', expected: {expected}"));
                }
            }
        }
        for (position, value) in values.iter().enumerate() {
            check_value(value, key, position)?;
        }
        Ok(values)
    }
}

fn check_value(value: &str, key: &str, position: usize) -> Result<(), String> {
    let rules = label_value_errors(value);
    if rules.is_empty() {
        return Ok(());
    }
    Err(field::Error::invalid(format!("values[{position}][{key}]"), value, rules.join("; "))
        .to_string())
}

/// Matches identifiers: tokens that are not symbols.
fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(|character| SYMBOLS.contains(character))
}

const SYMBOLS: &str = "=!(),<>";

/// Splits a selector into identifiers and symbols (`Lexer.Lex`).
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if ["==", "!="].iter().any(|symbol| rest.starts_with(symbol)) {
            2
        } else if SYMBOLS.contains(first) {
            1
        } else {
            rest.find(|character: char| character.is_whitespace() || SYMBOLS.contains(character))
                .unwrap_or(rest.len())
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(text: &str) -> bool {
        let labels = [("a", "1"), ("b", "x"), ("e", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        LabelSelector::parse(text).unwrap().selects(&labels.into())
    }

    #[test]
    fn all_requirements_must_hold() {
        for text in [
            "",
            "a",
            "!c",
            "a=1,b==x",
            "a!=2",
            "c!=1",
            "b in (x,y)",
            "b notin (y)",
            "c notin (y)",
            "a>0",
            "a<2",
            "e=",
            "e in ()",
        ] {
            assert!(selects(text), "{text}");
        }
        for text in ["c", "!a", "a=1,b=y", "a!=1", "b in (y)", "b notin (x)", "a>1", "c<5", "b>0"] {
            assert!(!selects(text), "{text}");
        }
    }

    #[test]
    fn errors_have_the_texts_of_kubernetes() {
        let cases = [
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a===b", "unable to parse requirement: found '=', expected: identifier"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a in (b,!", "unable to parse requirement: found '!', expected: ',', or identifier"),
        ];
        for (text, expected) in cases {
            assert_eq!(LabelSelector::parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn all_broken_rules_of_a_key_are_reported() {
        let expected = LabelSelector::parse("a/").unwrap_err();
        let start = "unable to parse requirement: <nil>: Invalid value: \"a/\": name part must be non-empty; name part must";
        assert!(expected.starts_with(start), "{expected}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ab=!(),<> in]{0,20}|.*") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
