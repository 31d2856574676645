//! Label selectors: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, `a<2`, joined by commas.

use std::collections::BTreeMap;

use super::Requirement;
use crate::meta::{field, label_value_errors, qualified_name_errors};

/// Demands on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector(Vec<Demand>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Demand {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    /// Also holds where the label is missing.
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { tokens: tokens(text), at: 0 };
        let mut demands = Vec::new();
        if reader.peek().is_empty() {
            return Ok(Self(demands));
        }
        loop {
            match reader.peek() {
                "!" => demands.push(reader.demand()?),
                word if is_word(word) => demands.push(reader.demand()?),
                other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
            }
            match reader.next().as_str() {
                "" => return Ok(Self(demands)),
                "," => {
                    let next = reader.peek();
                    if next != "!" && !is_word(next) {
                        return Err(format!("found '{next}', expected: identifier after ','"));
                    }
                }
                other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
    }

    /// The demands in the words of authorization, which knows no comparisons of numbers.
    pub(super) fn requirements(&self) -> Vec<Requirement> {
        let requirement = |demand: &Demand| {
            let (operator, values) = match &demand.test {
                Test::Exists => ("Exists", None),
                Test::Missing => ("DoesNotExist", None),
                Test::In(values) => ("In", Some(values.clone())),
                Test::NotIn(values) => ("NotIn", Some(values.clone())),
                Test::Greater(_) | Test::Less(_) => return None,
            };
            Some(Requirement { key: demand.key.clone(), operator, values })
        };
        self.0.iter().filter_map(requirement).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|demand| demand.holds(labels.get(&demand.key)))
    }
}

impl Demand {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Greater(least) => number().is_some_and(|number| number > *least),
            Test::Less(most) => number().is_some_and(|number| number < *most),
        }
    }
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned().unwrap_or_default()
    }

    fn demand(&mut self) -> Result<Demand, String> {
        self.bare_demand().map_err(|why| format!("unable to parse requirement: {why}"))
    }

    fn bare_demand(&mut self) -> Result<Demand, String> {
        let is_negated = self.peek() == "!";
        self.at += usize::from(is_negated);
        let key = self.next();
        if !is_word(&key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let rules = qualified_name_errors(&key);
        if !rules.is_empty() {
            return Err(field::Error::invalid("<nil>", &key, rules.join("; ")).to_string());
        }
        let test = match self.peek() {
            _ if is_negated => Test::Missing,
            "" | "," => Test::Exists,
            _ => self.test(&key)?,
        };
        Ok(Demand { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, String> {
        let operator = self.next();
        match operator.as_str() {
            "in" => Ok(Test::In(self.values(key)?)),
            "notin" => Ok(Test::NotIn(self.values(key)?)),
            "=" | "==" => Ok(Test::In(vec![self.value(key)?])),
            "!=" => Ok(Test::NotIn(vec![self.value(key)?])),
            ">" | "<" => {
                let value = self.value(key)?;
                let number = value.parse().map_err(|_| {
                    let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
                    field::Error::invalid("values[0]", &value, rule).to_string()
                })?;
                Ok(if operator == ">" { Test::Greater(number) } else { Test::Less(number) })
            }
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// One value, which may be empty.
    fn value(&mut self, key: &str) -> Result<String, String> {
        let value = match self.peek() {
            "" | "," => String::new(),
            word if is_word(word) => self.next(),
            other => return Err(format!("found '{other}', expected: identifier")),
        };
        check(&value, key, 0)?;
        Ok(value)
    }

    /// Values in parentheses.
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
                    let expected = match (values.len(), values.last().is_some_and(String::is_empty)) {
                        (1, true) => "',', ')' or identifier",
                        (_, true) => "',', or identifier",
                        (_, false) => "',' or ')'",
                    };
                    return Err(format!("found '{other}', expected: {expected}"));
                }
            }
        }
        for (at, value) in values.iter().enumerate() {
            check(value, key, at)?;
        }
        Ok(values)
    }
}

fn check(value: &str, key: &str, at: usize) -> Result<(), String> {
    let rules = label_value_errors(value);
    if rules.is_empty() {
        return Ok(());
    }
    Err(field::Error::invalid(format!("values[{at}][{key}]"), value, rules.join("; ")).to_string())
}

/// Anything that is no sign of the grammar.
fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(|letter| SIGNS.contains(letter))
}

const SIGNS: &str = "=!(),<>";

/// Words and signs; `==` and `!=` are one sign.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if ["==", "!="].iter().any(|sign| rest.starts_with(sign)) {
            2
        } else if SIGNS.contains(first) {
            1
        } else {
            rest.find(|letter: char| letter.is_whitespace() || SIGNS.contains(letter)).unwrap_or(rest.len())
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
        let labels = [("a", "1"), ("b", "x"), ("e", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Selector::parse(text).unwrap().selects(&labels.into())
    }

    #[test]
    fn every_demand_must_hold() {
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
    fn faults_are_told() {
        let told = [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
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
        for (text, fault) in told {
            assert_eq!(Selector::parse(text).unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn all_rules_that_a_key_breaks_are_told() {
        let fault = Selector::parse("a/").unwrap_err();
        let start =
            "unable to parse requirement: <nil>: Invalid value: \"a/\": name part must be non-empty; name part must";
        assert!(fault.starts_with(start), "{fault}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ab=!(),<> in]{0,20}|.*") {
            let _ = Selector::parse(&text);
        }
    }
}
