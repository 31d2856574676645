//! The two servers that kubectl tests run against: kube-apiserver of a cluster, and a standalone
//! server. Each test must pass with both.

use std::path::PathBuf;

use serde_json::Value;

use super::grants::user;
use super::kubeconfig;
use super::kubectl::{Following, Kubectl, Said};
use super::objects;
use super::site::{Shared, shared};
use super::tools::Tools;
use crate::support::process::ServerProcess;
use crate::support::server::{TestServer, identity_of_admin};

/// The namespace of the objects. Tests share it, so each test uses unique names.
pub(crate) const WORKSHOP: &str = "workshop";

/// kubectl with one of the two servers.
pub(crate) struct Place {
    kubectl: Kubectl,
    kind: Kind,
}

/// The kind of the server, with the guards that keep it running.
enum Kind {
    Cluster { _site: Shared },
    Alone { _server: ServerProcess },
}

/// Both servers. In the cluster the user has only the role `edit` in the namespace; on the
/// standalone server the user has all rights.
pub(crate) async fn places() -> [Place; 2] {
    [cluster().await, alone().await]
}

async fn cluster() -> Place {
    let site = shared().await;
    site.plane.apply(&[objects::namespace(WORKSHOP)]);
    site.plane.bind(WORKSHOP, &user("maker"), "edit", ("create", "imagestreams")).await;
    let kubectl = site.plane.kubectl_of(&site.plane.user("maker", None).identity());
    Place { kubectl, kind: Kind::Cluster { _site: site } }
}

async fn alone() -> Place {
    let server = ServerProcess::start(&[]).await;
    let address = format!("https://{}", server.address());
    let identity = identity_of_admin();
    let kubeconfig: PathBuf =
        kubeconfig::write(&server.folder(), &address, &server.certificate(), &identity)
            .expect("a kubeconfig can be written");
    let program =
        Tools::find().expect("the programs of the control plane are built").path("kubectl");
    Place { kubectl: Kubectl { program, kubeconfig }, kind: Kind::Alone { _server: server } }
}

impl Place {
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.kubectl.run(&self.here(arguments), &[])
    }

    /// Runs kubectl with an object as its input file.
    pub(crate) fn give(&self, arguments: &[&str], object: &Value) -> Said {
        self.kubectl.run(
            &self.here(&[arguments, &["--filename=-"]].concat()),
            object.to_string().as_bytes(),
        )
    }

    /// Runs `kubectl edit` with an editor that replaces a text.
    pub(crate) fn edit(&self, what: &str, text: &str, by: &str) -> Said {
        let editor = format!("sed -i 's/{text}/{by}/'");
        self.kubectl.run_with_editor(&self.here(&["edit", what]), &[], &editor)
    }

    /// Starts a kubectl that keeps running.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Following {
        self.kubectl.follow(&self.here(arguments))
    }

    /// Gets an object with kubectl.
    pub(crate) fn get(&self, what: &str) -> Value {
        let object = self.run(&["get", what, "--output=json", "--show-managed-fields"]).done();
        serde_json::from_str(&object).expect("kubectl writes JSON")
    }

    /// The `resourceVersion` of an object.
    pub(crate) fn version(&self, what: &str) -> String {
        self.get(what)["metadata"]["resourceVersion"]
            .as_str()
            .expect("an object has a version")
            .to_owned()
    }

    fn here<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        // The output of a failing test shows which server it used.
        let place = match self.kind {
            Kind::Cluster { .. } => "in the cluster",
            Kind::Alone { .. } => "alone",
        };
        println!("{place}: kubectl {}", arguments.join(" "));
        [&["--namespace", WORKSHOP], arguments].concat()
    }
}
