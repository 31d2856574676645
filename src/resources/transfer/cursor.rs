//! Cursors over the objects of an endpoint.

use std::collections::VecDeque;

use super::endpoint::{ListedObject, TransferEndpoint, TransferError, TransferList};
use super::name::TransferName;

/// A cursor over a list. It holds one page.
pub(super) struct TransferCursor<'a> {
    list: Box<dyn TransferList + 'a>,
    objects: VecDeque<ListedObject>,
    unreadable: Vec<String>,
    version: Option<u64>,
    is_at_end: bool,
}

impl<'a> TransferCursor<'a> {
    pub(super) fn new(endpoint: &'a dyn TransferEndpoint) -> Self {
        Self {
            list: endpoint.list(),
            objects: VecDeque::new(),
            unreadable: Vec::new(),
            version: None,
            is_at_end: false,
        }
    }

    /// The next object; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<ListedObject>, TransferError> {
        self.fill().await?;
        Ok(self.objects.pop_front())
    }

    /// Passes all objects before `name`, and returns their number and the object of that name.
    pub(super) async fn seek(
        &mut self,
        name: &TransferName,
    ) -> Result<(u64, Option<ListedObject>), TransferError> {
        let mut passed = 0;
        loop {
            self.fill().await?;
            match self.objects.front() {
                Some(listed) if listed.name < *name => {
                    self.objects.pop_front();
                    passed += 1;
                }
                Some(listed) if listed.name == *name => {
                    return Ok((passed, self.objects.pop_front()));
                }
                _ => return Ok((passed, None)),
            }
        }
    }

    /// Passes all further objects, and returns their number.
    pub(super) async fn pass_rest(&mut self) -> Result<u64, TransferError> {
        let mut passed = 0;
        loop {
            self.fill().await?;
            if self.objects.is_empty() {
                return Ok(passed);
            }
            passed += self.objects.drain(..).count() as u64;
        }
    }

    /// Returns true if the next object is in another page, or if there is none.
    pub(super) fn is_at_page_end(&self) -> bool {
        self.objects.is_empty()
    }

    /// The sentences about unreadable entries since the last call.
    pub(super) fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unreadable)
    }

    /// The resourceVersion of the first page; 0 before it was read.
    pub(super) fn version(&self) -> u64 {
        self.version.unwrap_or_default()
    }

    /// Reads pages until an object is known or the end is reached.
    async fn fill(&mut self) -> Result<(), TransferError> {
        while self.objects.is_empty() && !self.is_at_end {
            match self.list.next_page().await? {
                None => self.is_at_end = true,
                Some(page) => {
                    self.version.get_or_insert(page.version);
                    self.objects = page.objects.into();
                    self.unreadable.extend(page.unreadable);
                }
            }
        }
        Ok(())
    }
}
