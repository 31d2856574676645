//! Gauges of the stored data. Each appears once it is set.

use std::hash::Hash;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::backup_metrics::BackupMetrics;
use super::optional_gauge::{OptionalGauge, whole};

/// Stored resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
    /// API group.
    pub group: &'static str,
    /// Resource, in the plural.
    pub resource: &'static str,
}

/// Label of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StorageLabels {
    storage_cluster_id: &'static str,
}

/// Usage of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Number of objects.
    pub objects: u64,
    /// Size of all objects as stored, in bytes.
    pub bytes: u64,
    /// Size of the largest object as stored, in bytes; `None` if unknown.
    pub largest_bytes: Option<u64>,
}

/// Usage of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileUsage {
    /// Storage backend, the value of `storage_cluster_id`.
    pub backend: &'static str,
    /// Allocated size, in bytes.
    pub bytes: u64,
    /// Space left for writes, in bytes; `None` if unknown.
    pub available_bytes: Option<u64>,
    /// Space that is kept free on the volume, in bytes.
    pub reserve_bytes: u64,
    /// Current revision.
    pub revision: u64,
    /// Oldest readable revision.
    pub compacted: u64,
}

/// Size of a storage with a quota, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaGauges {
    /// Storage backend, the value of `storage_cluster_id`.
    pub backend: &'static str,
    /// Size.
    pub bytes: u64,
    /// Part of the size that is in use.
    pub used_bytes: u64,
    /// Quota of the size.
    pub quota_bytes: u64,
}

/// Gauges of the stored data.
#[derive(Default)]
pub struct UsageMetrics {
    objects: Family<ResourceLabels, Gauge>,
    bytes: Family<ResourceLabels, Gauge>,
    largest: Family<ResourceLabels, Gauge>,
    tag_events: OptionalGauge,
    file: Family<StorageLabels, Gauge>,
    free_pages: OptionalGauge,
    available: OptionalGauge,
    reserve: OptionalGauge,
    used: OptionalGauge,
    quota: OptionalGauge,
    revision: OptionalGauge,
    compacted: OptionalGauge,
    backups: BackupMetrics,
}

impl UsageMetrics {
    /// Registers the gauges.
    pub(super) fn register(&self, registry: &mut Registry) {
        self.backups.register(registry);
        registry.register(
            "apiserver_resource_objects",
            "Number of stored objects",
            self.objects.clone(),
        );
        let text = "Size of all stored objects, in bytes";
        registry.register("apiserver_resource_size_estimate_bytes", text, self.bytes.clone());
        let text = "Size of the largest stored object, in bytes; the log has its name";
        registry.register("imagestream_apiserver_largest_object_bytes", text, self.largest.clone());
        let text = "Events in the histories of all tags";
        registry.register(
            "imagestream_apiserver_tag_history_events",
            text,
            self.tag_events.clone(),
        );
        let text = "Allocated size of the storage, in bytes";
        registry.register("apiserver_storage_size_bytes", text, self.file.clone());
        let text = "Free pages of 4 KiB in the storage file; new writes use them first";
        registry.register(
            "imagestream_apiserver_storage_free_pages",
            text,
            self.free_pages.clone(),
        );
        let text = "Space left for writes on the volume of the storage, in bytes";
        registry.register(
            "imagestream_apiserver_storage_available_bytes",
            text,
            self.available.clone(),
        );
        let text = "Space that is kept free on the volume of the storage, in bytes";
        registry.register(
            "imagestream_apiserver_storage_reserve_bytes",
            text,
            self.reserve.clone(),
        );
        let text = "Bytes of the storage in use, of a storage with a quota";
        registry.register("imagestream_apiserver_storage_used_bytes", text, self.used.clone());
        let text = "Quota of the size of the storage, in bytes";
        registry.register("imagestream_apiserver_storage_quota_bytes", text, self.quota.clone());
        let text = "Current revision of the storage";
        registry.register(
            "imagestream_apiserver_storage_current_revision",
            text,
            self.revision.clone(),
        );
        let text = "Oldest readable revision of the storage, up to which it is compacted";
        registry.register(
            "imagestream_apiserver_storage_compact_revision",
            text,
            self.compacted.clone(),
        );
    }

    /// Sets the usage of a resource.
    pub fn set_resource(&self, resource: ResourceLabels, usage: ResourceUsage) {
        let ResourceUsage { objects, bytes, largest_bytes } = usage;
        set(&self.objects, &resource, objects);
        set(&self.bytes, &resource, bytes);
        if let Some(bytes) = largest_bytes.or((objects == 0).then_some(0)) {
            set(&self.largest, &resource, bytes);
        }
    }

    /// Sets the number of events in all tag histories.
    pub fn set_tag_events(&self, events: u64) {
        self.tag_events.set(events);
    }

    /// Sets the usage of the storage.
    pub fn set_file(&self, file: FileUsage) {
        let FileUsage { backend, bytes, available_bytes, reserve_bytes, revision, compacted } =
            file;
        set(&self.file, &StorageLabels { storage_cluster_id: backend }, bytes);
        self.revision.set(revision);
        self.compacted.set(compacted);
        self.reserve.set(reserve_bytes);
        if let Some(bytes) = available_bytes {
            self.available.set(bytes);
        }
    }

    /// Sets the size of a storage with a quota.
    pub fn set_quota(&self, gauges: QuotaGauges) {
        let QuotaGauges { backend, bytes, used_bytes, quota_bytes } = gauges;
        set(&self.file, &StorageLabels { storage_cluster_id: backend }, bytes);
        self.used.set(used_bytes);
        self.quota.set(quota_bytes);
    }

    /// Metrics of scheduled backups.
    pub fn backups(&self) -> &BackupMetrics {
        &self.backups
    }

    /// Sets the number of free pages.
    pub fn set_free_pages(&self, pages: u64) {
        self.free_pages.set(pages);
    }
}

fn set<L: Clone + Hash + Eq>(family: &Family<L, Gauge>, labels: &L, value: u64) {
    family.get_or_create(labels).set(whole(value));
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn gauge_appears_once_it_is_set() {
        let (metrics, mut registry) = (UsageMetrics::default(), Registry::default());
        metrics.register(&mut registry);
        let series = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            let series: Vec<String> =
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
            series
        };
        let failures = "imagestream_apiserver_backup_failures_total 0";
        assert_eq!(series(), [failures]);
        metrics.set_tag_events(0);
        assert_eq!(series(), [failures, "imagestream_apiserver_tag_history_events 0"]);
        let images = ResourceLabels { group: "g", resource: "r" };
        metrics.set_resource(images, ResourceUsage { objects: 7, bytes: 70, largest_bytes: None });
        assert!(!series().iter().any(|line| line.contains("largest")), "the size is unknown");
        metrics.set_resource(images, ResourceUsage { objects: 0, bytes: 0, largest_bytes: None });
        assert!(series().contains(
            &"imagestream_apiserver_largest_object_bytes{group=\"g\",resource=\"r\"} 0".into()
        ));
    }
}
