//! Changing the stored object that a path names: PUT, patches and apply.

use super::cx::Cx;
use super::edit::{Edit, Present, Wanted};
use super::endpoint::Update;
use super::go_text::number_fault;
use super::managed::Manager;
use super::metadata;
use super::options::Options;
use super::reply::Written;
use super::rules::{Rules, Strategy};
use super::stored::Stored;
use super::target::check_path_segment;
use super::write::{Effect, Making, Path, Settled};
use crate::meta::{Kind, ObjectMeta, Status, excerpt, field};

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// Edits the object that the path names, by these rules.
    ///
    /// # Errors
    /// 400, 404, 409 and 422 as Kubernetes' updates, patches and applies.
    pub async fn edit(
        &self,
        cx: &Cx,
        options: &Options,
        edit: &Edit<T>,
        rules: &dyn Rules<T>,
    ) -> Result<Written<T>, Status> {
        check_path_segment(cx.name())?;
        if let Some(object) = edit.object() {
            metadata::check_names(cx, object.metadata())?;
        }
        let writer = self.writer(cx, options, rules);
        let path = Path { rules, dry_run: options.dry_run, making: Making::Permitted };
        let wanted = |old: Option<&T>| self.wanted(cx, edit, rules, &writer, old);
        let Settled { mut object, effect, told } = self.write(cx, cx.name(), path, wanted).await?;
        rules.present(&mut object);
        let written = if effect == Effect::Made { Written::made(object) } else { Written::object(object) };
        Ok(written.warning(told))
    }

    fn wanted(
        &self,
        cx: &Cx,
        edit: &Edit<T>,
        rules: &dyn Rules<T>,
        writer: &Manager,
        old: Option<&T>,
    ) -> Result<(T, Vec<String>), Status> {
        if old.is_none() && !edit.makes_missing() {
            return Err(Status::not_found(self.resource(), cx.name()));
        }
        let whole = old.map(|old| Present::new(old, self.api()));
        let part = old.map(|old| rules.writable(old));
        let part = part.as_deref().map(|part| Present::new(part, self.api()));
        // What cannot be written is mostly not looked at either, and may be large. Refusals tell of the whole object.
        let of_part = if edit.touches(rules.ignored()) { None } else { edit.wanted(part.as_ref(), writer).ok() };
        let wanted = of_part.map_or_else(|| edit.wanted(whole.as_ref(), writer), Ok);
        let Wanted { mut object, warnings } = wanted?;
        metadata::check_names(cx, object.metadata())?;
        match old {
            Some(old) => self.check_version(edit, old, &object)?,
            None => self.prepare_applied(cx, object.metadata_mut())?,
        }
        rules.restrict(old, &mut object);
        let managed = edit.managed_fields(part.as_ref(), &rules.writable(&object), writer)?;
        object.metadata_mut().managed_fields = managed;
        Ok((object, warnings))
    }

    /// Prepares an object that an apply makes.
    fn prepare_applied(&self, cx: &Cx, meta: &mut ObjectMeta) -> Result<(), Status> {
        if !meta.uid.is_empty() {
            let uid = excerpt::of(&meta.uid);
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(self.resource(), cx.name(), &why));
        }
        metadata::prepare_create(cx, meta)
    }

    fn check_version(&self, edit: &Edit<T>, old: &T, new: &T) -> Result<(), Status> {
        let (old, new) = (old.metadata(), new.metadata());
        let wanted = new.resource_version.as_str();
        if edit.object().is_some() && !new.uid.is_empty() && new.uid != old.uid {
            return Err(Status::conflict(self.resource(), &old.name, &self.other_uid(old, &new.uid)));
        }
        if wanted.is_empty() || wanted == "0" {
            let fault = field::Error::invalid_value("metadata.resourceVersion", 0, "must be specified for an update");
            return Err(Status::invalid(self.resource(), &old.name, &fault.into()));
        }
        if let Err(why) = wanted.parse::<u64>() {
            return Err(Status::bad_request(number_fault("ParseUint", wanted, &why)));
        }
        if wanted == old.resource_version { Ok(()) } else { Err(Status::modified(self.resource(), &old.name)) }
    }

    /// Why a PUT for another object of the name is refused, with the key that the reference's own storage has.
    fn other_uid(&self, old: &ObjectMeta, wanted: &str) -> String {
        let ObjectMeta { namespace, name, uid, .. } = old;
        let place = if namespace.is_empty() { "" } else { "/" };
        let (resource, wanted) = (self.resource().name, excerpt::of(wanted));
        format!(
            "StorageError: invalid object, Code: 4, Key: /openshift.io/{resource}{place}{namespace}/{name}, \
             ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object \
             meta: {uid}"
        )
    }
}

impl<T: Kind, S: Strategy<T>> Update<T> for Stored<T, S> {
    async fn update(&self, cx: &Cx, options: &Options, edit: &Edit<T>) -> Result<Written<T>, Status> {
        self.edit(cx, options, edit, self.strategy()).await
    }
}
