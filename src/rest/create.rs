//! Making stored objects.

use super::cx::Cx;
use super::edit;
use super::endpoint::Create;
use super::metadata;
use super::options::Options;
use super::reply::Written;
use super::rules::Strategy;
use super::stored::Stored;
use super::write::{Making, Path};
use crate::meta::{Kind, Status};

impl<T: Kind, S: Strategy<T>> Create<T> for Stored<T, S> {
    async fn create(&self, cx: &Cx, options: &Options, object: T) -> Result<Written<T>, Status> {
        /// How often another name is tried where a generated one is taken.
        const MORE_NAMES: usize = 7;
        let is_generated = object.metadata().name.is_empty();
        for _ in 0..MORE_NAMES {
            match self.make(cx, options, object.clone()).await {
                Err(status) if is_generated && status.reason == "AlreadyExists" => {}
                done => return done,
            }
        }
        self.make(cx, options, object).await.map_err(|mut status| {
            if is_generated && status.reason == "AlreadyExists" {
                status.message.push_str(", the server was not able to generate a unique name for the object");
            }
            status
        })
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    async fn make(&self, cx: &Cx, options: &Options, mut object: T) -> Result<Written<T>, Status> {
        let rules = self.strategy();
        metadata::prepare_create(cx, object.metadata_mut())?;
        rules.restrict(None, &mut object);
        let writer = self.writer(cx, options, rules);
        let managed = edit::managed_fields(self.schema(), None, &*rules.writable(&object), self.api(), &writer)?;
        object.metadata_mut().managed_fields = managed;
        let name = object.metadata().name.clone();
        let path = Path { rules, dry_run: options.dry_run, making: Making::Only };
        let mut settled = self.write(cx, &name, path, |_| Ok((object.clone(), ()))).await?;
        rules.present(&mut settled.object);
        Ok(Written::made(settled.object))
    }
}
