//! The address guard on the way to a registry.

use imagestream_apiserver::oci::{
    BlockedAddress, Options, RegistryError, Repository, RequestFailure, Security,
};

use crate::registry_server::{RegistryServer, answer};
use crate::site::{client, tag};

async fn refusal(name: &str, security: Security) -> (Option<BlockedAddress>, String) {
    let repository = Repository::parse(name).unwrap();
    let session = client(&Options::default()).session(Default::default());
    let error = session.manifest(&repository, &tag("x"), security).await.unwrap_err();
    let text = error.to_string();
    match error {
        RegistryError::Request { cause: RequestFailure::Blocked(reason), .. } => {
            (Some(reason), text)
        }
        _ => (None, text),
    }
}

#[tokio::test]
async fn addresses_and_names_of_the_host_are_refused() {
    let server = RegistryServer::start(|_| answer(200, &[], "")).await;
    let port = server.port();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1"] {
        for security in [Security::Verified, Security::Insecure] {
            let (reason, text) = refusal(&format!("{host}:{port}/a"), security).await;
            assert_eq!(reason, Some(BlockedAddress::Loopback), "{host}: {text}");
        }
    }
    assert_eq!(server.log().len(), 0);
}

#[tokio::test]
async fn metadata_services_are_refused() {
    for (host, expected) in [
        ("169.254.169.254", BlockedAddress::LinkLocal),
        ("168.63.129.16", BlockedAddress::Metadata),
        ("100.100.100.200", BlockedAddress::Metadata),
        ("[fd00:ec2::254]", BlockedAddress::Metadata),
        ("[2002:a9fe:a9fe::1]", BlockedAddress::LinkLocal),
    ] {
        let (reason, text) = refusal(&format!("{host}/a"), Security::Insecure).await;
        assert_eq!(reason, Some(expected), "{host}: {text}");
    }
}
