//! Mirrors, insecure and blocked registries of `--registries-config`.

use std::fs;

use imagestream_apiserver::oci::{Options, PullSession, RegistryErrorKind, Repository, Security};

use crate::registry_server::{Content, Image, RegistryServer};
use crate::site::{client, options, tag};

fn session(conf: &str) -> PullSession {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registries.conf");
    fs::write(&path, conf).unwrap();
    client(&Options { registries_config: Some(path), ..options() }).session(Default::default())
}

async fn registry(repository: &str, image: &str) -> RegistryServer {
    let content = Content::default().with(repository, "x", Image::named(image));
    RegistryServer::start(move |request| content.answer(request)).await
}

#[tokio::test]
async fn mirror_is_asked_before_the_registry() {
    let (mirror, origin) = (registry("copy/app", "one").await, registry("ns/app", "one").await);
    let session = session(&format!(
        "[[registry]]\nprefix = 'r.example/ns'\nlocation = '{}/ns'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = '{}/copy'\ninsecure = true\n",
        origin.host(),
        mirror.host()
    ));
    let repository = Repository::parse("r.example/ns/app").unwrap();
    let manifest = session.manifest(&repository, &tag("x"), Security::Verified).await.unwrap();
    assert_eq!(manifest.source.repository.to_string(), format!("{}/copy/app", mirror.host()));
    let config = Image::named("one").config_digest;
    session.blob(&manifest.source, &config).await.unwrap();
    assert_eq!((mirror.log().len(), origin.log().len()), (3, 0));
    let error = session.manifest(&repository, &tag("y"), Security::Verified).await.unwrap_err();
    let known = "manifest unknown";
    assert_eq!(error.to_string(), format!("[{known}, {known}]"));
    assert!(origin.log().len() > 1, "the registry itself comes last");
}

#[tokio::test]
async fn blocked_registry_gets_no_request() {
    let server = registry("app", "one").await;
    let session =
        session(&format!("[[registry]]\nlocation = '{}'\nblocked = true\n", server.host()));
    let repository = crate::site::repository(&server, "app");
    let error = session.manifest(&repository, &tag("x"), Security::Insecure).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Blocked);
    assert_eq!(error.to_string(), format!("registry {} blocked", server.host()));
    assert_eq!(server.log().len(), 0);
}
