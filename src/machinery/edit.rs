//! Edits: what a client wants to have in the place of what is there, as a pure function of that.
//!
//! PUT, all kinds of patches and apply are one thing to everything behind this module. Nothing here reads or writes a store,
//! so an edit can be made again and again while others change the object.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::machinery::group_version::GroupVersion;
use crate::machinery::managed::{self, Manager};
use crate::machinery::patch::Patch;
use crate::machinery::schema::{self, Schema};
use crate::machinery::strict::{self, FieldValidation};
use crate::machinery::value::{self, Decoded};
use crate::meta::{Kind, Limited, ManagedFieldsEntry, Status};

/// An edit of an object.
#[derive(Clone, Debug)]
pub struct Edit<T> {
    form: Form<T>,
    validation: FieldValidation,
    conflicts: managed::Conflicts,
    schema: Arc<Schema>,
    api: GroupVersion,
}

#[derive(Clone, Debug)]
enum Form<T> {
    /// The whole object.
    Whole(Decoded<T>),
    /// What is to be different.
    Patch(Patch),
}

/// An object as a client wants it, with what the client should hear about what it sent.
#[derive(Clone, Debug)]
pub struct Wanted<T> {
    /// The object.
    pub object: T,
    /// Faults that are no errors.
    pub warnings: Vec<String>,
}

/// An object that is there, and its JSON, which is made when it is first needed.
#[derive(Debug)]
pub struct Present<'a, T> {
    /// The object.
    pub object: &'a T,
    api: GroupVersion,
    value: OnceCell<Value>,
}

impl<'a, T: Kind> Present<'a, T> {
    /// An object of this API.
    pub fn new(object: &'a T, api: GroupVersion) -> Self {
        Self { object, api, value: OnceCell::new() }
    }

    /// Its JSON, with `kind` and `apiVersion`.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| value::to_value(self.object, self.api))
    }
}

impl<T: Kind> Edit<T> {
    /// The edit that puts a whole object in the place of what is there.
    pub fn whole(object: Decoded<T>, schema: &Arc<Schema>, api: GroupVersion) -> Self {
        Self {
            form: Form::Whole(object),
            validation: FieldValidation::default(),
            conflicts: managed::Conflicts::Refuse,
            schema: schema.clone(),
            api,
        }
    }

    /// The edit that a patch describes.
    pub fn patch(
        patch: Patch,
        validation: FieldValidation,
        conflicts: managed::Conflicts,
        schema: &Arc<Schema>,
        api: GroupVersion,
    ) -> Self {
        Self { form: Form::Patch(patch), validation, conflicts, schema: schema.clone(), api }
    }

    /// The API that the object belongs to.
    pub fn api(&self) -> GroupVersion {
        self.api
    }

    /// The whole object, if that is what the client sent.
    pub fn object(&self) -> Option<&T> {
        match &self.form {
            Form::Whole(whole) => Some(&whole.object),
            Form::Patch(_) => None,
        }
    }

    /// What the client should hear of the whole object that it sent, whatever becomes of it.
    pub fn warnings(&self) -> &[String] {
        match &self.form {
            Form::Whole(whole) => &whole.warnings,
            Form::Patch(_) => &[],
        }
    }

    /// Whether the edit makes an object where there is none.
    pub fn makes_missing(&self) -> bool {
        matches!(&self.form, Form::Patch(patch) if patch.wanted().is_some())
    }

    /// Whether the edit looks at fields of the object that are named so, or changes them.
    pub fn touches(&self, fields: &[&str]) -> bool {
        matches!(&self.form, Form::Patch(patch) if patch.touches(fields))
    }

    /// The object that is wanted in the place of `present`. Where nothing is present it is only to be asked of an edit that
    /// [makes](Self::makes_missing) what is missing.
    ///
    /// # Errors
    /// 400, 409 and 422 of patches that cannot be applied, or lead to no object.
    pub fn wanted(&self, present: Option<&Present<'_, T>>, writer: &Manager) -> Result<Wanted<T>, Status> {
        let patch = match &self.form {
            Form::Whole(Decoded { object, warnings }) => {
                return Ok(Wanted { object: object.clone(), warnings: warnings.clone() });
            }
            Form::Patch(patch) => patch,
        };
        let mut faults = patch.faults().clone();
        let patched = match patch.wanted() {
            Some(wanted) => {
                managed::applied(&self.schema, present.map(Present::value), wanted, writer, self.conflicts)?
            }
            None => {
                let patched = patch.apply_to(present.map_or(&self.schema.empty, Present::value), &self.schema)?;
                faults.append(strict::unknown_fields(&patched, &self.schema));
                patched
            }
        };
        let object = self.decode(patch, &patched, &faults)?;
        let warnings = match self.validation {
            FieldValidation::Warn => strict::warnings(faults),
            FieldValidation::Ignore | FieldValidation::Strict => Vec::new(),
        };
        Ok(Wanted { object, warnings })
    }

    /// The object that a patch led to.
    fn decode(&self, patch: &Patch, patched: &Value, faults: &Limited<String>) -> Result<T, Status> {
        if self.validation == FieldValidation::Strict && !faults.is_empty() {
            return Err(patch.refused(patched, faults));
        }
        if patch.makes_document()
            && let Some(why) = self.api.misread(patched, T::KIND)
        {
            return Err(patch.invalid(patched, &why));
        }
        let mut object = patched.clone();
        schema::fit(&mut object, &self.schema.root).map_err(|misfit| patch.misfit(patched, &misfit, self.api))?;
        value::object_from(object).map_err(|why| patch.invalid(patched, &why))
    }

    /// What managedFields of `new` are to be. An apply has settled that already.
    ///
    /// # Errors
    /// 500, should the books hold what is none of them.
    pub fn managed_fields(
        &self,
        present: Option<&Present<'_, T>>,
        new: &T,
        writer: &Manager,
    ) -> Result<Vec<ManagedFieldsEntry>, Status> {
        if self.makes_missing() {
            return Ok(new.metadata().managed_fields.clone());
        }
        managed_fields(&self.schema, present, new, self.api, writer)
    }
}

/// What managedFields of an object are to be that a writer makes, or puts in the place of `present`.
///
/// # Errors
/// 500, should the books hold what is none of them.
pub fn managed_fields<T: Kind>(
    schema: &Schema,
    present: Option<&Present<'_, T>>,
    new: &T,
    api: GroupVersion,
    writer: &Manager,
) -> Result<Vec<ManagedFieldsEntry>, Status> {
    let mut value = managed::updated(schema, present.map(Present::value), value::to_value(new, api), writer);
    match value.pointer_mut("/metadata/managedFields").map(Value::take) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(entries) => value::from_value(entries).map_err(Status::hidden),
    }
}
