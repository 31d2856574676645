//! `Limited`: a list of messages about one request with a maximum size.

use std::ops::Deref;

/// Maximum number of items of a [`Limited`] list.
pub(super) const MAX_ITEMS: usize = 100;
/// Number of bytes of text at which a [`Limited`] list is full. The last item may exceed it.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// List of messages with at most `MAX_ITEMS` items and about `MAX_TEXT_BYTES` bytes of text.
///
/// A small request can contain very many errors, each with a copy of a client-supplied text. Items
/// are therefore added lazily, with [`push_with`](Self::push_with) or [`Extend`], and are not built
/// once the list is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited<T> {
    items: Vec<T>,
    bytes: usize,
    is_cut: bool,
}

/// An item of a [`Limited`] list.
pub trait TextSize {
    /// Returns the length of all texts in bytes.
    fn text_bytes(&self) -> usize;
}

impl TextSize for String {
    fn text_bytes(&self) -> usize {
        self.len()
    }
}

impl<T: TextSize> Limited<T> {
    /// Adds an item. `make` is not called if the list is full.
    pub fn push_with(&mut self, make: impl FnOnce() -> T) {
        if self.is_full() {
            self.is_cut = true;
            return;
        }
        let item = make();
        self.bytes += item.text_bytes();
        self.items.push(item);
    }

    /// Adds the items of another list. The result is truncated if `other` is.
    pub fn append(&mut self, other: Self) {
        let is_cut = other.is_cut;
        self.extend(other.items);
        self.is_cut |= is_cut;
    }

    /// Returns true if the list takes no more items, so callers can stop searching.
    pub fn is_full(&self) -> bool {
        self.items.len() >= MAX_ITEMS || self.bytes >= MAX_TEXT_BYTES
    }

    /// Marks the list as incomplete, because the search for further items was stopped.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Returns true if there are more items than the list holds.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the items.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }

    /// Returns a list of converted items. Items beyond the limit are dropped.
    pub fn map<U: TextSize>(self, change: impl Fn(T) -> U) -> Limited<U> {
        let mut changed: Limited<U> = self.items.into_iter().map(change).collect();
        changed.is_cut |= self.is_cut;
        changed
    }
}

impl<T> Default for Limited<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bytes: 0, is_cut: false }
    }
}

impl<T> Deref for Limited<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T: TextSize> Extend<T> for Limited<T> {
    /// Takes items until the list is full, and one more to find out if it is complete.
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        let mut items = items.into_iter();
        while !self.is_cut {
            let Some(item) = items.next() else { return };
            self.push_with(|| item);
        }
    }
}

impl<T: TextSize> FromIterator<T> for Limited<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        list.extend(items);
        list
    }
}

impl<T: TextSize> From<T> for Limited<T> {
    fn from(item: T) -> Self {
        Self::from_iter([item])
    }
}

impl<T> IntoIterator for Limited<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_list_pulls_no_more_items() {
        let mut pulled = 0;
        let mut list: Limited<String> =
            (0..1_000_000).inspect(|_| pulled += 1).map(|at| at.to_string()).collect();
        assert_eq!((list.len(), pulled, list.is_cut()), (MAX_ITEMS, MAX_ITEMS + 1, true));
        list.push_with(|| unreachable!("the list is full"));
        list.extend(std::iter::from_fn(|| -> Option<String> { unreachable!("the list is full") }));
    }

    #[test]
    fn text_size_limits_the_list() {
        let list: Limited<String> =
            std::iter::repeat_n("x".repeat(MAX_TEXT_BYTES / 4), 50).collect();
        assert_eq!((list.len(), list.is_cut()), (4, true));
    }

    #[test]
    fn exactly_full_list_is_not_truncated() {
        let texts = |count: usize| (0..count).map(|at| at.to_string()).collect::<Limited<_>>();
        assert!(texts(MAX_ITEMS).is_full() && !texts(MAX_ITEMS).is_cut());
        let mut list = texts(1);
        list.append(texts(MAX_ITEMS + 1));
        assert!(list.is_cut());
        let mut list = texts(1);
        list.append(texts(MAX_ITEMS - 1));
        assert!(!list.is_cut());
    }
}
