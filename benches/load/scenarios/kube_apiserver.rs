//! GETs of images through a real kube-apiserver, beside GETs of a ConfigMap of the same size from it.

use std::rc::Rc;

use crate::bench::Bench;
use crate::comparison::{Comparison, Side};
use crate::kubernetes::Kubernetes;
use crate::questions::Scenario;

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let kubernetes = Rc::new(Kubernetes::start(bench)?);
    let same = kubernetes.clone();
    let name = Scenario::KubeApiserver.name();
    Ok(vec![
        Comparison::new(name, Side::ConfigMap, move || same.get_config_map(bench)),
        Comparison::new(name, Side::Ours, move || kubernetes.get_images(bench)),
    ])
}
