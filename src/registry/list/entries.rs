//! The rows behind a list, as of one revision: read in pages of bounded size, each when those before are used up.
//!
//! Nothing is held in the store between two pages, so that a slow client keeps no old data alive. The price: a list that
//! takes longer than its revision is kept cannot be read to its end.

use std::sync::Arc;
use std::{mem, vec};

use crate::meta::Status;
use crate::registry::keys::KeyMatch;
use crate::registry::page::{self, PageOptions};
use crate::registry::storage_errors::status_of;
use crate::store::{At, Entry, Outline, Range, Revision, Store, StoreError};

/// Bytes of values that are read at a time. Reading and writing them takes a few milliseconds, in which others wait.
const PAGE_BYTES: usize = 256 << 10;

/// The entries under a prefix, in the order of their keys.
#[derive(Clone)]
pub struct Entries {
    store: Arc<dyn Store>,
    prefix: String,
    options: PageOptions,
    /// The key to go on from.
    start: Option<String>,
    /// What was read and is not used yet.
    page: vec::IntoIter<Entry>,
    /// The revision that is looked at; none before the first page.
    revision: Option<Revision>,
    /// Whether entries follow behind the page.
    more: bool,
    /// How many entries may still be read; none where any number may.
    budget: Option<usize>,
    key_match: KeyMatch,
    /// How many entries follow, where that was counted and none was read since.
    remaining: Option<u64>,
}

impl Entries {
    /// The entries whose keys start with `prefix`, from where `start` follows it.
    pub fn new(store: Arc<dyn Store>, prefix: String, start: Option<&str>, options: PageOptions) -> Self {
        let start = start.map(|start| format!("{prefix}{start}"));
        let page = Vec::new().into_iter();
        let (key_match, remaining) = (KeyMatch::Prefix, None);
        Self { store, prefix, options, start, page, revision: None, more: true, budget: None, key_match, remaining }
    }

    /// Of these only the one whose key ends with `name` behind the prefix. No other is read.
    pub fn exact(self, name: &str) -> Self {
        Self { prefix: self.prefix + name, budget: Some(1), key_match: KeyMatch::Exact, ..self }
    }

    /// The same, so many at most; 0 for all.
    pub fn limited_to(self, entries: usize) -> Self {
        Self { budget: (entries > 0).then_some(entries), ..self }
    }

    /// What stands before the names in the keys.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The revision that is looked at; 0 before the first entry was read.
    pub fn revision(&self) -> Revision {
        self.revision.unwrap_or_default()
    }

    /// Whether entries follow, even if no more may be read. Right once the first was read.
    pub fn has_more(&self) -> bool {
        self.more || self.page.len() > 0
    }

    /// The next entry.
    ///
    /// # Errors
    /// Failures of the store; 410 and 504 for a revision that cannot be had.
    pub async fn next(&mut self) -> Result<Option<Entry>, Status> {
        self.peek().await?;
        let entry = self.page.next();
        if let Some(entry) = &entry {
            self.start = Some(next_key(entry.key.as_str()));
            self.remaining = None;
        }
        Ok(entry)
    }

    /// Those entries that were read together with the next one, all that follow it; none at the end.
    ///
    /// # Errors
    /// As for [`Entries::next`].
    pub async fn next_page(&mut self) -> Result<Vec<Entry>, Status> {
        self.peek().await?;
        let page = mem::take(&mut self.page).collect::<Vec<_>>();
        if let Some(last) = page.last() {
            self.start = Some(next_key(last.key.as_str()));
            self.remaining = None;
        }
        Ok(page)
    }

    /// The entry that is next.
    ///
    /// # Errors
    /// As for [`Entries::next`].
    pub async fn peek(&mut self) -> Result<Option<&Entry>, Status> {
        if self.page.len() == 0 && self.more && self.budget != Some(0) {
            let page =
                self.store.range(Range { bytes: PAGE_BYTES, ..self.range(self.budget.unwrap_or_default()) }).await;
            let mut page = page.map_err(|error| self.status_of_failure(&error))?;
            if self.key_match == KeyMatch::Exact {
                // Behind the key that is wanted, or in its place, there may be others that begin like it.
                page.entries.retain(|entry| entry.key.as_str() == self.prefix);
                page.more = false;
            }
            self.fix_revision(page.revision)?;
            self.budget = self.budget.map(|budget| budget.saturating_sub(page.entries.len()));
            (self.page, self.more) = (page.entries.into_iter(), page.more);
        }
        Ok(self.page.as_slice().first())
    }

    /// The entry with this key, wherever it stands.
    ///
    /// # Errors
    /// As for [`Entries::next`].
    pub async fn find(&self, key: &str) -> Result<Option<Entry>, Status> {
        let range = Range { prefix: key.into(), start: Some(key.into()), ..self.range(1) };
        let page = self.store.range(range).await.map_err(|error| self.status_of_failure(&error))?;
        Ok(page.entries.into_iter().next().filter(|entry| entry.key.as_str() == key))
    }

    /// How many entries follow, be it more than may be read.
    ///
    /// # Errors
    /// As for [`Entries::next`].
    pub async fn remaining(&self) -> Result<u64, Status> {
        match self.remaining {
            Some(remaining) => Ok(remaining),
            None => Ok(self.outline(0).await?.entries),
        }
    }

    /// How the next `limit` entries would end, and how many follow them; 0 for all.
    async fn outline(&self, limit: usize) -> Result<Outline, Status> {
        self.store.outline(self.range(limit)).await.map_err(|error| self.status_of_failure(&error))
    }

    /// Goes on by so many entries, or to the end, without reading them; the key of the last of them.
    ///
    /// # Errors
    /// As for [`Entries::next`].
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

    fn range(&self, limit: usize) -> Range {
        let at = self.revision.map_or(self.options.at, At::Revision);
        Range { prefix: self.prefix.clone(), start: self.start.clone(), limit, at, bytes: 0 }
    }

    /// Stays with the revision that was read first, which must be new enough.
    fn fix_revision(&mut self, revision: Revision) -> Result<(), Status> {
        let at_least = self.options.at_least;
        if revision < at_least {
            return Err(status_of(&StoreError::Future { requested: at_least, current: revision }));
        }
        self.revision = Some(revision);
        Ok(())
    }

    /// The status that tells of a failure. Whoever continues an old list can go on in another way.
    fn status_of_failure(&self, error: &StoreError) -> Status {
        match (error, &self.options.start) {
            (StoreError::Compacted { .. }, Some(start)) => page::expired(start),
            _ => status_of(error),
        }
    }
}

/// The first key after this one.
fn next_key(key: &str) -> String {
    format!("{key}\0")
}
