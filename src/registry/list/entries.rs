//! The entries behind a list: read at one revision, in pages of bounded size, each on demand.
//!
//! The store holds no state between two pages, so slow clients do not pin old revisions. In turn a
//! list fails if its revision is compacted before the last page is read.

use std::sync::Arc;
use std::{mem, vec};

use crate::meta::Status;
use crate::registry::keys::KeyMatch;
use crate::registry::page::{self, PageOptions};
use crate::registry::storage_errors::{MAX_NAMED, status_of, unreadable};
use crate::registry::workload::{LARGE_OBJECT, Workload};
use crate::store::{At, Entry, Key, Outline, Page, Range, Revision, Store, StoreError};

/// The size of a page, in bytes of values. Reading and encoding one takes a few milliseconds.
const PAGE_BYTES: usize = 256 << 10;
/// The memory that is reserved to read a page, whose size is unknown: its bytes, and an entry of the
/// default maximum size that exceeds them.
const UNREAD_PAGE: u64 = 4 << 20;
/// Memory of a page besides its entries, in bytes: a chunk of the response and buffers.
const PAGE_OVERHEAD: u64 = 512 << 10;
/// The maximum memory of a page that is kept while the client reads, in bytes. A larger one is read
/// again.
const MAX_IDLE_PAGE: u64 = 1 << 20;

/// The entries under a prefix, in the order of their keys.
#[derive(Clone)]
pub struct Entries {
    store: Arc<dyn Store>,
    prefix: String,
    options: PageOptions,
    /// The first key of the next page.
    start: Option<String>,
    /// Entries of the current page that are not consumed yet.
    page: vec::IntoIter<Entry>,
    /// The revision of the list; none before the first page.
    revision: Option<Revision>,
    /// True if entries follow the current page.
    more: bool,
    /// The number of entries that may still be read; none if unlimited.
    budget: Option<usize>,
    key_match: KeyMatch,
    /// The number of entries that follow, if it was counted and none was read since.
    remaining: Option<u64>,
    charge: Option<EntryCharge>,
}

/// The memory of an entry of a size while the request uses it.
pub type EntryCost = fn(&Workload, usize) -> u64;

/// The charge for the memory of entries and their objects.
#[derive(Clone)]
struct EntryCharge {
    load: Workload,
    /// The memory of an entry of this size while it is decoded and encoded.
    cost: EntryCost,
}

impl Entries {
    /// The entries whose keys start with `prefix`, from `prefix` plus `start` on.
    pub fn new(
        store: Arc<dyn Store>,
        prefix: String,
        start: Option<&str>,
        options: PageOptions,
    ) -> Self {
        let start = start.map(|start| format!("{prefix}{start}"));
        let page = Vec::new().into_iter();
        let (key_match, remaining) = (KeyMatch::Prefix, None);
        Self {
            store,
            prefix,
            options,
            start,
            page,
            revision: None,
            more: true,
            budget: None,
            key_match,
            remaining,
            charge: None,
        }
    }

    /// Charges the memory of pages to a request. `cost` is the memory of an entry of a size while it
    /// is decoded and encoded; entries are decoded one by one.
    pub fn charged_to(self, load: &Workload, cost: EntryCost) -> Self {
        Self { charge: Some(EntryCharge { load: load.clone(), cost }), ..self }
    }

    /// Restricts the entries to the key `prefix` plus `name`. No other entry is read.
    pub fn exact(self, name: &str) -> Self {
        Self { prefix: self.prefix + name, budget: Some(1), key_match: KeyMatch::Exact, ..self }
    }

    /// Limits the number of entries; 0 for all.
    pub fn limited_to(self, entries: usize) -> Self {
        Self { budget: (entries > 0).then_some(entries), ..self }
    }

    /// The prefix of the keys.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The revision of the list; 0 before the first entry was read.
    pub fn revision(&self) -> Revision {
        self.revision.unwrap_or_default()
    }

    /// Returns true if entries follow, regardless of the limit. Valid after the first read.
    pub fn has_more(&self) -> bool {
        self.more || self.page.len() > 0
    }

    /// Returns the next entry; none at the end.
    ///
    /// # Errors
    /// 429 if the memory is used up, store failures, 410 for a compacted revision, 504 for one in the
    /// future.
    pub async fn next(&mut self) -> Result<Option<Entry>, Status> {
        self.peek().await?;
        let entry = self.page.next();
        if let Some(entry) = &entry {
            self.start = Some(next_key(entry.key.as_str()));
            self.remaining = None;
        }
        Ok(entry)
    }

    /// Returns the rest of the current page, or the next page; empty at the end.
    ///
    /// # Errors
    /// The errors of [`Entries::next`].
    pub async fn next_page(&mut self) -> Result<Vec<Entry>, Status> {
        self.peek().await?;
        let page = mem::take(&mut self.page).collect::<Vec<_>>();
        if let Some(last) = page.last() {
            self.start = Some(next_key(last.key.as_str()));
            self.remaining = None;
        }
        Ok(page)
    }

    /// Returns the next entry without consuming it.
    ///
    /// # Errors
    /// The errors of [`Entries::next`].
    pub async fn peek(&mut self) -> Result<Option<&Entry>, Status> {
        if self.page.len() == 0 && self.more && self.budget != Some(0) {
            let page = match self.charge.clone() {
                None => self.read_page().await?,
                Some(charge) => self.read_charged_page(&charge).await?,
            };
            self.budget = self.budget.map(|budget| budget.saturating_sub(page.entries.len()));
            (self.page, self.more) = (page.entries.into_iter(), page.more);
        }
        Ok(self.page.as_slice().first())
    }

    async fn read_page(&mut self) -> Result<Page, Status> {
        let range = Range { bytes: PAGE_BYTES, ..self.range(self.budget.unwrap_or_default()) };
        self.check_known_damage(&range).await?;
        let mut page = match self.store.range(range).await {
            Ok(page) => page,
            // The range may contain longer keys with this prefix.
            Err(StoreError::Damaged { key, .. })
                if self.key_match == KeyMatch::Exact && key.as_str() != self.prefix =>
            {
                Page { entries: Vec::new(), revision: self.outline(1).await?.revision, more: false }
            }
            Err(StoreError::Damaged { key, revision }) => {
                return Err(self.name_damage((key, revision)).await);
            }
            Err(error) => return Err(self.status_of_failure(&error)),
        };
        if self.key_match == KeyMatch::Exact {
            // The range may contain longer keys with this prefix.
            page.entries.retain(|entry| entry.key.as_str() == self.prefix);
            page.more = false;
        }
        self.fix_revision(page.revision)?;
        Ok(page)
    }

    /// Reads a page when its memory is reserved. A page that needs more than was expected is dropped
    /// and read again, so that waiting requests hold no page.
    async fn read_charged_page(&mut self, charge: &EntryCharge) -> Result<Page, Status> {
        let mut expected = UNREAD_PAGE;
        loop {
            charge.load.reserve_memory(expected).await?;
            let page = self.read_page().await?;
            let needed = charge.of(&page.entries);
            if needed <= expected {
                charge.load.shrink_to(needed);
                if page.entries.iter().any(|entry| entry.value.len() > LARGE_OBJECT) {
                    charge.load.enter_slot().await;
                }
                return Ok(page);
            }
            expected = needed;
        }
    }

    /// Releases memory until the next entry is needed, except for `kept` bytes.
    pub fn pause(&mut self, kept: u64) {
        let Some(charge) = &self.charge else {
            return;
        };
        let rest = self.page.as_slice();
        let needed = if rest.is_empty() { 0 } else { charge.of(rest) };
        if needed <= MAX_IDLE_PAGE {
            charge.load.shrink_to(needed + kept);
            return;
        }
        charge.load.shrink_to(kept);
        self.budget = self.budget.map(|budget| budget + rest.len());
        (self.page, self.more) = (Vec::new().into_iter(), true);
    }

    /// Reads the entry of a key, regardless of the position.
    ///
    /// # Errors
    /// The errors of [`Entries::next`].
    pub async fn find(&self, key: &str) -> Result<Option<Entry>, Status> {
        if let Some(charge) = &self.charge {
            charge.load.reserve_memory(UNREAD_PAGE).await?;
        }
        let range = Range { prefix: key.into(), start: Some(key.into()), ..self.range(1) };
        let page = self.store.range(range).await.map_err(|error| self.status_of_failure(&error))?;
        Ok(page.entries.into_iter().next().filter(|entry| entry.key.as_str() == key))
    }

    /// Counts the entries that follow, regardless of the limit.
    ///
    /// # Errors
    /// The errors of [`Entries::next`].
    pub async fn remaining(&self) -> Result<u64, Status> {
        match self.remaining {
            Some(remaining) => Ok(remaining),
            None => Ok(self.outline(0).await?.entries),
        }
    }

    /// Outlines the next `limit` entries, or all for 0, and counts those that follow.
    async fn outline(&self, limit: usize) -> Result<Outline, Status> {
        self.store.outline(self.range(limit)).await.map_err(|error| self.status_of_failure(&error))
    }

    /// Skips entries without reading their values. Returns the key of the last skipped entry.
    ///
    /// # Errors
    /// The errors of [`Entries::next`].
    pub async fn skip(&mut self, entries: usize) -> Result<Option<String>, Status> {
        let outline = self.outline(entries).await?;
        self.fix_revision(outline.revision)?;
        let last = outline.last.map(|key| key.as_str().to_owned());
        self.page = Vec::new().into_iter();
        self.more = outline.remaining > 0;
        self.remaining = Some(outline.remaining);
        self.start = last.as_deref().map(next_key).or(self.start.take());
        Ok(last)
    }

    /// Rejects a list before its first page if an entry of it is known to be damaged.
    async fn check_known_damage(&self, range: &Range) -> Result<(), Status> {
        if self.revision.is_some() || range.at != At::Now {
            return Ok(());
        }
        let mut damaged = self.store.known_damage(&self.prefix);
        if damaged.is_empty() {
            return Ok(());
        }
        let last = match self.budget {
            None => None,
            Some(_) => Some(self.outline(range.limit).await?.last),
        };
        damaged.retain(|(key, _)| {
            let is_before = |last: &Option<Key>| last.as_ref().is_some_and(|last| key <= last);
            range.start.as_deref().is_none_or(|start| key.as_str() >= start)
                && last.as_ref().is_none_or(is_before)
                && (self.key_match == KeyMatch::Prefix || key.as_str() == self.prefix)
        });
        if damaged.is_empty() { Ok(()) } else { Err(unreadable(&self.prefix, &damaged)) }
    }

    /// The Status for a damaged entry, which also names other damaged ones of the list after it.
    async fn name_damage(&self, first: (Key, Revision)) -> Status {
        let mut damaged = vec![first];
        let mut range = Range { bytes: PAGE_BYTES, ..self.range(0) };
        while damaged.len() <= MAX_NAMED && self.key_match == KeyMatch::Prefix {
            let (read, is_last) = match self.store.range(range.clone()).await {
                Ok(Page { entries, more, .. }) => {
                    (entries.last().map(|entry| entry.key.clone()), !more)
                }
                Err(StoreError::Damaged { key, revision }) => {
                    if damaged.last().is_none_or(|(last, _)| *last < key) {
                        damaged.push((key.clone(), revision));
                    }
                    (Some(key), false)
                }
                Err(error) => return self.status_of_failure(&error),
            };
            let Some(read) = read.filter(|_| !is_last) else { break };
            range.start = Some(next_key(read.as_str()));
        }
        unreadable(&self.prefix, &damaged)
    }

    fn range(&self, limit: usize) -> Range {
        let at = self.revision.map_or(self.options.at, At::Revision);
        Range { prefix: self.prefix.clone(), start: self.start.clone(), limit, at, bytes: 0 }
    }

    /// Keeps the revision of the first read, which must not be older than required.
    fn fix_revision(&mut self, revision: Revision) -> Result<(), Status> {
        let at_least = self.options.at_least;
        if revision < at_least {
            return Err(status_of(&StoreError::Future { requested: at_least, current: revision }));
        }
        self.revision = Some(revision);
        Ok(())
    }

    /// The Status for a store failure. A continued list gets a token for the latest revision.
    fn status_of_failure(&self, error: &StoreError) -> Status {
        match (error, &self.options.start) {
            (StoreError::Compacted { .. }, Some(start)) => page::expired(start),
            _ => status_of(error),
        }
    }
}

impl EntryCharge {
    /// The memory of these entries, of which the largest one is decoded.
    fn of(&self, entries: &[Entry]) -> u64 {
        let sizes = entries.iter().map(|entry| entry.value.len());
        let largest = sizes.clone().max().unwrap_or_default();
        PAGE_OVERHEAD + sizes.sum::<usize>() as u64 + (self.cost)(&self.load, largest)
    }
}

/// The first possible key after `key`.
fn next_key(key: &str) -> String {
    format!("{key}\0")
}
