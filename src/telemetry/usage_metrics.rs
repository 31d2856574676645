//! Gauges of what is stored and of the file that it is stored in. Each shows up once it was set.

use std::hash::Hash;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A stored resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
    /// The API group.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
}

/// Which storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StorageLabels {
    storage_cluster_id: &'static str,
}

/// A gauge that shows nothing before it was set.
#[derive(Clone, Debug, Default)]
struct OptionalGauge(Arc<OnceLock<Gauge>>);

impl OptionalGauge {
    fn set(&self, value: u64) {
        self.0.get_or_init(Gauge::default).set(whole(value));
    }
}

impl EncodeMetric for OptionalGauge {
    fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        self.0.get().map_or(Ok(()), |gauge| gauge.encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// How much of a resource is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceUsage {
    /// How many objects.
    pub objects: u64,
    /// How many bytes these take as they are stored.
    pub bytes: u64,
    /// How many of them the largest object takes; none if that is not known.
    pub largest_bytes: Option<u64>,
}

/// The file of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileUsage {
    /// The storage backend, the value of `storage_cluster_id`.
    pub backend: &'static str,
    /// How many bytes of the disk it takes.
    pub bytes: u64,
    /// How many more may be written beside it, if that is known.
    pub available_bytes: Option<u64>,
    /// The latest revision.
    pub revision: u64,
    /// The oldest revision that can be read.
    pub compacted: u64,
}

/// The gauges.
#[derive(Default)]
pub struct UsageMetrics {
    objects: Family<ResourceLabels, Gauge>,
    bytes: Family<ResourceLabels, Gauge>,
    largest: Family<ResourceLabels, Gauge>,
    tag_events: OptionalGauge,
    file: Family<StorageLabels, Gauge>,
    free_pages: OptionalGauge,
    available: OptionalGauge,
    revision: OptionalGauge,
    compacted: OptionalGauge,
}

impl UsageMetrics {
    /// Shows the gauges among other metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("apiserver_resource_objects", "Objects that are stored", self.objects.clone());
        let text = "Bytes of the objects that are stored";
        registry.register("apiserver_resource_size_estimate_bytes", text, self.bytes.clone());
        let text = "Bytes of the largest object that is stored; the log tells its name";
        registry.register("imagestream_apiserver_largest_object_bytes", text, self.largest.clone());
        let text = "Events in the histories of all tags";
        registry.register("imagestream_apiserver_tag_history_events", text, self.tag_events.clone());
        let text = "Bytes of the disk that the file of the storage takes";
        registry.register("apiserver_storage_size_bytes", text, self.file.clone());
        let text = "Pages of 4 KiB in the file of the storage that hold nothing; new writes fill them";
        registry.register("imagestream_apiserver_storage_free_pages", text, self.free_pages.clone());
        let text = "Bytes that can still be written to the volume of the storage";
        registry.register("imagestream_apiserver_storage_available_bytes", text, self.available.clone());
        let text = "The latest revision";
        registry.register("imagestream_apiserver_storage_current_revision", text, self.revision.clone());
        let text = "The oldest revision that is remembered: how far compaction has come";
        registry.register("imagestream_apiserver_storage_compact_revision", text, self.compacted.clone());
    }

    /// So much of a resource is stored.
    pub fn set_resource(&self, resource: ResourceLabels, usage: ResourceUsage) {
        let ResourceUsage { objects, bytes, largest_bytes } = usage;
        set(&self.objects, &resource, objects);
        set(&self.bytes, &resource, bytes);
        if let Some(bytes) = largest_bytes.or((objects == 0).then_some(0)) {
            set(&self.largest, &resource, bytes);
        }
    }

    /// So many events are in the histories of tags.
    pub fn set_tag_events(&self, events: u64) {
        self.tag_events.set(events);
    }

    /// This is the state of the file.
    pub fn set_file(&self, file: FileUsage) {
        let FileUsage { backend, bytes, available_bytes, revision, compacted } = file;
        set(&self.file, &StorageLabels { storage_cluster_id: backend }, bytes);
        self.revision.set(revision);
        self.compacted.set(compacted);
        if let Some(bytes) = available_bytes {
            self.available.set(bytes);
        }
    }

    /// So many pages of the file hold nothing.
    pub fn set_free_pages(&self, pages: u64) {
        self.free_pages.set(pages);
    }
}

fn set<L: Clone + Hash + Eq>(family: &Family<L, Gauge>, labels: &L, value: u64) {
    family.get_or_create(labels).set(whole(value));
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_gauge_is_there_once_it_was_set() {
        let (metrics, mut registry) = (UsageMetrics::default(), Registry::default());
        metrics.register(&mut registry);
        let series = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            let series: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
            series
        };
        assert_eq!(series(), [""; 0]);
        metrics.set_tag_events(0);
        assert_eq!(series(), ["imagestream_apiserver_tag_history_events 0"]);
        let images = ResourceLabels { group: "g", resource: "r" };
        metrics.set_resource(images, ResourceUsage { objects: 7, bytes: 70, largest_bytes: None });
        assert!(!series().iter().any(|line| line.contains("largest")), "it is not known");
        metrics.set_resource(images, ResourceUsage { objects: 0, bytes: 0, largest_bytes: None });
        assert!(series().contains(&"imagestream_apiserver_largest_object_bytes{group=\"g\",resource=\"r\"} 0".into()));
    }
}
