//! The tree against two other people's readings of RFC 6962: ct-merkle and tlog_tiles.

use std::cell::RefCell;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use ledger::tree::{
    self, Frontier, OutOfRange, Subtrees, consistency_proof, inclusion_proof, root_by_definition, verify_consistency,
    verify_inclusion,
};
use ledger::{Hash, leaf_hash, node_hash};
use proptest::prelude::*;
use sha2::Sha256;

/// Subtrees straight from the leaves.
struct Leaves(Vec<Hash>);

impl Subtrees for Leaves {
    type Error = OutOfRange;
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, OutOfRange> {
        if level == 0 {
            let size = self.0.len() as u64;
            return self.0.get(index as usize).copied().ok_or(OutOfRange { first: index, size });
        }
        let left = self.subtree(level - 1, 2 * index)?;
        let right = self.subtree(level - 1, 2 * index + 1)?;
        Ok(node_hash(&left, &right))
    }
}

fn bytes(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn leaves(size: u64) -> Leaves {
    Leaves((0..size).map(|n| leaf_hash(&bytes(n))).collect())
}

fn ct_tree(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|n| tree.push(bytes(n)));
    tree
}

fn concat(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

/// A store of hashes as tlog_tiles numbers them.
#[derive(Default)]
struct Tiles(RefCell<Vec<tlog_tiles::Hash>>);

impl tlog_tiles::HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0.borrow()[*index as usize]).collect())
    }
}

fn tiles(size: u64) -> Tiles {
    let tiles = Tiles::default();
    for n in 0..size {
        let new = tlog_tiles::stored_hashes(n, &bytes(n), &tiles).unwrap();
        tiles.0.borrow_mut().extend(new);
    }
    tiles
}

#[test]
fn every_root_inclusion_and_consistency_proof_up_to_40_entries_is_the_one_both_oracles_give() {
    let mut frontier = Frontier::new();
    let mut roots = vec![frontier.root()];
    let tiles = tiles(40);
    for size in 1..=40u64 {
        frontier.push(leaf_hash(&bytes(size - 1)));
        let mut source = leaves(size);
        let root = frontier.root();
        assert_eq!(root, tree::root(&mut source, size).unwrap());
        let oracle = ct_tree(size);
        let ct_root = RootHash::<Sha256>::new(root.0.into(), size);
        assert!(oracle.root() == ct_root, "{size}");
        let tl_root = tlog_tiles::tree_hash(size, &tiles).unwrap();
        assert_eq!(tl_root.0, root.0);
        for index in 0..size {
            let proof = inclusion_proof(&mut source, index, size).unwrap();
            assert_eq!(concat(&proof), oracle.prove_inclusion(index as usize).as_bytes());
            let theirs = tlog_tiles::prove_record(size, index, &tiles).unwrap();
            assert_eq!(concat(&proof), theirs.iter().flat_map(|hash| hash.0).collect::<Vec<_>>());
            let leaf = leaf_hash(&bytes(index));
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            let ours = InclusionProof::<Sha256>::try_from_bytes(concat(&proof)).unwrap();
            ct_root.verify_inclusion(&bytes(index), index, &ours).unwrap();
            assert!(verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root).is_err() || size == 1);
        }
        for old in 1..=size {
            let proof = consistency_proof(&mut source, old, size).unwrap();
            let old_root = if old == size { root } else { roots[old as usize] };
            verify_consistency(old, size, &proof, &old_root, &root).unwrap();
            let theirs = tlog_tiles::prove_tree(size, old, &tiles).unwrap();
            assert_eq!(concat(&proof), theirs.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), "{old} {size}");
            if old < size {
                assert_eq!(concat(&proof), oracle.prove_consistency((size - old) as usize).as_bytes(), "{old} {size}");
                let ours = ConsistencyProof::<Sha256>::try_from_bytes(concat(&proof)).unwrap();
                ct_root.verify_consistency(&RootHash::new(old_root.0.into(), old), &ours).unwrap();
            }
        }
        roots.push(root);
    }
}

#[test]
fn the_empty_tree_and_what_cannot_be_proven() {
    assert_eq!(Hash::of_empty_tree().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut source = leaves(5);
    assert_eq!(inclusion_proof(&mut source, 5, 5), Err(OutOfRange { first: 5, size: 5 }));
    assert_eq!(consistency_proof(&mut source, 6, 5), Err(OutOfRange { first: 6, size: 5 }));
    let root = tree::root(&mut source, 5).unwrap();
    verify_consistency(0, 5, &[], &Hash::of_empty_tree(), &root).unwrap();
    assert!(verify_consistency(0, 5, &[], &root, &root).is_err());
    assert!(verify_consistency(5, 4, &[], &root, &root).is_err());
    assert!(verify_inclusion(&root, 0, 0, &[], &root).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_to_the_root_agree_wherever_a_batch_begins(old in 0u64..600, batch in 0u64..600) {
        let all = leaves(old + batch).0;
        let mut before = Frontier::new();
        all[..old as usize].iter().for_each(|leaf| before.push(*leaf));
        let mut after = before.clone();
        all[old as usize..].iter().for_each(|leaf| after.push(*leaf));
        prop_assert_eq!(root_by_definition(&before, &all[old as usize..]), after.root());
        prop_assert_eq!(tree::root(&mut Leaves(all), old + batch).unwrap(), after.root());
    }

    #[test]
    fn a_changed_proof_never_holds(size in 2u64..300, at in any::<u64>(), old in any::<u64>(), flip in any::<usize>()) {
        let mut source = leaves(size);
        let (index, old) = (at % size, 1 + old % (size - 1));
        let root = tree::root(&mut source, size).unwrap();
        let old_root = tree::root(&mut source, old).unwrap();
        let leaf = source.0[index as usize];

        let proof = inclusion_proof(&mut source, index, size).unwrap();
        let (hash, byte) = (flip % proof.len(), flip / 7 % 32);
        let mut changed = proof.clone();
        changed[hash].0[byte] ^= 1 << (flip % 8);
        prop_assert!(verify_inclusion(&leaf, index, size, &changed, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &[proof.as_slice(), &[leaf]].concat(), &root).is_err());

        let proof = consistency_proof(&mut source, old, size).unwrap();
        let mut changed = proof.clone();
        changed[flip % proof.len()].0[byte] ^= 1 << (flip % 8);
        prop_assert!(verify_consistency(old, size, &changed, &old_root, &root).is_err());
        prop_assert!(verify_consistency(old, size, &proof[1..], &old_root, &root).is_err());
        let longer = [proof.as_slice(), &[leaf]].concat();
        prop_assert!(verify_consistency(old, size, &longer, &old_root, &root).is_err());
    }

    #[test]
    fn proofs_over_larger_trees_satisfy_the_oracles_verifier(size in 1u64..2000, at in any::<u64>(), old in any::<u64>()) {
        let mut source = leaves(size);
        let (index, old) = (at % size, 1 + old % size);
        let root = tlog_tiles::Hash(tree::root(&mut source, size).unwrap().0);
        let old_root = tlog_tiles::Hash(tree::root(&mut source, old).unwrap().0);
        let theirs = |proof: Vec<Hash>| proof.into_iter().map(|hash| tlog_tiles::Hash(hash.0)).collect::<Vec<_>>();
        let inclusion = theirs(inclusion_proof(&mut source, index, size).unwrap());
        let leaf = tlog_tiles::record_hash(&bytes(index));
        prop_assert!(tlog_tiles::check_record(&inclusion, size, root, index, leaf).is_ok());
        let consistency = theirs(consistency_proof(&mut source, old, size).unwrap());
        prop_assert!(tlog_tiles::check_tree(&consistency, size, root, old, old_root).is_ok());
    }
}
