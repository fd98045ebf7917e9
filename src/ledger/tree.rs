//! The Merkle tree of RFC 6962: roots, inclusion proofs and consistency proofs.
//!
//! Plain RFC 6962 and nothing clever. Two ways to the root exist on purpose: [`Frontier`] grows leaf by leaf, and
//! [`root_by_definition`] follows the recursive definition. The writer compares them before it signs.

use crate::hash::{Hash, node_hash};

/// The right edge of a tree: what is needed to append leaves and to know the root, at most 64 hashes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees that make up the tree, the largest (leftmost) first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut rest = self.size;
        while rest & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            rest >>= 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(Hash::of_empty_tree)
    }

    /// The peak over exactly the leaves `start..start + len`, when there is one.
    fn peak(&self, start: u64, len: u64) -> Option<Hash> {
        let mut at = 0;
        let mut left = self.size;
        for peak in &self.peaks {
            let width = 1u64 << (63 - left.leading_zeros());
            if (at, width) == (start, len) {
                return Some(*peak);
            }
            at += width;
            left -= width;
        }
        None
    }
}

/// The root of the tree `before` with `leaves` appended, by the recursive definition of RFC 6962 (2.1).
///
/// A second road to what [`Frontier::push`] computes, for the comparison before a signature.
pub fn root_by_definition(before: &Frontier, leaves: &[Hash]) -> Hash {
    let size = before.size + leaves.len() as u64;
    subtree_by_definition(before, leaves, 0, size).unwrap_or_else(Hash::of_empty_tree)
}

fn subtree_by_definition(before: &Frontier, leaves: &[Hash], start: u64, len: u64) -> Option<Hash> {
    if len == 0 {
        return None;
    }
    if let Some(peak) = before.peak(start, len) {
        return Some(peak);
    }
    if len == 1 {
        return leaves.get(usize::try_from(start.checked_sub(before.size)?).ok()?).copied();
    }
    let k = split(len);
    let left = subtree_by_definition(before, leaves, start, k)?;
    let right = subtree_by_definition(before, leaves, start + k, len - k)?;
    Some(node_hash(&left, &right))
}

/// The root of a perfect subtree from its leaves, or from the roots of perfect subtrees of one size.
pub(crate) fn perfect_root(mut row: Vec<Hash>) -> Hash {
    while row.len() > 1 {
        row = row
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                [alone] => Some(*alone),
                _ => None,
            })
            .collect();
    }
    row.first().copied().unwrap_or_else(Hash::of_empty_tree)
}

/// The largest power of two smaller than `len`, for `len` of 2 and more.
fn split(len: u64) -> u64 {
    1 << (63 - (len - 1).leading_zeros())
}

/// A proof was asked for that cannot exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such proof: {first} is outside a tree of {size} entries")]
pub struct OutOfRange {
    /// The index, or the smaller size, that was asked for.
    pub first: u64,
    /// The size of the tree.
    pub size: u64,
}

/// Gives the root of the perfect subtree at `level` (2^level leaves) whose first leaf is `index << level`.
pub trait Subtrees {
    /// Why a subtree could not be given.
    type Error: From<OutOfRange>;
    /// The root of that subtree.
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves `start..end`, where `start..end` is a range that RFC 6962 splits into.
fn range<S: Subtrees>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let len = end - start;
    if len.is_power_of_two() && start.is_multiple_of(len) {
        return source.subtree(len.trailing_zeros(), start >> len.trailing_zeros());
    }
    let k = split(len);
    let left = range(source, start, start + k)?;
    let right = range(source, start + k, end)?;
    Ok(node_hash(&left, &right))
}

/// The root of a tree of `size` leaves.
pub fn root<S: Subtrees>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(Hash::of_empty_tree()) } else { range(source, 0, size) }
}

/// The proof that leaf `index` is in the tree of `size` leaves: the siblings from the leaf up (RFC 6962, 2.1.1).
pub fn inclusion_proof<S: Subtrees>(source: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    if index >= size {
        return Err(OutOfRange { first: index, size }.into());
    }
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    siblings.into_iter().rev().map(|(start, end)| range(source, start, end)).collect()
}

/// The proof that the tree of `old` leaves is a beginning of the tree of `new` leaves (RFC 6962, 2.1.2).
///
/// Empty when `old` is 0 or equals `new`.
pub fn consistency_proof<S: Subtrees>(source: &mut S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    if old > new {
        return Err(OutOfRange { first: old, size: new }.into());
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut parts = Vec::new();
    let mut whole = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            parts.push((middle, end));
            end = middle;
        } else {
            parts.push((start, middle));
            start = middle;
            whole = false;
        }
    }
    if !whole {
        parts.push((start, end));
    }
    parts.into_iter().rev().map(|(start, end)| range(source, start, end)).collect()
}

/// A proof that does not prove what it was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size, or the sizes are the wrong way round.
    #[error("the index or the sizes are out of range")]
    OutOfRange,
    /// More or fewer hashes than such a proof has.
    #[error("the proof has the wrong length")]
    WrongLength,
    /// The computed root is another one.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// Holds an inclusion proof against a root (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if sn == 0 {
            return Err(ProofError::WrongLength);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            hash = node_hash(sibling, &hash);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    if sn != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Holds a consistency proof against two roots (RFC 9162, 2.1.4.2). A tree is consistent with the empty one.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(ProofError::WrongLength);
        }
        let agrees = if old == 0 { *old_root == Hash::of_empty_tree() } else { old_root == new_root };
        return if agrees { Ok(()) } else { Err(ProofError::WrongRoot) };
    }
    let mut path = proof.iter();
    let first = if old.is_power_of_two() { *old_root } else { *path.next().ok_or(ProofError::WrongLength)? };
    let (mut fn_, mut sn) = (old - 1, new - 1);
    while fn_ & 1 == 1 {
        fn_ >>= 1;
        sn >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for part in path {
        if sn == 0 {
            return Err(ProofError::WrongLength);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            old_hash = node_hash(part, &old_hash);
            new_hash = node_hash(part, &new_hash);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, part);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    if sn != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}
