//! Edits: what a client wants to have in the place of what is there, as a pure function of that.
//!
//! PUT, all kinds of patches and apply are one thing to everything behind this module. Nothing here reads or writes a store,
//! so an edit can be made again and again while others change the object.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::machinery::field_validation::{self, FieldValidation};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::managed_fields::{self, Manager};
use crate::machinery::patch::Patch;
use crate::machinery::schema::{self, Schema};
use crate::machinery::value::{self, Decoded};
use crate::meta::{Kind, Limited, ManagedFieldsEntry, Status};

/// An edit of an object.
#[derive(Clone, Debug)]
pub struct UpdatedObjectInfo<T> {
    body: UpdateBody<T>,
    validation: FieldValidation,
    conflicts: managed_fields::ConflictPolicy,
    schema: Arc<Schema>,
    api: GroupVersion,
}

#[derive(Clone, Debug)]
enum UpdateBody<T> {
    /// The whole object.
    Object(Decoded<T>),
    /// What is to be different.
    Patch(Patch),
}

/// An object as a client wants it, with what the client should hear about what it sent.
#[derive(Clone, Debug)]
pub struct Desired<T> {
    /// The object.
    pub object: T,
    /// Faults that are no errors.
    pub warnings: Vec<String>,
}

/// An object that is there, and its JSON, which is made when it is first needed.
#[derive(Debug)]
pub struct ExistingObject<'a, T> {
    /// The object.
    pub object: &'a T,
    api: GroupVersion,
    value: OnceCell<Value>,
}

impl<'a, T: Kind> ExistingObject<'a, T> {
    /// An object of this API.
    pub fn new(object: &'a T, api: GroupVersion) -> Self {
        Self { object, api, value: OnceCell::new() }
    }

    /// Its JSON, with `kind` and `apiVersion`.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| value::to_value(self.object, self.api))
    }
}

impl<T: Kind> UpdatedObjectInfo<T> {
    /// The edit that puts a whole object in the place of what is there.
    pub fn from_object(object: Decoded<T>, schema: &Arc<Schema>, api: GroupVersion) -> Self {
        Self {
            body: UpdateBody::Object(object),
            validation: FieldValidation::default(),
            conflicts: managed_fields::ConflictPolicy::Fail,
            schema: schema.clone(),
            api,
        }
    }

    /// The edit that a patch describes.
    pub fn from_patch(
        patch: Patch,
        validation: FieldValidation,
        conflicts: managed_fields::ConflictPolicy,
        schema: &Arc<Schema>,
        api: GroupVersion,
    ) -> Self {
        Self { body: UpdateBody::Patch(patch), validation, conflicts, schema: schema.clone(), api }
    }

    /// The API that the object belongs to.
    pub fn api(&self) -> GroupVersion {
        self.api
    }

    /// The whole object, if that is what the client sent.
    pub fn object(&self) -> Option<&T> {
        match &self.body {
            UpdateBody::Object(whole) => Some(&whole.object),
            UpdateBody::Patch(_) => None,
        }
    }

    /// What the client should hear of the whole object that it sent, whatever becomes of it.
    pub fn warnings(&self) -> &[String] {
        match &self.body {
            UpdateBody::Object(whole) => &whole.warnings,
            UpdateBody::Patch(_) => &[],
        }
    }

    /// Whether the edit makes an object where there is none.
    pub fn allows_create(&self) -> bool {
        matches!(&self.body, UpdateBody::Patch(patch) if patch.apply_configuration().is_some())
    }

    /// Whether the edit looks at fields of the object that are named so, or changes them.
    pub fn touches(&self, fields: &[&str]) -> bool {
        matches!(&self.body, UpdateBody::Patch(patch) if patch.touches(fields))
    }

    /// The object that is wanted in the place of `existing`. Where nothing is existing it is only to be asked of an edit that
    /// [makes](Self::allows_create) what is missing.
    ///
    /// # Errors
    /// 400, 409 and 422 of patches that cannot be applied, or lead to no object.
    pub fn updated_object(
        &self,
        existing: Option<&ExistingObject<'_, T>>,
        manager: &Manager,
    ) -> Result<Desired<T>, Status> {
        let patch = match &self.body {
            UpdateBody::Object(Decoded { object, warnings }) => {
                return Ok(Desired { object: object.clone(), warnings: warnings.clone() });
            }
            UpdateBody::Patch(patch) => patch,
        };
        let mut errors = patch.strict_errors().clone();
        let patched = match patch.apply_configuration() {
            Some(configuration) => managed_fields::apply(
                &self.schema,
                existing.map(ExistingObject::value),
                configuration,
                manager,
                self.conflicts,
            )?,
            None => {
                let patched =
                    patch.apply_to(existing.map_or(&self.schema.empty, ExistingObject::value), &self.schema)?;
                errors.append(field_validation::unknown_fields(&patched, &self.schema));
                patched
            }
        };
        let object = self.decode(patch, &patched, &errors)?;
        let warnings = match self.validation {
            FieldValidation::Warn => field_validation::warnings(errors),
            FieldValidation::Ignore | FieldValidation::Strict => Vec::new(),
        };
        Ok(Desired { object, warnings })
    }

    /// The object that a patch led to.
    fn decode(&self, patch: &Patch, patched: &Value, errors: &Limited<String>) -> Result<T, Status> {
        if self.validation == FieldValidation::Strict && !errors.is_empty() {
            return Err(patch.strict_error(patched, errors));
        }
        if patch.decodes_result()
            && let Some(reason) = self.api.kind_mismatch(patched, T::KIND)
        {
            return Err(patch.invalid(patched, &reason));
        }
        let mut object = patched.clone();
        schema::coerce(&mut object, &self.schema.root)
            .map_err(|mismatch| patch.type_mismatch(patched, &mismatch, self.api))?;
        value::object_from(object).map_err(|reason| patch.invalid(patched, &reason))
    }

    /// What managedFields of `new` are to be. An apply has settled that already.
    ///
    /// # Errors
    /// 500, should the books hold what is none of them.
    pub fn managed_fields(
        &self,
        existing: Option<&ExistingObject<'_, T>>,
        new: &T,
        manager: &Manager,
    ) -> Result<Vec<ManagedFieldsEntry>, Status> {
        if self.allows_create() {
            return Ok(new.metadata().managed_fields.clone());
        }
        updated_managed_fields(&self.schema, existing, new, self.api, manager)
    }
}

/// What managedFields of an object are to be that a manager makes, or puts in the place of `existing`.
///
/// # Errors
/// 500, should the books hold what is none of them.
pub fn updated_managed_fields<T: Kind>(
    schema: &Schema,
    existing: Option<&ExistingObject<'_, T>>,
    new: &T,
    api: GroupVersion,
    manager: &Manager,
) -> Result<Vec<ManagedFieldsEntry>, Status> {
    let mut value =
        managed_fields::update(schema, existing.map(ExistingObject::value), value::to_value(new, api), manager);
    match value.pointer_mut("/metadata/managedFields").map(Value::take) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(entries) => value::from_value(entries).map_err(Status::hidden),
    }
}
