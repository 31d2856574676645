//! Preparation and validation of object metadata.

mod limits;

use std::collections::BTreeSet;

use crate::machinery::json;
use crate::meta::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference, Status, Time, excerpt, field,
    label_value_errors, path_segment_errors, qualified_name_errors,
};
use crate::registry::actor::MAX_FIELD_MANAGER_BYTES;
use crate::registry::object_ref::ObjectRef;
use crate::registry::strategy::{DuplicateErrors, ValidationErrors};

/// The maximum size of all annotations of an object, in bytes: `TotalAnnotationSizeLimitB` in
/// k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;
/// The maximum length of a name, in bytes. A name is part of a store key.
const MAX_NAME_BYTES: usize = 512;
/// The maximum length of the base of a generated name, in bytes: `MaxGeneratedNameLength` in
/// k8s.io/apiserver/pkg/storage/names/generate.go.
const MAX_GENERATED_BASE_BYTES: usize = 58;
/// The error for a change of a read-only field.
const IMMUTABLE: &str = "field is immutable";
/// The alphabet of generated names: `alphanums` in k8s.io/apimachinery/pkg/util/rand/rand.go.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Sets the system fields, the namespace and, if requested, a generated name of a new object; as
/// `BeforeCreate` in k8s.io/apiserver/pkg/registry/rest/create.go.
///
/// A resourceVersion of 0, or one that is no number, is dropped, as `Create` in
/// k8s.io/apiserver/pkg/storage/etcd3/store.go does.
///
/// # Errors
/// 400 if the object has the resourceVersion of a stored object.
pub fn prepare_create(namespace: &str, now: Time, meta: &mut ObjectMeta) -> Result<(), Status> {
    let given = std::mem::take(&mut meta.resource_version);
    let is_number = given.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && given.parse::<u64>().is_ok_and(|revision| revision > 0) {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if meta.name.is_empty() && !meta.generate_name.is_empty() {
        meta.name = generate_name(&meta.generate_name);
    }
    prepare_new(namespace, now, meta);
    Ok(())
}

/// Sets the system fields of a new virtual object. Its name refers to the stored object that holds
/// it. A resourceVersion is ignored, because virtual objects have no version of their own.
///
/// # Errors
/// 400 if the name should be generated.
pub fn prepare_virtual(namespace: &str, now: Time, meta: &mut ObjectMeta) -> Result<(), Status> {
    if meta.name.is_empty() && !meta.generate_name.is_empty() {
        let text = "metadata.name was not generated: it says what the object belongs to, so it must be given";
        return Err(Status::bad_request(text));
    }
    prepare_new(namespace, now, meta);
    Ok(())
}

fn prepare_new(namespace: &str, now: Time, meta: &mut ObjectMeta) {
    meta.namespace = namespace.into();
    meta.uid = uuid::Uuid::new_v4().to_string();
    meta.creation_timestamp = Some(now);
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link.clear();
}

/// Sets the system fields of a new object to those of `desired`, after plugins may have changed it.
///
/// # Errors
/// 400 for another name or namespace.
pub fn keep_identity(desired: &ObjectMeta, meta: &mut ObjectMeta) -> Result<(), Status> {
    let ObjectMeta { name, namespace, uid, creation_timestamp, .. } = desired;
    let namespace = Some(namespace.clone()).filter(|namespace| !namespace.is_empty());
    check_names(&ObjectRef { namespace, name: Some(name.clone()) }, meta)?;
    meta.namespace.clone_from(&desired.namespace);
    meta.uid.clone_from(uid);
    meta.creation_timestamp = *creation_timestamp;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.resource_version.clear();
    meta.self_link.clear();
    Ok(())
}

/// Resets the fields that clients cannot change, as `BeforeUpdate` in
/// k8s.io/apiserver/pkg/registry/rest/update.go.
pub fn prepare_update(old: &ObjectMeta, new: &mut ObjectMeta) {
    new.namespace.clone_from(&old.namespace);
    if new.uid.is_empty() {
        new.uid.clone_from(&old.uid);
    }
    new.resource_version.clone_from(&old.resource_version);
    new.generation = old.generation;
    new.creation_timestamp = old.creation_timestamp;
    // An update cannot undo a deletion. One that begins a deletion fails validation.
    new.deletion_timestamp = old.deletion_timestamp.or(new.deletion_timestamp);
    new.deletion_grace_period_seconds =
        new.deletion_grace_period_seconds.or(old.deletion_grace_period_seconds);
    new.self_link.clear();
}

/// Rejects an object whose namespace differs from the one in the path. Cluster-scoped objects may
/// have any. As `EnsureObjectNamespaceMatchesRequestNamespace` in
/// k8s.io/apiserver/pkg/registry/rest/meta.go.
///
/// # Errors
/// 400 for another namespace.
pub fn check_namespace(at: &ObjectRef, meta: &ObjectMeta) -> Result<(), Status> {
    match at.namespace.as_deref() {
        Some(namespace) if !meta.namespace.is_empty() && meta.namespace != namespace => {
            let text = "the namespace of the provided object does not match the namespace sent on the request";
            Err(Status::bad_request(text))
        }
        _ => Ok(()),
    }
}

/// Rejects an object whose name or namespace differs from the path, as `checkName` in
/// k8s.io/apiserver/pkg/endpoints/handlers/rest.go.
///
/// # Errors
/// 400 with both names.
pub fn check_names(at: &ObjectRef, meta: &ObjectMeta) -> Result<(), Status> {
    check_namespace(at, meta)?;
    let text = match (meta.name.as_str(), at.name()) {
        ("", requested) => {
            let requested = excerpt::of(requested);
            format!(
                "the name of the object ({requested} based on URL) was undeterminable: name must be provided"
            )
        }
        (name, requested) if name != requested => {
            let (name, requested) = (excerpt::of(name), excerpt::of(requested));
            format!(
                "the name of the object ({name}) does not match the name on the URL ({requested})"
            )
        }
        _ => return Ok(()),
    };
    Err(Status::bad_request(text))
}

fn generate_name(base: &str) -> String {
    let mut end = base.len().min(MAX_GENERATED_BASE_BYTES);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let random = uuid::Uuid::new_v4();
    let letters = random.as_bytes()[..5]
        .iter()
        .map(|byte| char::from(NAME_ALPHABET[usize::from(*byte) % NAME_ALPHABET.len()]));
    base[..end].chars().chain(letters).collect()
}

/// Validates the metadata of an object whose name is a path segment.
pub fn validate(meta: &ObjectMeta) -> field::Errors {
    validate_with(meta, path_segment_errors)
}

/// Validates metadata with the naming rules of a type, as `ValidateObjectMetaAccessor` in
/// k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
pub fn validate_with(
    meta: &ObjectMeta,
    name_errors: impl Fn(&str) -> Vec<&'static str>,
) -> field::Errors {
    let mut errors = limits::errors(None, meta);
    errors.append(errors_besides_limits(meta, name_errors));
    errors
}

fn errors_besides_limits(
    meta: &ObjectMeta,
    name_errors: impl Fn(&str) -> Vec<&'static str>,
) -> field::Errors {
    let mut errors = validate_names(meta, name_errors);
    errors.append(validate_common(meta));
    errors
}

/// Validates the metadata of a cluster-scoped object inside of another object. `old` returns its
/// current metadata, if any.
pub fn validate_nested<'a>(
    meta: &ObjectMeta,
    old: impl FnOnce() -> Option<&'a ObjectMeta>,
) -> field::Errors {
    let mut errors = limits::errors(None, meta);
    if !errors.is_empty() {
        errors = limits::errors(old(), meta);
    }
    errors.append(validate_names(meta, path_segment_errors));
    if !meta.namespace.is_empty() {
        errors.push_with(|| {
            field::Error::forbidden("metadata.namespace", "not allowed on this type")
        });
    }
    errors.append(validate_common(meta));
    errors
}

fn validate_names(
    meta: &ObjectMeta,
    name_errors: impl Fn(&str) -> Vec<&'static str>,
) -> field::Errors {
    let mut errors = field::Errors::default();
    if !meta.generate_name.is_empty() {
        let rules = name_errors(&meta.generate_name).into_iter();
        errors.extend(
            rules.map(|rule| {
                field::Error::invalid("metadata.generateName", &meta.generate_name, rule)
            }),
        );
    }
    if meta.name.is_empty() {
        errors.push_with(|| {
            field::Error::required("metadata.name", "name or generateName is required")
        });
    } else {
        let rules = name_errors(&meta.name).into_iter();
        errors.extend(rules.map(|rule| field::Error::invalid("metadata.name", &meta.name, rule)));
        if meta.name.len() > MAX_NAME_BYTES {
            errors.push_with(|| field::Error::too_long("metadata.name", MAX_NAME_BYTES));
        }
        if meta.name.contains('\0') {
            errors.push_with(|| {
                field::Error::invalid("metadata.name", &meta.name, "may not contain NUL")
            });
        }
    }
    errors
}

/// Validates the fields that have the same rules in all types.
fn validate_common(meta: &ObjectMeta) -> field::Errors {
    let mut errors = field::Errors::default();
    if meta.generation < 0 {
        let rule = "must be greater than or equal to 0";
        errors.push_with(|| {
            field::Error::invalid_value("metadata.generation", meta.generation, rule)
        });
    }
    errors.append(validate_labels(meta));
    errors.append(validate_annotations(meta));
    errors.append(validate_owner_references(&meta.owner_references));
    errors.append(validate_finalizers(&meta.finalizers));
    errors.append(validate_managed_fields(&meta.managed_fields));
    errors
}

/// Validates the update of metadata after [`prepare_update`], as `ValidateObjectMetaAccessorUpdate`
/// in k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
fn update_errors(old: &ObjectMeta, new: &ObjectMeta) -> field::Errors {
    let mut errors = field::Errors::default();
    if old.deletion_timestamp.is_some() {
        errors.extend(new_finalizer_error(&old.finalizers, &new.finalizers));
    }
    if new.uid != old.uid {
        errors.push_with(|| field::Error::invalid("metadata.uid", &new.uid, IMMUTABLE));
    }
    if let Some(time) =
        new.deletion_timestamp.filter(|_| new.deletion_timestamp != old.deletion_timestamp)
    {
        errors.push_with(|| {
            field::Error::invalid("metadata.deletionTimestamp", &time.to_string(), IMMUTABLE)
        });
    }
    let grace = new.deletion_grace_period_seconds;
    if let Some(grace) = grace.filter(|_| grace != old.deletion_grace_period_seconds) {
        errors.push_with(|| {
            field::Error::invalid_value("metadata.deletionGracePeriodSeconds", grace, IMMUTABLE)
        });
    }
    errors.append(validate_labels(new));
    errors.append(validate_annotations(new));
    errors.append(validate_owner_references(&new.owner_references));
    errors.append(validate_managed_fields(&new.managed_fields));
    errors
}

/// All errors of an update, in the order of kube-apiserver.
pub fn validate_update(
    old: &ObjectMeta,
    new: &ObjectMeta,
    duplicates: DuplicateErrors,
    others: ValidationErrors,
) -> field::Errors {
    let (all, changes) = (errors_besides_limits(new, path_segment_errors), update_errors(old, new));
    let again = match duplicates {
        DuplicateErrors::All => all.clone(),
        DuplicateErrors::Changes => field::Errors::default(),
    };
    let mut errors = limits::errors(Some(old), new);
    [all, changes.clone(), others.before_metadata, changes, again, others.after_metadata]
        .into_iter()
        .for_each(|part| errors.append(part));
    errors
}

/// Rejects new finalizers of an object that is being deleted, as `ValidateNoNewFinalizers` in
/// k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
fn new_finalizer_error(old: &[String], new: &[String]) -> Option<field::Error> {
    let old: BTreeSet<&String> = old.iter().collect();
    let added: BTreeSet<&String> = new.iter().filter(|each| !old.contains(each)).collect();
    if added.is_empty() {
        return None;
    }
    let added: Vec<String> =
        added.into_iter().take(field::MAX_ERRORS).map(|each| field::quote(each)).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    Some(field::Error::forbidden("metadata.finalizers", why))
}

fn validate_labels(meta: &ObjectMeta) -> field::Errors {
    const PATH: &str = "metadata.labels";
    let errors = meta.labels.iter().flat_map(|(key, value)| {
        let of_key = qualified_name_errors(key).into_iter().map(|rule| invalid(PATH, key, rule));
        of_key.chain(label_value_errors(value).into_iter().map(|rule| invalid(PATH, value, rule)))
    });
    errors.collect()
}

fn invalid(path: &str, value: &str, rule: String) -> field::Error {
    field::Error::invalid(path, value, rule)
}

fn validate_annotations(meta: &ObjectMeta) -> field::Errors {
    let keys = meta.annotations.keys();
    let rules = keys.flat_map(|key| {
        qualified_name_errors(&key.to_lowercase()).into_iter().map(move |rule| (key, rule))
    });
    let mut errors: field::Errors =
        rules.map(|(key, rule)| invalid("metadata.annotations", key, rule)).collect();
    let bytes: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_ANNOTATION_BYTES {
        errors.push_with(|| field::Error::too_long("metadata.annotations", MAX_ANNOTATION_BYTES));
    }
    errors
}

const OWNERS: &str = "metadata.ownerReferences";

fn validate_owner_references(owners: &[OwnerReference]) -> field::Errors {
    let mut errors = field::Errors::default();
    let mut controller: Option<&OwnerReference> = None;
    for owner in owners {
        errors.append(validate_owner_reference(owner));
        match controller {
            _ if owner.controller != Some(true) => {}
            None => controller = Some(owner),
            Some(OwnerReference { kind, name, .. }) => errors.push_with(|| {
                let why = format_args!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {kind}/{name} and \
                     {}/{}",
                    owner.kind, owner.name
                );
                field::Error::invalid_value(OWNERS, json::excerpt(owners), why)
            }),
        }
    }
    errors
}

fn validate_owner_reference(owner: &OwnerReference) -> field::Errors {
    // An apiVersion that `ParseGroupVersion` rejects counts as empty.
    let (group, version) = match owner.api_version.split('/').collect::<Vec<_>>()[..] {
        [version] => ("", version),
        [group, version] => (group, version),
        _ => ("", ""),
    };
    let fields = [
        ("apiVersion", &owner.api_version, version, "version must not be empty"),
        ("kind", &owner.kind, &*owner.kind, "must not be empty"),
        ("name", &owner.name, &*owner.name, "must not be empty"),
        ("uid", &owner.uid, &*owner.uid, "must not be empty"),
    ];
    let empty = fields.into_iter().filter(|(.., needed, _)| needed.is_empty());
    let invalid = |name: &str, value: &str, rule| {
        field::Error::invalid(format_args!("{OWNERS}.{name}"), value, rule)
    };
    let mut errors: field::Errors =
        empty.map(|(name, value, _, rule)| invalid(name, value, rule)).collect();
    // `BannedOwners` in k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
    if (group, version, &*owner.kind) == ("", "v1", "Event") {
        let why = "/v1, Kind=Event is disallowed from being an owner";
        errors.push_with(|| field::Error::invalid_value(OWNERS, json::excerpt(owner), why));
    }
    errors
}

/// Limits the names in managed fields, as `ValidateManagedFields` in
/// k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go.
fn validate_managed_fields(entries: &[ManagedFieldsEntry]) -> field::Errors {
    const PATH: &str = "metadata.managedFields";
    const MAX_SUBRESOURCE_BYTES: usize = 256;
    let mut errors = field::Errors::default();
    for (at, entry) in entries.iter().enumerate() {
        let too_long =
            |name, most| field::Error::too_long(format_args!("{PATH}[{at}].{name}"), most);
        if entry.manager.len() > MAX_FIELD_MANAGER_BYTES {
            errors.push_with(|| too_long("manager", MAX_FIELD_MANAGER_BYTES));
        }
        if entry.subresource.len() > MAX_SUBRESOURCE_BYTES {
            errors.push_with(|| too_long("subresource", MAX_SUBRESOURCE_BYTES));
        }
    }
    errors
}

/// Requires a domain in the names of all but the standard finalizers, as `ValidateFinalizers` in
/// k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
fn validate_finalizers(finalizers: &[String]) -> field::Errors {
    const STANDARD: [&str; 3] = ["kubernetes", "foregroundDeletion", "orphan"];
    let mut errors = field::Errors::default();
    for (at, finalizer) in finalizers.iter().enumerate() {
        let rules = qualified_name_errors(finalizer);
        errors
            .extend(rules.into_iter().map(|rule| invalid("metadata.finalizers", finalizer, rule)));
        if !finalizer.contains('/') && !STANDARD.contains(&finalizer.as_str()) {
            let rule = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push_with(|| {
                field::Error::invalid(format_args!("metadata.finalizers[{at}]"), finalizer, rule)
            });
        }
    }
    if ["foregroundDeletion", "orphan"]
        .iter()
        .all(|each| finalizers.iter().any(|finalizer| finalizer == each))
    {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push_with(|| {
            field::Error::invalid_value("metadata.finalizers", json::excerpt(finalizers), why)
        });
    }
    errors
}

#[cfg(test)]
mod tests;
