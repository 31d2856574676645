//! The namespace lifecycle admission: no object is created in a missing or terminating namespace.

use serde_json::Value;

use super::backend::path;
use super::objects;
use super::site::{Shared, shared};
use crate::support::client::{Answer, Request};
use crate::support::expect::Expect;

async fn create_in(site: &Shared, namespace: &str) -> Answer {
    site.plane
        .ask(Request::new("POST", &path(namespace, "imagestreams")).json(&objects::stream("s")))
        .await
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_not_there() {
    let site = shared().await;
    let refused = create_in(&site, "nowhere").await.fails(
        404,
        "NotFound",
        "namespaces \"nowhere\" not found",
    );
    assert_eq!(
        (&refused["details"]["kind"], &refused["details"]["name"]),
        (&"namespaces".into(), &"nowhere".into())
    );
    let mapping = objects::mapping("s", super::site::DIGEST);
    let request = Request::new("POST", &path("nowhere", "imagestreammappings")).json(&mapping);
    site.plane.ask(request).await.fails(404, "NotFound", "namespaces \"nowhere\" not found");
}

#[tokio::test]
async fn a_namespace_can_be_used_as_soon_as_it_is_created() {
    let site = shared().await;
    for number in 0..10 {
        let namespace = format!("at-once-{number}");
        // The failed request makes the server cache that the namespace does not exist.
        create_in(&site, &namespace).await.is(404);
        site.plane.create_namespace(&namespace).await;
        create_in(&site, &namespace).await.is(201);
    }
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_ending() {
    let site = shared().await;
    site.plane.create_namespace("ending").await;
    create_in(&site, "ending").await.is(201);
    // No namespace controller runs here, so the finalizer `kubernetes` stays.
    site.plane.delete("/api/v1/namespaces/ending").await;
    let refused = super::wait::until("the server rejects new objects", || async {
        let request =
            Request::new("POST", &path("ending", "imagestreams")).json(&objects::stream("late"));
        let answer = site.plane.ask(request).await;
        if [201, 409].contains(&answer.status) {
            Err(format!("{}", answer.status))
        } else {
            Ok(answer)
        }
    })
    .await;
    let message = "imagestreams.image.openshift.io \"late\" is forbidden: unable to create new content in namespace \
                   ending because it is being terminated";
    let refused = refused.fails(403, "Forbidden", message);
    let cause = &refused["details"]["causes"][0];
    assert_eq!(cause["reason"], "NamespaceTerminating", "{refused}");
    assert_eq!(cause["message"], "namespace ending is being terminated", "{refused}");
    assert_eq!(cause["field"], "metadata.namespace", "{refused}");
    // Existing objects can still be read and deleted, so that the namespace can be emptied.
    let stream = path("ending", "imagestreams/s");
    let read: Value = site.plane.ask(Request::new("GET", &stream)).await.is(200);
    assert_eq!(read["metadata"]["name"], "s");
    site.plane.ask(Request::new("DELETE", &stream)).await.is(200);
}
