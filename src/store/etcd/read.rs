//! Reads of keys and ranges.
//!
//! A read of a key whose revision the caller or the cache knows costs no value: the index tells
//! whether it is current once it has reached the latest revision. Ranges are read at one revision of
//! the store.

use std::future::Future;

use etcd_client::{GetOptions, GetResponse, SortOrder, SortTarget};

use crate::store::{At, Entry, Key, Lookup, Outline, Page, Range, ReadPoint, Revision, StoreError};

use super::commit_log::{etcd_revision, revision};
use super::error::CallError;
use super::feed_task::compacted_revision;
use super::key_index::Indexed;
use super::layout::StoredKey;
use super::own_keys::LatestRevision;
use super::replica::Replica;
use super::request::entry;

/// Entries of the first part of a page that is limited by bytes. Their sizes are unknown.
const FIRST_PART: usize = 16;
/// The most entries of one part of a page.
const MAX_PART: usize = 500;

impl Replica {
    /// The current entry of a key, or `Unchanged`.
    pub(super) async fn get(
        &self,
        key: &Key,
        known: Option<Revision>,
        point: &ReadPoint,
    ) -> Result<Lookup, StoreError> {
        if !key.is_storable() {
            return Ok(Lookup::Missing);
        }
        if let Some(found) = self.get_unchanged(key, known, point).await? {
            return Ok(found);
        }
        let Some(entry) = self.read(key).await? else { return Ok(Lookup::Missing) };
        point.record(entry.revision);
        Ok(match Some(entry.revision) == known {
            true => Lookup::Unchanged,
            false => Lookup::Found(entry),
        })
    }

    /// The current state of a key without a transfer of its value; `None` if the value is needed.
    async fn get_unchanged(
        &self,
        key: &Key,
        known: Option<Revision>,
        point: &ReadPoint,
    ) -> Result<Option<Lookup>, StoreError> {
        let lookup = || match self.feed.indexed(key) {
            Indexed::Missing => Some(Lookup::Missing),
            Indexed::At(revision) if Some(revision) == known => Some(Lookup::Unchanged),
            Indexed::At(revision) => {
                let cached = self.feed.cached(key);
                cached.filter(|cached| cached.revision == revision).map(Lookup::Found)
            }
            Indexed::Unknown => None,
        };
        if !self.layout.is_watched(key.as_str()) || !self.feed.has_begun() {
            return Ok(None);
        }
        let latest = match point.get() {
            Some(revision) => self.latest_of(revision),
            // The freshness check is wasted on a key whose value must be read anyway. A known value
            // is most probably current.
            None if known.is_none() && lookup().is_none() => return Ok(None),
            None => self.fresh().await?,
        };
        if !self.reach_latest(latest).await {
            return Ok(None);
        }
        if matches!(latest, LatestRevision::Marked(_)) || self.layout.is_shared() {
            point.begin(latest.revision());
        }
        Ok(lookup())
    }

    /// The entry of a key in memory, which may be outdated; `None` if it is not there, or while it is
    /// not known whether a quorum answers. Then a write finds out with its reads, whose failure
    /// shows that nothing was written.
    pub(super) fn get_cached(&self, key: &Key) -> Option<Lookup> {
        if !self.layout.is_watched(key.as_str()) || !self.quorum.is_expected() {
            return None;
        }
        match self.feed.indexed(key) {
            Indexed::Unknown => None,
            Indexed::Missing => Some(Lookup::Missing),
            // Commits of this replica are newer than the index.
            Indexed::At(revision) => {
                let cached = self.feed.cached(key)?;
                (cached.revision >= revision).then_some(Lookup::Found(cached))
            }
        }
    }

    /// Reads a key with a quorum.
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let place = self.place(key);
        let found = self
            .members
            .call(|mut clients| {
                let place = place.clone();
                async move { clients.kv.get(place, None).await }
            })
            .await?;
        Ok(found.kvs().first().map(|kv| entry(key, kv)))
    }

    /// A page of the entries under a prefix.
    pub(super) async fn range(&self, range: &Range) -> Result<Page, StoreError> {
        let at = self.pin(range.at).await?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let Some((mut first, end)) = self.layout.range(&range.prefix, range.start.as_deref())
        else {
            self.check_readable(at).await?;
            return Ok(Page { entries, revision: at, more: false });
        };
        loop {
            let part = next_part(range, entries.len(), bytes);
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(i64::try_from(part).unwrap_or_default());
            let mut found = self.read_at(at, &first, options).await?;
            let more = found.more();
            if let Some(last) = found.kvs().last() {
                first = [last.key(), b"\0"].concat();
            }
            for kv in found.take_kvs() {
                let is_full = (range.bytes > 0 && bytes >= range.bytes)
                    || (range.limit > 0 && entries.len() >= range.limit);
                if is_full {
                    return Ok(Page { entries, revision: at, more: true });
                }
                let revision = revision(kv.mod_revision());
                let (place, value) = kv.into_key_value();
                if let StoredKey::Data(key) = self.layout.read(&place) {
                    bytes += value.len();
                    entries.push(Entry { key: Key::new(key), value: value.into(), revision });
                }
            }
            let is_full = (range.bytes > 0 && bytes >= range.bytes)
                || (range.limit > 0 && entries.len() >= range.limit);
            if !more || is_full {
                return Ok(Page { entries, revision: at, more });
            }
        }
    }

    /// The size of a page and the number of entries after it.
    pub(super) async fn outline(&self, range: &Range) -> Result<Outline, StoreError> {
        let at = self.pin(range.at).await?;
        let Some((first, end)) = self.layout.range(&range.prefix, range.start.as_deref()) else {
            self.check_readable(at).await?;
            return Ok(Outline { revision: at, entries: 0, last: None, remaining: 0 });
        };
        let options = GetOptions::new().with_range(end);
        if range.limit > 0 {
            let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
            let found =
                self.read_at(at, &first, options.with_keys_only().with_limit(limit)).await?;
            let entries = found.kvs().len() as u64;
            let remaining = u64::try_from(found.count()).unwrap_or_default() - entries;
            return Ok(Outline { revision: at, entries, last: self.last_key(&found), remaining });
        }
        let counted = self.read_at(at, &first, options.clone().with_count_only()).await?;
        let entries = u64::try_from(counted.count()).unwrap_or_default();
        let last = match self.feed.last_key(&range.prefix, at) {
            _ if entries == 0 => None,
            Some(last) => last,
            None => {
                let options = options
                    .with_keys_only()
                    .with_limit(1)
                    .with_sort(SortTarget::Key, SortOrder::Descend);
                self.last_key(&self.read_at(at, &first, options).await?)
            }
        };
        Ok(Outline { revision: at, entries, last, remaining: 0 })
    }

    /// The revision to read for a range.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    async fn pin(&self, at: At) -> Result<Revision, StoreError> {
        let current = self.fresh().await?.revision();
        let At::Revision(requested) = at else { return Ok(current) };
        if requested > current {
            return Err(StoreError::Future { requested, current });
        }
        let compacted = self.oldest().await?;
        if requested < compacted {
            return Err(StoreError::Compacted { requested, compacted });
        }
        Ok(requested)
    }

    /// Checks that a revision of the store is not compacted, for a range without keys.
    async fn check_readable(&self, at: Revision) -> Result<(), StoreError> {
        let options = GetOptions::new().with_keys_only();
        self.read_at(at, &self.layout.fence(), options).await.map(drop)
    }

    /// Reads keys at a revision of the store.
    async fn read_at(
        &self,
        at: Revision,
        first: &[u8],
        options: GetOptions,
    ) -> Result<GetResponse, StoreError> {
        self.at_revision(at, |at| {
            let (first, options) = (first.to_owned(), options.clone().with_revision(at));
            self.members.call(move |mut clients| {
                let (first, options) = (first.clone(), options.clone());
                async move { clients.kv.get(first, Some(options)).await }
            })
        })
        .await
    }

    /// Reads at a revision of the store. Other programs may have made later revisions in etcd and
    /// compacted them: the state at the oldest revision that is left is the same if the sentinel
    /// shows that no transaction of this store lies in between.
    ///
    /// # Errors
    /// The revision of the store is compacted.
    pub(super) async fn at_revision<T, F>(
        &self,
        at: Revision,
        read: impl Fn(i64) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut place = at;
        loop {
            match read(etcd_revision(place)).await {
                Err(CallError::Compacted) => place = self.equal_revision(at, place).await?,
                result => return Ok(result?),
            }
        }
    }

    /// A later revision of etcd with the same state of the store as `at`, instead of `compacted`,
    /// which etcd has compacted.
    ///
    /// # Errors
    /// There is none: the revision of the store is compacted.
    pub(super) async fn equal_revision(
        &self,
        at: Revision,
        compacted: Revision,
    ) -> Result<Revision, StoreError> {
        let oldest = compacted_revision(&self.members, &self.layout).await?;
        if oldest <= compacted {
            let reason = format!("etcd has compacted revision {compacted} and names {oldest}");
            return Err(CallError::other(reason).into());
        }
        let options = GetOptions::new().with_keys_only().with_revision(etcd_revision(oldest));
        let sentinel = self
            .members
            .call(|mut clients| {
                let (key, options) = (self.layout.sentinel(), options.clone());
                async move { clients.kv.get(key, Some(options)).await }
            })
            .await?;
        // Without a sentinel, any revision in between may be one of this store.
        let latest = sentinel.kvs().first().map_or(oldest, |kv| revision(kv.mod_revision()));
        if latest <= at {
            return Ok(oldest);
        }
        self.feed.raise_floor(latest);
        Err(StoreError::Compacted { requested: at, compacted: latest })
    }

    fn last_key(&self, found: &GetResponse) -> Option<Key> {
        match self.layout.read(found.kvs().last()?.key()) {
            StoredKey::Data(key) => Some(Key::new(key)),
            _ => None,
        }
    }
}

/// The number of entries to read next for a page that has some; 0 for all.
fn next_part(range: &Range, entries: usize, bytes: usize) -> usize {
    let left = if range.limit > 0 { range.limit - entries } else { usize::MAX };
    if range.bytes == 0 {
        return if left == usize::MAX { 0 } else { left };
    }
    if entries == 0 {
        return FIRST_PART.min(left);
    }
    let average = (bytes / entries).max(1);
    let needed = (range.bytes.saturating_sub(bytes)).div_ceil(average);
    needed.clamp(1, MAX_PART).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_page_follow_the_size_of_its_entries() {
        let range = |limit, bytes| Range { limit, bytes, ..Range::default() };
        assert_eq!(next_part(&range(0, 0), 0, 0), 0);
        assert_eq!(next_part(&range(7, 0), 0, 0), 7);
        assert_eq!(next_part(&range(0, 1000), 0, 0), FIRST_PART);
        assert_eq!(next_part(&range(7, 1000), 0, 0), 7);
        assert_eq!(next_part(&range(0, 1000), 10, 500), 10);
        assert_eq!(next_part(&range(0, usize::MAX), 10, 500), MAX_PART);
        assert_eq!(next_part(&range(12, 1000), 10, 500), 2);
    }
}
