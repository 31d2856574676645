//! Transactions of the store as transactions of etcd.
//!
//! Every transaction compares the fence besides its guards, and that of an elected replica compares
//! the key of its term. One that changes anything puts its write ID, to the sentinel or, with shared
//! keys, to a key of its own. One that only deletes can delete the sentinel instead, which needs no
//! space. If a comparison fails, etcd returns all compared keys.

use etcd_client::{
    Compare, CompareOp, GetOptions, ResponseHeader, Txn as EtcdTxn, TxnOp, TxnOpResponse,
    TxnResponse,
};

use crate::store::{
    Change, Current, Entry, Guard, Key, Outcome, Revision, StoreError, TermGuard, Txn,
};

use super::commit_log::{WriteId, etcd_revision, revision, write_id_value};
use super::layout::Layout;

/// Operations that etcd accepts in one transaction, unless `--max-txn-ops` sets another number.
const MAX_OPERATIONS: usize = 128;
/// Changes of a transaction of the store. The mark takes one more operation.
pub(super) const MAX_CHANGES: usize = MAX_OPERATIONS - 1;
/// Guards that etcd can compare, beside the fence and the term.
pub(super) const MAX_GUARDS: usize = MAX_OPERATIONS - 2;
/// Bytes of keys and values in a transaction. etcd accepts requests of 1.5 MiB, unless
/// `--max-request-bytes` sets another size; the rest is for the parts around them.
pub(super) const MAX_TXN_BYTES: usize = (3 << 19) - (64 << 10);

/// The answer of etcd to a transaction.
#[derive(Debug)]
pub(super) enum Answer {
    /// The outcome for the caller.
    Done(Outcome),
    /// The fence was moved, to this revision. Nothing was changed.
    Fenced(i64),
    /// The term for this work is over. Nothing was changed.
    TermOver(&'static str),
}

/// The condition that a transaction compares in place of guards that are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardForm {
    /// Each guard.
    Each,
    /// The store is at this revision, at which all guards hold.
    AllAt(Revision),
}

/// The mark that a transaction leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TxnMark {
    /// Puts the write ID to the sentinel.
    Sentinel(WriteId),
    /// Puts the write ID to a key of its own, because shared keys have no sentinel.
    LastWrite(WriteId),
    /// Deletes the sentinel, in an etcd without space.
    NoSentinel,
}

/// Rejects transactions beyond the limits of etcd, before anything is sent.
///
/// # Errors
/// `TooLarge` with the limit.
pub(super) fn check_limits(txn: &Txn) -> Result<(), StoreError> {
    let changes = txn.changes.len();
    if changes > MAX_CHANGES {
        let reason = format!(
            "{changes} changes in one transaction, the most in etcd is {MAX_CHANGES}: split the write"
        );
        return Err(StoreError::TooLarge { reason });
    }
    let bytes: u64 = txn.changes.iter().map(Change::stored_bytes).sum();
    if bytes > MAX_TXN_BYTES as u64 {
        let reason = format!(
            "{bytes} bytes in one transaction, the most in etcd is {MAX_TXN_BYTES}: split the write or shorten the object"
        );
        return Err(StoreError::TooLarge { reason });
    }
    Ok(())
}

/// The request for a transaction.
pub(super) fn request(
    layout: &Layout,
    txn: &Txn,
    form: GuardForm,
    mark: TxnMark,
    fence: i64,
) -> EtcdTxn {
    let mut compares = vec![Compare::mod_revision(layout.fence(), CompareOp::Equal, fence)];
    let mut reads = vec![TxnOp::get(layout.fence(), Some(GetOptions::new().with_keys_only()))];
    if let Some(TermGuard { work, begin }) = &txn.term {
        let key = layout.term(work);
        compares.push(Compare::create_revision(
            key.clone(),
            CompareOp::Equal,
            etcd_revision(*begin),
        ));
        reads.push(TxnOp::get(key, Some(GetOptions::new().with_keys_only())));
    }
    match form {
        GuardForm::Each => {
            compares.extend(txn.guards.iter().map(|guard| compare(layout, guard)));
            reads.extend(txn.guards.iter().map(|guard| TxnOp::get(layout.data(guard.key()), None)));
        }
        GuardForm::AllAt(at) => compares.push(Compare::mod_revision(
            layout.sentinel(),
            CompareOp::Equal,
            etcd_revision(at),
        )),
    }
    let sentinel = || TxnOp::get(layout.sentinel(), Some(GetOptions::new().with_keys_only()));
    let apply = || -> Vec<TxnOp> {
        let changes = txn.changes.iter().map(|change| operation(layout, change));
        let mark = match mark {
            TxnMark::Sentinel(id) => TxnOp::put(layout.sentinel(), write_id_value(id), None),
            TxnMark::LastWrite(id) => TxnOp::put(layout.last_write(), write_id_value(id), None),
            TxnMark::NoSentinel => TxnOp::delete(layout.sentinel(), None),
        };
        changes.chain([mark]).collect()
    };
    let operations = match effect(txn) {
        TxnEffect::Nothing => vec![sentinel()],
        TxnEffect::Something => apply(),
        TxnEffect::Unknown => {
            let absent = txn.changes.iter().map(|change| {
                Compare::create_revision(layout.data(change.key()), CompareOp::Equal, 0)
            });
            let nested = EtcdTxn::new().when(absent.collect::<Vec<_>>());
            vec![TxnOp::txn(nested.and_then(vec![sentinel()]).or_else(apply()))]
        }
    };
    EtcdTxn::new().when(compares).and_then(operations).or_else(reads)
}

/// The effect of a transaction whose guards hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TxnEffect {
    /// It deletes only keys that its guards prove to be missing, or nothing at all.
    Nothing,
    /// It puts a key, or deletes one that its guards prove to exist.
    Something,
    /// It deletes only keys, which may be missing.
    Unknown,
}

fn effect(txn: &Txn) -> TxnEffect {
    let guard = |key: &Key| txn.guards.iter().find(|guard| guard.key() == key);
    let mut effect = TxnEffect::Nothing;
    for change in &txn.changes {
        match (change, guard(change.key())) {
            (Change::Put(..), _) | (Change::Delete(_), Some(Guard::Unchanged(..))) => {
                return TxnEffect::Something;
            }
            (Change::Delete(_), Some(Guard::Absent(_))) => {}
            (Change::Delete(_), None) => effect = TxnEffect::Unknown,
        }
    }
    effect
}

/// The meaning of a response.
///
/// # Errors
/// The response has another form than the request demands.
pub(super) fn answer(txn: &Txn, response: &TxnResponse) -> Result<Answer, &'static str> {
    let at = response.header().map_or(0, ResponseHeader::revision);
    let mut answers = response.op_responses().into_iter();
    if response.succeeded() {
        let unchanged = match answers.next() {
            // A transaction without effect reads the sentinel.
            Some(TxnOpResponse::Get(sentinel)) => Some(sentinel),
            Some(TxnOpResponse::Txn(nested)) if nested.succeeded() => {
                match nested.op_responses().into_iter().next() {
                    Some(TxnOpResponse::Get(sentinel)) => Some(sentinel),
                    _ => return Err("etcd has not returned the sentinel"),
                }
            }
            _ => None,
        };
        // Without a sentinel, the revision of etcd is the latest one.
        let sentinel = unchanged.and_then(|found| Some(found.kvs().first()?.mod_revision()));
        let at = sentinel.unwrap_or(at);
        return Ok(Answer::Done(Outcome::Committed(revision(at))));
    }
    let mut found = || match answers.next() {
        Some(TxnOpResponse::Get(found)) => Ok(found),
        _ => Err("etcd has not returned a guarded key"),
    };
    let fence = found()?.kvs().first().map_or(0, etcd_client::KeyValue::mod_revision);
    if let Some(TermGuard { work, begin }) = &txn.term {
        let created = found()?.kvs().first().map_or(0, etcd_client::KeyValue::create_revision);
        if created != etcd_revision(*begin) {
            return Ok(Answer::TermOver(work));
        }
    }
    let mut refused = Vec::new();
    for guard in &txn.guards {
        let found = found()?;
        let kv = found.kvs().first();
        let entry = kv.map(|kv| entry(guard.key(), kv));
        if !guard.holds(entry.as_ref().map(|entry| entry.revision)) {
            refused.push(Current { key: guard.key().clone(), entry });
        }
    }
    Ok(if refused.is_empty() {
        Answer::Fenced(fence)
    } else {
        Answer::Done(Outcome::Refused(refused))
    })
}

/// An entry as etcd returns it.
pub(super) fn entry(key: &Key, kv: &etcd_client::KeyValue) -> Entry {
    let value = bytes::Bytes::copy_from_slice(kv.value());
    Entry { key: key.clone(), value, revision: revision(kv.mod_revision()) }
}

fn compare(layout: &Layout, guard: &Guard) -> Compare {
    let key = layout.data(guard.key());
    match guard {
        Guard::Absent(_) => Compare::create_revision(key, CompareOp::Equal, 0),
        Guard::Unchanged(_, at) => Compare::mod_revision(key, CompareOp::Equal, etcd_revision(*at)),
    }
}

fn operation(layout: &Layout, change: &Change) -> TxnOp {
    match change {
        Change::Put(key, value) => TxnOp::put(layout.data(key), value.as_ref(), None),
        Change::Delete(key) => TxnOp::delete(layout.data(key), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(guards: Vec<Guard>, changes: Vec<Change>) -> Txn {
        Txn { guards, changes, ..Txn::default() }
    }

    #[test]
    fn transactions_beyond_a_limit_name_it() {
        let put = |size: usize| Change::Put(Key::new("/a"), vec![0; size].into());
        let refused = |changes| check_limits(&txn(vec![], changes)).unwrap_err().to_string();
        check_limits(&txn(vec![], vec![put(1 << 20)])).unwrap();
        assert!(refused(vec![put(MAX_TXN_BYTES)]).contains("1507328"));
        assert!(refused(vec![put(0); MAX_CHANGES + 1]).contains("127"));
    }

    #[test]
    fn effect_of_deletions_depends_on_their_guards() {
        let key = Key::new("/a");
        let delete = || vec![Change::Delete(key.clone())];
        assert_eq!(effect(&txn(vec![], vec![])), TxnEffect::Nothing);
        assert_eq!(effect(&txn(vec![], delete())), TxnEffect::Unknown);
        assert_eq!(effect(&txn(vec![Guard::Absent(key.clone())], delete())), TxnEffect::Nothing);
        let unchanged = Guard::Unchanged(key.clone(), Revision(1));
        assert_eq!(effect(&txn(vec![unchanged], delete())), TxnEffect::Something);
    }
}
