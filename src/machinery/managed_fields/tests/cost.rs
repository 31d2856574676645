//! Limits on the work of managed fields.

use super::*;

/// Entries of `managedFields` for a number of managers, each of which owns one label.
fn entries(operation: &str, count: usize) -> Vec<Value> {
    let entry = |at: usize| {
        json!({"manager": format!("m{at}"), "operation": operation, "apiVersion": GROUP_VERSION, "fieldsType": "FieldsV1",
            "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:metadata": {"f:labels": {format!("f:k{at}"): {}}}}})
    };
    (0..count).map(entry).collect()
}

fn labels(count: usize) -> Map<String, Value> {
    (0..count).map(|at| (format!("k{at}"), json!("v"))).collect()
}

/// Fails after minutes if the cost is the product of owners and fields instead of the sum of their
/// fields.
#[test]
fn many_owners_of_many_fields_take_bounded_time() {
    const COUNT: usize = 20_000;
    let start = std::time::Instant::now();
    for operation in ["Update", "Apply"] {
        let mut object = ManagedStream::new();
        let metadata = json!({"labels": labels(COUNT), "managedFields": entries(operation, COUNT)});
        object.put("writer", "", json!({ "metadata": metadata }));
        object.edit("writer", "", |stream| stream["metadata"]["labels"] = json!(labels(COUNT / 2)));
        object
            .try_apply("m1", json!({"metadata": {"labels": labels(COUNT)}}), ConflictPolicy::Force)
            .unwrap();
        object
            .try_apply("m1", json!({"metadata": {"labels": labels(1)}}), ConflictPolicy::Force)
            .unwrap();
        // Other managers keep their labels.
        assert_eq!(
            object.live.unwrap()["metadata"]["labels"].as_object().unwrap().len(),
            COUNT / 2
        );
    }
    assert!(start.elapsed().as_secs() < 40, "took {:?}", start.elapsed());
}

#[test]
fn items_with_equal_keys_are_compared_once() {
    let start = std::time::Instant::now();
    let finalizers = |last: &str| {
        let mut all = vec!["x/a"; 20_000];
        all.push(last);
        json!({"metadata": {"finalizers": all, "labels": {"a": last}}, "spec": {}})
    };
    let schema = Schema::of::<ImageStream>();
    let between = |old: &str, new: &str| {
        let (mut old, mut new) = (finalizers(old), finalizers(new));
        old["metadata"]["finalizers"].as_array_mut().unwrap().insert(0, json!("x/b"));
        new["metadata"]["finalizers"].as_array_mut().unwrap().insert(0, json!("x/c"));
        compare(&schema.root, &old, &new).unwrap()
    };
    assert_eq!(between("x/d", "x/e").changed.paths().len(), 3);
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
}
