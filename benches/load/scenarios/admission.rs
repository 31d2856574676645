//! Mappings from one client, and GETs, beside the same server without admission webhooks. A single
//! client writes, so that the latency is the cost of a write.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::ensure;
use serde_json::Value;

use crate::bench::Bench;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::control_plane::ControlPlane;
use crate::figures::Figures;
use crate::process::Process;
use crate::turn;
use crate::webhook_server::WebhookServer;
use tempfile::TempDir;

/// Line of the mappings that no webhook is called for.
const WRITES: &str = "mapping, no match";
/// Line of the GETs.
const GETS: &str = "GET, webhook";

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let webhook = Rc::new(WebhookServer::start()?);
    let of = |rules| Cluster::start(bench, &webhook, rules).map(Rc::new);
    let [none, other, matching] = [of(Rules::None)?, of(Rules::Other)?, of(Rules::Matching)?];
    let push = |name, side, cluster: &Rc<Cluster>| {
        let (webhook, cluster) = (webhook.clone(), cluster.clone());
        Comparison::new(name, side, move || cluster.push(bench, &webhook))
    };
    let get = |side, cluster: &Rc<Cluster>| -> anyhow::Result<_> {
        let (cluster, (server, data)) = (cluster.clone(), cluster.serve(bench)?);
        Ok(Comparison::new(GETS, side, move || {
            // The folder and the control plane live as long as the server.
            let _kept = (&data, &cluster);
            turn::ask(&bench.pool, &server, &bench.uniform, bench.times())
        }))
    };
    Ok(vec![
        push(WRITES, Side::NoWebhooks, &none),
        push(WRITES, Side::Ours, &other),
        Comparison { yardstick: WRITES, ..push("mapping, match", Side::Ours, &matching) },
        get(Side::NoWebhooks, &none)?,
        get(Side::Ours, &matching)?,
    ])
}

/// Rules of the only webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// No webhook.
    None,
    /// Another resource.
    Other,
    /// Mappings.
    Matching,
}

/// Control plane with these rules.
struct Cluster {
    rules: Rules,
    kubeconfig: PathBuf,
    _control_plane: ControlPlane,
}

impl Cluster {
    fn start(bench: &Bench, webhook: &WebhookServer, rules: Rules) -> anyhow::Result<Self> {
        let webhooks: Vec<Value> = match rules {
            Rules::None => Vec::new(),
            Rules::Other => vec![webhook.webhook("apps", "deployments")],
            Rules::Matching => vec![webhook.webhook("image.openshift.io", "imagestreammappings")],
        };
        let kubeconfig = bench.site.folder().join(format!("kubeconfig-{rules:?}"));
        let _control_plane = ControlPlane::start(&kubeconfig, &webhooks)?;
        Ok(Self { rules, kubeconfig, _control_plane })
    }

    /// Ready server on a new copy of the filled store.
    fn serve(&self, bench: &Bench) -> anyhow::Result<(Process, TempDir)> {
        let copy = bench.seed.copy(&bench.site)?;
        let server = bench.site.serve_behind(copy.path(), &self.kubeconfig)?;
        bench.pool.await_readiness(server.address)?;
        Ok((server, copy))
    }

    fn push(&self, bench: &Bench, webhook: &WebhookServer) -> anyhow::Result<Figures> {
        let (server, _copy) = self.serve(bench)?;
        let pushes = bench.fixtures.open(&bench.pool, &server)?;
        let pool = ClientPool { connections: 1, threads: 1, ..bench.pool.clone() };
        let before = webhook.calls();
        let figures = turn::drive(&pool, &server, bench.times(), async |connection, _, watch| {
            pushes.push(connection, watch).await
        })?;
        let (calls, writes) = (webhook.calls() - before, pushes.acknowledged());
        let expected = if self.rules == Rules::Matching { writes } else { 0 };
        ensure!(calls == expected, "{writes} writes caused {calls} calls instead of {expected}");
        Ok(figures)
    }
}
