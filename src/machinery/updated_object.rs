//! Updates as pure functions from the current object to the desired one, as
//! `rest.UpdatedObjectInfo` in `k8s.io/apiserver/pkg/registry/rest`.
//!
//! The registry handles PUT, PATCH and server-side apply in this one form. An update does not
//! access the store, so the update loop can run it again when the object changed in between.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::machinery::field_validation::{self, FieldValidation};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::managed_fields::{self, ConflictPolicy, Manager};
use crate::machinery::patch::Patch;
use crate::machinery::schema::Schema;
use crate::machinery::value::{self, Decoded};
use crate::meta::{Kind, Limited, ManagedFieldsEntry, Status};

/// An update of an object.
#[derive(Clone, Debug)]
pub struct UpdatedObjectInfo<T> {
    body: UpdateBody<T>,
    validation: FieldValidation,
    conflicts: ConflictPolicy,
    schema: Arc<Schema>,
    api: GroupVersion,
}

#[derive(Clone, Debug)]
enum UpdateBody<T> {
    /// A complete object, from PUT.
    Object(Decoded<T>),
    /// A patch, including server-side apply.
    Patch(Patch),
}

/// The desired state of an object, with warnings for the client.
#[derive(Clone, Debug)]
pub struct Desired<T> {
    /// The object.
    pub object: T,
    /// Warnings about the request body.
    pub warnings: Vec<String>,
}

/// An existing object and its JSON, which is encoded on first use.
#[derive(Debug)]
pub struct ExistingObject<'a, T> {
    /// The object.
    pub object: &'a T,
    api: GroupVersion,
    value: OnceCell<Value>,
}

impl<'a, T: Kind> ExistingObject<'a, T> {
    /// Wraps an object of this API.
    pub fn new(object: &'a T, api: GroupVersion) -> Self {
        Self { object, api, value: OnceCell::new() }
    }

    /// The object as JSON, with `kind` and `apiVersion`.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| value::to_value(self.object, self.api))
    }
}

impl<T: Kind> UpdatedObjectInfo<T> {
    /// Creates an update that replaces the object.
    pub fn from_object(object: Decoded<T>, schema: &Arc<Schema>, api: GroupVersion) -> Self {
        Self {
            body: UpdateBody::Object(object),
            validation: FieldValidation::default(),
            conflicts: ConflictPolicy::Fail,
            schema: schema.clone(),
            api,
        }
    }

    /// Creates an update from a patch.
    pub fn from_patch(
        patch: Patch,
        validation: FieldValidation,
        conflicts: ConflictPolicy,
        schema: &Arc<Schema>,
        api: GroupVersion,
    ) -> Self {
        Self { body: UpdateBody::Patch(patch), validation, conflicts, schema: schema.clone(), api }
    }

    /// The API of the object.
    pub fn api(&self) -> GroupVersion {
        self.api
    }

    /// The complete object of a PUT; none for a patch.
    pub fn object(&self) -> Option<&T> {
        match &self.body {
            UpdateBody::Object(decoded) => Some(&decoded.object),
            UpdateBody::Patch(_) => None,
        }
    }

    /// Warnings about the body of a PUT. They are sent even if the update fails.
    pub fn warnings(&self) -> &[String] {
        match &self.body {
            UpdateBody::Object(decoded) => &decoded.warnings,
            UpdateBody::Patch(_) => &[],
        }
    }

    /// Returns true for server-side apply, which creates a missing object.
    pub fn allows_create(&self) -> bool {
        matches!(&self.body, UpdateBody::Patch(patch) if patch.apply_configuration().is_some())
    }

    /// Returns true if the update reads or changes one of these top-level fields. Always
    /// false for a PUT.
    pub fn touches(&self, fields: &[&str]) -> bool {
        matches!(&self.body, UpdateBody::Patch(patch) if patch.touches(fields))
    }

    /// Computes the desired object from `existing`. Without an existing object, the update must
    /// [allow its creation](Self::allows_create).
    ///
    /// # Errors
    /// 400, 409, 413 or 422 if the patch cannot be applied or its result is not a valid object.
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
                let patched = patch.apply_to(
                    existing.map_or(&self.schema.empty, ExistingObject::value),
                    &self.schema,
                )?;
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

    /// Decodes the result of a patch.
    fn decode(
        &self,
        patch: &Patch,
        patched: &Value,
        errors: &Limited<String>,
    ) -> Result<T, Status> {
        if self.validation == FieldValidation::Strict && !errors.is_empty() {
            return Err(patch.strict_error(patched, errors));
        }
        if patch.decodes_result()
            && let Some(reason) = self.api.kind_mismatch(patched, T::KIND)
        {
            return Err(patch.invalid(patched, &reason));
        }
        let mut object = patched.clone();
        patch
            .coerce(&mut object, &self.schema.root)
            .map_err(|mismatch| patch.type_mismatch(patched, &mismatch, self.api))?;
        value::object_from(object).map_err(|reason| patch.invalid(patched, &reason))
    }

    /// Computes `metadata.managedFields` of `new`. For server-side apply they are already in `new`.
    ///
    /// # Errors
    /// 500 if the computed entries cannot be decoded.
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

/// Computes `metadata.managedFields` of an object that `manager` creates, or with which it replaces
/// `existing`.
///
/// # Errors
/// 500 if the computed entries cannot be decoded.
pub fn updated_managed_fields<T: Kind>(
    schema: &Schema,
    existing: Option<&ExistingObject<'_, T>>,
    new: &T,
    api: GroupVersion,
    manager: &Manager,
) -> Result<Vec<ManagedFieldsEntry>, Status> {
    let mut value = managed_fields::update(
        schema,
        existing.map(ExistingObject::value),
        value::to_value(new, api),
        manager,
    );
    match value.pointer_mut("/metadata/managedFields").map(Value::take) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(entries) => value::from_value(entries).map_err(Status::hidden),
    }
}
