//! Comparison of a normalised response with the recording, under the options of the step.

use std::cmp::Ordering;

use serde_json::Value;

use super::{case::Step, json};

/// A copy of a response without the parts that the step ignores.
pub(crate) fn without(answer: &Value, step: &Step) -> Value {
    let mut answer = answer.clone();
    for (place, (path, wanted)) in &step.filter {
        if let Some(Value::Array(list)) = json::lookup_mut(&mut answer, place)
            && list.iter().all(|each| json::lookup(each, path).is_some())
        {
            list.retain(|each| json::lookup(each, path) == Some(wanted));
        }
    }
    for place in &step.unordered {
        if let Some(Value::Array(list)) = json::lookup_mut(&mut answer, place) {
            list.sort_by(by_text);
        }
    }
    for place in &step.skip {
        json::remove(&mut answer, place);
    }
    answer
}

/// All differences, one line each, with their paths.
pub(crate) fn differences(expected: &Value, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, seen, "", &mut found);
    found
}

fn compare(expected: &Value, seen: &Value, place: &str, found: &mut Vec<String>) {
    match (expected, seen) {
        (Value::Object(expected), Value::Object(seen)) => {
            let mut keys: Vec<&String> = expected.keys().chain(seen.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let place = format!("{place}.{key}");
                match (expected.get(key), seen.get(key)) {
                    (Some(expected), Some(seen)) => compare(expected, seen, &place, found),
                    (Some(value), None) => {
                        found.push(format!("{place}: missing, expected {}", short(value, 300)))
                    }
                    (None, Some(value)) => {
                        found.push(format!("{place}: not expected, got {}", short(value, 300)))
                    }
                    (None, None) => {}
                }
            }
        }
        (Value::Array(expected), Value::Array(seen)) => {
            if expected.len() != seen.len() {
                let all = short(&Value::Array(seen.clone()), 300);
                found.push(format!(
                    "{place}: expected {} items, got {}: {all}",
                    expected.len(),
                    seen.len()
                ));
            }
            for (index, (expected, seen)) in expected.iter().zip(seen).enumerate() {
                compare(expected, seen, &format!("{place}[{index}]"), found);
            }
        }
        _ if expected != seen => {
            let place = if place.is_empty() { "." } else { place };
            found.push(format!(
                "{place}: expected {}, got {}",
                short(expected, 600),
                short(seen, 600)
            ));
        }
        _ => {}
    }
}

/// Sort key for unordered lists: the JSON text with sorted keys.
fn by_text(a: &Value, b: &Value) -> Ordering {
    let text = |value: &Value| {
        let mut value = value.clone();
        value.sort_all_objects();
        json::spaced(&value)
    };
    text(a).cmp(&text(b))
}

fn short(value: &Value, letters: usize) -> String {
    json::spaced(value).chars().take(letters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(options: Value, answer: Value) -> Value {
        let mut step = json!({"request": {"method": "GET", "path": "/"}});
        step.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        without(&answer, &serde_json::from_value(step).unwrap())
    }

    #[test]
    fn equal_answers_do_not_differ_whatever_the_order_of_their_keys() {
        let (one, other) = (
            json!({"a": [1, {"b": 2, "c": 3}], "d": ""}),
            json!({"d": "", "a": [1, {"c": 3, "b": 2}]}),
        );
        assert_eq!(differences(&one, &other), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told_with_its_place() {
        let expected = json!({"a": {"b": [1, 2]}, "gone": 1, "n": 1, "t": true});
        let seen = json!({"a": {"b": [3]}, "new": {}, "n": 1.0, "t": 1});
        let wanted = [
            ".a.b: expected 2 items, got 1: [3]",
            ".a.b[0]: expected 1, got 3",
            ".gone: missing, expected 1",
            ".n: expected 1, got 1.0",
            ".new: not expected, got {}",
            ".t: expected true, got 1",
        ];
        assert_eq!(differences(&expected, &seen), wanted);
        assert_eq!(differences(&json!([]), &json!({})), [".: expected [], got {}"]);
    }

    #[test]
    fn an_empty_value_is_not_a_missing_one() {
        assert_eq!(differences(&json!({"a": null}), &json!({})), [".a: missing, expected null"]);
    }

    #[test]
    fn skipped_places_are_not_compared() {
        let answer = json!({"status": 200, "headers": {"vary": "a"}, "body": {"metadata": {"uid": "u", "name": "n"}}});
        let options = json!({"skip": ["headers.vary", "body.metadata.uid", "text", "body.spec.x"]});
        let wanted = json!({"status": 200, "headers": {}, "body": {"metadata": {"name": "n"}}});
        assert_eq!(compared(options, answer), wanted);
    }

    #[test]
    fn a_list_without_an_order_is_sorted() {
        let options = json!({"unordered": ["body.items"]});
        let one = json!({"body": {"items": [{"b": 1, "a": 2}, {"a": 1}]}});
        let other = json!({"body": {"items": [{"a": 1}, {"a": 2, "b": 1}]}});
        assert_eq!(compared(options.clone(), one), compared(options, other));
    }

    #[test]
    fn a_filtered_list_has_only_the_elements_that_count() {
        let options = json!({"filter": {"items": ["metadata.name", "x"]}});
        let answer = json!({"items": [{"metadata": {"name": "x"}}, {"metadata": {"name": "y"}}]});
        assert_eq!(
            compared(options.clone(), answer),
            json!({"items": [{"metadata": {"name": "x"}}]})
        );
        let odd = json!({"items": [{"metadata": {"name": "x"}}, {}]});
        assert_eq!(compared(options, odd.clone()), odd);
    }
}
