//! Placeholders for values that differ between runs, so that a response is comparable with a
//! recorded one. Each rule replaces only such values.

use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use serde_json::Value;

use super::case::Step;

/// Patterns of values that differ between runs, with their placeholders.
const PLACES: [(&str, &str); 9] = [
    (
        r"\b(?:Less than a second|1 second|\d+ seconds|About a minute|\d+ minutes|About an hour|\d+ hours) ago\b",
        "<age>",
    ),
    (r"(Too large resource version: \d+, current: )\d+", "${1}<rv>"),
    (r"(too old resource version: \d+ \()\d+", "${1}<rv>"),
    (r"(in record \()\d+(\))", "${1}<rv>${2}"),
    (r#"(resourceVersion[\\"]*: ?[\\"]*)[1-9]\d*"#, "${1}<rv>"),
    (r#"(updated the resource version to |was updated from "\d+" to ")\d+"#, "${1}<rv>"),
    (r#"("?continue"?: ?"?)[A-Za-z0-9_-]{20,}"#, "${1}<token>"),
    (r"\b[0-9A-F]{128}\b", "<hash>"),
    (r#"(in scheme \\?")[^"\\]*"#, "${1}<scheme>"),
];
/// Minimum length of a run of letters x that is written as its length.
const MANY: usize = 1000;
/// Maximum distance from now of a timestamp that this run created; others come from requests.
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// Rules for all responses, compiled once.
pub(crate) struct Rules {
    places: Vec<(Regex, String)>,
    letters: Regex,
    uid: Regex,
    time: Regex,
}

impl Rules {
    /// Compiles the rules.
    pub(crate) fn new() -> Self {
        let pattern = |text| Regex::new(text).expect("the rules are valid regular expressions");
        Self {
            places: PLACES.into_iter().map(|(from, to)| (pattern(from), to.to_owned())).collect(),
            letters: pattern("x+"),
            uid: pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
            time: pattern(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"),
        }
    }
}

/// Rules for the responses of one step.
pub(crate) struct Scrubber<'a> {
    rules: &'a Rules,
    of_step: Vec<(Regex, String)>,
    back: &'a [(String, String)],
    keep: &'a [String],
    now: Timestamp,
}

impl<'a> Scrubber<'a> {
    /// `back` has values with their placeholders, which are replaced first.
    pub(crate) fn new(
        rules: &'a Rules,
        step: &'a Step,
        back: &'a [(String, String)],
        now: Timestamp,
    ) -> Result<Self, regex::Error> {
        let group = Regex::new(r"\\(\d)").expect("the pattern is valid");
        // The recordings write a group of the expression as \1.
        let put = |text: &str| group.replace_all(&text.replace('$', "$$"), "$${${1}}").into_owned();
        let of_step = step
            .scrub
            .iter()
            .map(|(from, to)| Ok((Regex::new(from)?, put(to))))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules, of_step, back, keep: &step.keep, now })
    }

    /// A value with all its strings scrubbed and its keys sorted.
    pub(crate) fn value(&self, value: &Value) -> Value {
        self.value_of("", value)
    }

    fn value_of(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let kept =
                    |key: &str| key != "managedFields" || self.keep.iter().any(|kept| kept == key);
                let mut pairs: Vec<_> = object.iter().filter(|(key, _)| kept(key)).collect();
                pairs.sort_by_key(|(key, _)| *key);
                pairs
                    .into_iter()
                    .map(|(key, value)| (self.text(key), self.value_of(key, value)))
                    .collect()
            }
            Value::Array(list) => list.iter().map(|each| self.value(each)).collect(),
            Value::String(text) if !text.is_empty() => match key {
                "resourceVersion" if text != "0" => "<rv>".into(),
                "continue" => "<token>".into(),
                "creationTimestamp" | "deletionTimestamp" => "<time>".into(),
                _ => self.text(text).into(),
            },
            other => other.clone(),
        }
    }

    /// A text with the values that differ between runs replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text =
            self.back.iter().fold(text.to_owned(), |text, (value, name)| text.replace(value, name));
        // First, because it shortens texts on which the other rules would take seconds and block
        // the test.
        replace(&mut text, &self.rules.letters, |found| match found[0].len() {
            many @ MANY.. => format!("${{x*{many}}}"),
            _ => found[0].to_owned(),
        });
        for (from, to) in self.of_step.iter().chain(&self.rules.places) {
            replace(&mut text, from, |found| {
                let mut put = String::new();
                found.expand(to, &mut put);
                put
            });
        }
        replace(&mut text, &self.rules.uid, |_| "<uid>".to_owned());
        replace(&mut text, &self.rules.time, |found| self.time(&found[0]));
        text
    }

    fn time(&self, stamp: &str) -> String {
        let recent = |when: Timestamp| when.duration_since(self.now).abs() < RECENT;
        if stamp.parse().is_ok_and(recent) { "<time>".to_owned() } else { stamp.to_owned() }
    }
}

/// Replaces every match; most texts have none and are not copied.
fn replace(text: &mut String, pattern: &Regex, put: impl FnMut(&Captures<'_>) -> String) {
    if pattern.is_match(text) {
        *text = pattern.replace_all(text, put).into_owned();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-05-04T03:02:01Z";

    fn step(options: Value) -> Step {
        let mut step = json!({"request": {"method": "GET", "path": "/"}});
        step.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        serde_json::from_value(step).unwrap()
    }

    fn scrubbed(options: Value, back: &[(String, String)], value: Value) -> Value {
        let (rules, step) = (Rules::new(), step(options));
        Scrubber::new(&rules, &step, back, NOW.parse().unwrap()).unwrap().value(&value)
    }

    fn text(text: &str) -> String {
        scrubbed(json!({}), &[], text.into()).as_str().unwrap().to_owned()
    }

    #[test]
    fn what_the_run_decides_becomes_a_placeholder() {
        for (given, wanted) in [
            ("a 0a1b2c3d-0000-4000-8000-0123456789ab b", "a <uid> b"),
            ("made 5 seconds ago, seen About a minute ago", "made <age>, seen <age>"),
            (
                "Too large resource version: 99, current: 12",
                "Too large resource version: 99, current: <rv>",
            ),
            ("too old resource version: 1 (12)", "too old resource version: 1 (<rv>)"),
            ("precondition in record (12) failed", "precondition in record (<rv>) failed"),
            (r#"{\"resourceVersion\":\"12\"}"#, r#"{\"resourceVersion\":\"<rv>\"}"#),
            (r#"it was updated from "1" to "12" now"#, r#"it was updated from "1" to "<rv>" now"#),
            ("continue: abcdefghijklmnopqrstuvw", "continue: <token>"),
            (
                r#"not registered in scheme "pkg/a/b.go:10""#,
                r#"not registered in scheme "<scheme>""#,
            ),
            (&"AB".repeat(64), "<hash>"),
            (&format!("a{}b", "x".repeat(1000)), "a${x*1000}b"),
        ] {
            assert_eq!(text(given), wanted);
        }
    }

    #[test]
    fn what_was_asked_for_stays() {
        for given in [
            "",
            "12",
            "0A1B2C3D-0000-4000-8000-0123456789AB",
            &"x".repeat(999),
            "continue: short",
            "5 secondsago",
        ] {
            assert_eq!(text(given), given);
        }
    }

    #[test]
    fn only_timestamps_of_the_last_day_are_of_this_run() {
        for recent in
            ["2026-05-04T03:02:00Z", "2026-05-03T03:02:02.123456Z", "2026-05-05T03:02:00Z"]
        {
            assert_eq!(text(recent), "<time>");
        }
        for other in ["2026-05-03T03:02:01Z", "2021-02-03T04:05:06Z", "2026-13-04T03:02:01Z"] {
            assert_eq!(text(other), other);
        }
    }

    #[test]
    fn some_keys_are_placeholders_whatever_they_hold() {
        let given = json!({"resourceVersion": "12", "creationTimestamp": "2001-01-01T00:00:00Z", "continue": "abc"});
        let wanted = json!({"resourceVersion": "<rv>", "creationTimestamp": "<time>", "continue": "<token>"});
        assert_eq!(scrubbed(json!({}), &[], given), wanted);
        let unset = json!({"resourceVersion": "", "creationTimestamp": null, "continue": ""});
        assert_eq!(scrubbed(json!({}), &[], unset.clone()), unset);
        let zero = json!({"resourceVersion": "0"});
        assert_eq!(scrubbed(json!({}), &[], zero.clone()), zero);
    }

    #[test]
    fn managed_fields_are_left_out_unless_the_step_keeps_them() {
        let given = json!({"metadata": {"managedFields": [{"time": NOW}]}});
        assert_eq!(scrubbed(json!({}), &[], given.clone()), json!({"metadata": {}}));
        let kept = json!({"metadata": {"managedFields": [{"time": "<time>"}]}});
        assert_eq!(scrubbed(json!({"keep": ["managedFields"]}), &[], given), kept);
    }

    #[test]
    fn step_rules_run_between_captures_and_general_rules() {
        let back = [("12".to_owned(), "${RV}".to_owned())];
        let options =
            json!({"scrub": [["(gen-)[a-z]{5}\\b", "\\1<suffix>"], ["\\$\\{RV\\}", "$RV"]]});
        assert_eq!(scrubbed(options, &back, json!("gen-abcde 12")), json!("gen-<suffix> $RV"));
    }
}
