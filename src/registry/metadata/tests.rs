//! Metadata of new and updated objects.

use super::*;
use crate::meta::Time;

#[test]
fn generated_name_is_base_and_five_characters() {
    assert_eq!(generate_name(&"é".repeat(40)).len(), 58 + 5);
}

fn owner(api_version: &str, kind: &str, controller: Option<bool>) -> OwnerReference {
    let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
    OwnerReference {
        api_version,
        kind,
        name: "n".into(),
        uid: "u".into(),
        controller,
        ..OwnerReference::default()
    }
}

#[test]
fn owner_references_are_validated() {
    let joined = |owners: &[OwnerReference]| field::join(&validate_owner_references(owners));
    assert!(
        validate_owner_references(&[owner("v1", "Pod", Some(true)), owner("g/v1", "Pod", None)])
            .is_empty()
    );
    for api_version in ["g/", "a/b/c", ""] {
        let error = format!(
            "metadata.ownerReferences.apiVersion: Invalid value: \"{api_version}\": version must not be empty"
        );
        assert_eq!(joined(&[owner(api_version, "Pod", None)]), error);
    }
    let event = r#"{"apiVersion":"v1","kind":"Event","name":"n","uid":"u"}"#;
    let error = format!(
        "metadata.ownerReferences: Invalid value: {event}: /v1, Kind=Event is disallowed from being an owner"
    );
    assert_eq!(joined(&[owner("v1", "Event", None)]), error);
    let both = joined(&[owner("v1", "Pod", Some(true)), owner("v1", "Job", Some(true))]);
    let end = "Only one reference can have Controller set to true. Found \"true\" in references for Pod/n and Job/n";
    assert!(both.ends_with(end), "{both}");
}

#[test]
fn gc_finalizers_conflict_and_manager_names_are_limited() {
    let finalizers = ["orphan", "foregroundDeletion"].map(str::to_owned);
    assert!(field::join(&validate_finalizers(&finalizers)).ends_with(
        "[\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set"
    ));
    let writer = ManagedFieldsEntry {
        manager: "m".repeat(129),
        subresource: "s".repeat(257),
        ..ManagedFieldsEntry::default()
    };
    assert_eq!(
        field::join(&validate_managed_fields(&[writer])),
        "[metadata.managedFields[0].manager: Too long: may not be more than 128 bytes, \
         metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes]"
    );
}

#[test]
fn update_cannot_begin_or_undo_a_deletion() {
    let now = Time::from_unix_seconds(0);
    let deleted = ObjectMeta {
        deletion_timestamp: Some(now),
        deletion_grace_period_seconds: Some(0),
        ..ObjectMeta::default()
    };
    let updated = |old: &ObjectMeta, new: &ObjectMeta| {
        let mut new = new.clone();
        prepare_update(old, &mut new);
        (field::join(&update_errors(old, &new)), new)
    };
    assert_eq!(updated(&deleted, &ObjectMeta::default()), ("[]".into(), deleted.clone()));
    let time =
        "metadata.deletionTimestamp: Invalid value: \"1970-01-01T00:00:00Z\": field is immutable";
    let grace = "metadata.deletionGracePeriodSeconds: Invalid value: 0: field is immutable";
    assert_eq!(updated(&ObjectMeta::default(), &deleted).0, format!("[{time}, {grace}]"));
}

#[test]
fn metadata_errors_come_in_field_order() {
    let mut meta = ObjectMeta { name: "x".into(), ..ObjectMeta::default() };
    meta.generation = -1;
    meta.labels.insert("k".into(), "bad value!".into());
    meta.annotations.insert("Up/k".into(), String::new());
    meta.annotations.insert("a b".into(), String::new());
    meta.finalizers.push("nofqdn".into());
    meta.owner_references.push(OwnerReference { kind: "K".into(), ..OwnerReference::default() });
    let fields: Vec<_> = validate(&meta).into_iter().map(|error| error.field).collect();
    let owner =
        ["apiVersion", "name", "uid"].map(|name| format!("metadata.ownerReferences.{name}"));
    let first = ["generation", "labels", "annotations"].map(|name| format!("metadata.{name}"));
    assert_eq!(fields, [&first[..], &owner[..], &["metadata.finalizers[0]".into()]].concat());
}
