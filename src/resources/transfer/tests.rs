//! A transfer to an endpoint with faults, and the order of names.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::api::{Evidence, Image};
use crate::meta::Time;
use crate::resources::import_export::{ImportMode, StoredObject};
use crate::resources::openshift_layout::StoredForm;
use crate::store;

/// An endpoint that does not keep all that it acknowledges.
struct Careless {
    store: StoreEndpoint,
    fault: Fault,
    /// The endpoint that another client writes while this one stores objects.
    source: Option<StoreEndpoint>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LosesAnObject,
    ChangesAnObject,
    SourceChanges,
}

impl TransferEndpoint for Careless {
    fn count(&self) -> BoxFuture<'_, Result<Option<u64>, TransferError>> {
        self.store.count()
    }

    fn list(&self) -> Box<dyn TransferList + '_> {
        self.store.list()
    }

    fn form(&self) -> KeptForm {
        self.store.form()
    }

    fn prepare(&self, object: StoredObject) -> Result<StoredObject, String> {
        self.store.prepare(object)
    }

    fn put(
        &self,
        mut objects: Vec<StoredObject>,
        overwrite: OverwritePolicy,
    ) -> BoxFuture<'_, Result<Vec<Result<(), String>>, TransferError>> {
        async move {
            let results = objects.iter().map(|_| Ok(())).collect();
            match self.fault {
                Fault::None => {}
                Fault::LosesAnObject => drop(objects.pop()),
                Fault::ChangesAnObject => {
                    objects[0].metadata_mut().labels.insert("a".into(), "b".into());
                }
                Fault::SourceChanges => {
                    let source = self.source.as_ref().expect("the test sets it");
                    source.put(vec![image("b", "new")], OverwritePolicy::Replace).await?;
                }
            }
            self.store.put(objects, overwrite).await?;
            Ok(results)
        }
        .boxed()
    }
}

#[derive(Default)]
struct Record(Mutex<Vec<String>>);

impl TransferObserver for Record {
    fn begun(&self, phase: TransferPhase, total: Option<u64>) {
        self.0.lock().push(format!("{phase:?} {total:?}"));
    }

    fn advanced(&self) {}

    fn refused(&self, why: &str) {
        self.0.lock().push(why.to_owned());
    }
}

fn image(name: &str, uid: &str) -> StoredObject {
    let mut image = Image { evidence: Evidence::authority(), ..Image::default() };
    image.metadata.name = name.to_owned();
    image.metadata.uid = uid.to_owned();
    image.metadata.creation_timestamp = Some(Time::from_unix_seconds(0));
    image.docker_image_reference = format!("registry.example.com/a:{name}");
    StoredObject::Image(Box::new(image))
}

fn endpoint(opened: &store::Opened) -> StoreEndpoint {
    let form = StoredForm::Own;
    StoreEndpoint::new("store".to_owned(), opened.clone(), form, Time::from_unix_seconds(0))
}

/// Transfers the images `a` and `b` to an endpoint with a fault.
async fn differences(fault: Fault) -> (TransferReport, Vec<String>) {
    let opened = store::in_memory().unwrap();
    let source = endpoint(&opened);
    let objects = vec![image("a", "1"), image("b", "2")];
    source.put(objects, OverwritePolicy::Refuse).await.unwrap();
    let target = endpoint(&store::in_memory().unwrap());
    let target = Careless { store: target, fault, source: Some(endpoint(&opened)) };
    let record = Record::default();
    let transfer = Transfer {
        source: &source,
        target: &target,
        overwrite: OverwritePolicy::Refuse,
        mode: ImportMode::Write,
        observer: &record,
    };
    let report = transfer.run().await.unwrap();
    assert_eq!(*record.0.lock(), ["Copy Some(2)", "Verify Some(2)"]);
    let verification = report.verification.as_ref().expect("it is no dry run");
    let first = verification.differences.first.clone();
    assert_eq!(verification.differences.total, first.len() as u64);
    assert_eq!(verification.equal + first.len() as u64, 2);
    (report, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_names_every_difference() {
    for (fault, expected) in [
        (Fault::None, None),
        (Fault::LosesAnObject, Some("Image b is missing in the target")),
        (Fault::ChangesAnObject, Some("Image a differs in the target")),
        (
            Fault::SourceChanges,
            Some("Image b has changed in the source since it was read: run the transfer again"),
        ),
    ] {
        let (report, differences) = differences(fault).await;
        assert_eq!((report.stored, report.refused), (2, 0));
        assert_eq!(differences, Vec::from_iter(expected));
    }
}

#[test]
fn names_have_the_order_of_keys() {
    let mut stream = crate::api::ImageStream::default();
    stream.metadata.namespace = "ns".into();
    stream.metadata.name = "a".into();
    let StoredObject::Image(form) = image("0", "") else { unreachable!("it is an image") };
    let objects =
        [image("z", ""), StoredObject::Stream(Box::new(stream)), StoredObject::Superseded(form)];
    let names = objects.each_ref().map(TransferName::of);
    assert!(names.is_sorted(), "{names:?}");
    let texts = names.map(|name| name.to_string());
    assert_eq!(texts, ["Image z", "ImageStream ns/a", "SupersededImage 0"]);
}
