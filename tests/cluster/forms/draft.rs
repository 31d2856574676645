//! A text that a grammar writes by chance.

use std::collections::BTreeSet;

/// A choice of a grammar: the construct that it stands for, and its text.
pub(super) type Choice = (&'static str, &'static [u8]);

/// A text, and the constructs in it.
pub(super) struct Draft {
    random: fastrand::Rng,
    pub(super) text: Vec<u8>,
    pub(super) constructs: BTreeSet<&'static str>,
    names: usize,
    /// Percentage of places with another text than the plain one.
    oddness: u8,
}

impl Draft {
    /// An empty text. Equal seeds give equal texts.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let oddness = *random.choice([1, 3, 6, 12].as_slice()).expect("the list is not empty");
        Self { random, text: Vec::new(), constructs: BTreeSet::new(), names: 0, oddness }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Writes a name that occurs once.
    pub(super) fn unique_name(&mut self) {
        self.names += 1;
        self.push(&format!("name{}", self.names));
    }

    /// Records a construct.
    pub(super) fn mark(&mut self, construct: &'static str) {
        self.constructs.insert(construct);
    }

    /// Returns true for the share of places that are odd.
    pub(super) fn is_odd(&mut self) -> bool {
        self.random.u8(..100) < self.oddness
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.random.usize(..end)
    }

    /// Writes one of the choices.
    pub(super) fn choose(&mut self, choices: &[Choice]) {
        let (construct, text) = choices[self.below(choices.len())];
        self.mark(construct);
        self.text.extend_from_slice(text);
    }

    /// Writes the plain text, or one of the odd choices.
    pub(super) fn value(&mut self, plain: &str, odd: &[Choice]) {
        if self.is_odd() { self.choose(odd) } else { self.push(plain) }
    }

    /// Damages the text in one place, now and then.
    pub(super) fn damage(&mut self) {
        if self.below(100) >= 4 || self.text.is_empty() {
            return;
        }
        self.mark("damage");
        let at = self.below(self.text.len());
        match self.below(3) {
            0 => self.text.truncate(at),
            1 => drop(self.text.remove(at)),
            _ => {
                const BYTES: &[u8] = b"{}[]:,\"'\\-#&*!|>%@`\n\t 0aye.+_~?\xff";
                let byte = BYTES[self.below(BYTES.len())];
                self.text.insert(at, byte);
            }
        }
    }
}
