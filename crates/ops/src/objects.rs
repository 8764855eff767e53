//! Objects that programs make (`bpf_obj_new`), and the trees and lists that they put them into.
//!
//! An object is a block of guest memory; a tree or list is known by the address of its root or head. What Linux keeps in the nodes is kept
//! here, so that nothing that a program does to them can break it. [kernel/bpf/helpers.c, bpf_rbtree_*, bpf_list_*]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use scxr_bpf::vm::Machine;

/// An object that a program made.
#[derive(Clone, Copy, Debug)]
struct Made {
    size: usize,
    refs: u32,
    /// Root or head of the collection that it is in.
    member_of: Option<u64>,
}

/// The objects of a scheduler, and its collections.
#[derive(Default)]
pub(crate) struct Objects {
    /// By address.
    made: RefCell<BTreeMap<u64, Made>>,
    /// By address of the root or head: the members' nodes, in order.
    collections: RefCell<BTreeMap<u64, VecDeque<u64>>>,
}

impl Objects {
    /// A new object of `size` bytes; 0: there is no memory.
    pub(crate) fn make(&self, m: &Machine, size: usize) -> u64 {
        let Some(address) = m.alloc(size) else { return 0 };
        self.made.borrow_mut().insert(address, Made { size, refs: 1, member_of: None });
        address
    }

    /// Does an object begin at `address`?
    pub(crate) fn is_object(&self, address: u64) -> bool {
        self.made.borrow().contains_key(&address)
    }

    /// The object that holds the node at `address`.
    pub(crate) fn of_node(&self, address: u64) -> Option<u64> {
        let made = self.made.borrow();
        let (start, object) = made.range(..=address).next_back()?;
        (address - start < object.size as u64).then_some(*start)
    }

    /// One more reference.
    pub(crate) fn acquire(&self, object: u64) -> bool {
        match self.made.borrow_mut().get_mut(&object) {
            Some(made) => {
                made.refs += 1;
                true
            }
            None => false,
        }
    }

    /// One reference less; the last one frees it.
    pub(crate) fn free(&self, m: &Machine, object: u64) {
        let mut made = self.made.borrow_mut();
        let Some(entry) = made.get_mut(&object) else { return };
        entry.refs -= 1;
        let Made { size, refs, .. } = *entry;
        if refs == 0 {
            made.remove(&object);
            m.free(object, size);
        }
    }

    /// Members of a collection, in order.
    pub(crate) fn members(&self, root: u64) -> VecDeque<u64> {
        self.collections.borrow().get(&root).cloned().unwrap_or_default()
    }

    /// The `nth` member of a collection.
    pub(crate) fn member(&self, root: u64, nth: usize) -> Option<u64> {
        self.collections.borrow().get(&root)?.get(nth).copied()
    }

    /// The last member.
    pub(crate) fn last(&self, root: u64) -> Option<u64> {
        self.collections.borrow().get(&root)?.back().copied()
    }

    /// Puts `node` of `object` in as the `nth` member (at the end if there are not so many); false: it is in a collection already.
    pub(crate) fn insert(&self, root: u64, nth: usize, node: u64, object: u64) -> bool {
        let mut made = self.made.borrow_mut();
        let Some(entry) = made.get_mut(&object).filter(|entry| entry.member_of.is_none()) else { return false };
        entry.member_of = Some(root);
        let mut collections = self.collections.borrow_mut();
        let members = collections.entry(root).or_default();
        members.insert(nth.min(members.len()), node);
        true
    }

    /// Takes `node` of `object` out of the collection; false: it is not in it.
    pub(crate) fn remove(&self, root: u64, node: u64, object: u64) -> bool {
        let mut made = self.made.borrow_mut();
        let Some(entry) = made.get_mut(&object).filter(|entry| entry.member_of == Some(root)) else { return false };
        entry.member_of = None;
        if let Some(members) = self.collections.borrow_mut().get_mut(&root) {
            members.retain(|&n| n != node);
        }
        true
    }
}
