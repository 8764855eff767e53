//! The queue of waiting entities, ordered by deadline: a treap over an arena of nodes.
//!
//! Entities of equal deadline stand in the order of their insertion. Each node also knows the least vruntime and the least
//! and greatest slice below it, so that the eligible entity of the earliest deadline is found in O(log n) (rule 1.1,
//! 2.3e) [__enqueue_entity, pick_eevdf]. Heights come from a fixed sequence: nothing is random about it.

use crate::ids::TaskId;

const NIL: u32 = u32::MAX;

/// Where an entity stands in the timeline; unique for each insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Key {
    deadline: i64,
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    height: u32,
    left: u32,
    right: u32,
    task: TaskId,
    vruntime: i64,
    slice: u64,
    min_vruntime: i64,
    min_slice: u64,
    max_slice: u64,
}

/// The timeline.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
    seq: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { nodes: Vec::new(), free: Vec::new(), root: NIL, seq: 0 }
    }
}

/// A sequence without visible order [splitmix64].
fn mix(n: u64) -> u32 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 32) as u32
}

impl Timeline {
    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.root == NIL
    }

    fn at(&self, n: u32) -> &Node {
        &self.nodes[n as usize]
    }

    /// Adds an entity behind those of the same deadline.
    pub(crate) fn insert(&mut self, task: TaskId, deadline: i64, vruntime: i64, slice: u64) -> Key {
        self.seq += 1;
        let key = Key { deadline, seq: self.seq };
        let node = Node {
            key,
            height: mix(self.seq),
            left: NIL,
            right: NIL,
            task,
            vruntime,
            slice,
            min_vruntime: vruntime,
            min_slice: slice,
            max_slice: slice,
        };
        let n = match self.free.pop() {
            Some(n) => {
                self.nodes[n as usize] = node;
                n
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.root = self.insert_below(self.root, n);
        key
    }

    /// Takes an entity out; it must be there.
    pub(crate) fn remove(&mut self, key: Key) {
        self.root = self.remove_below(self.root, key);
    }

    /// Any entity: the only one, where there is one.
    pub(crate) fn root(&self) -> Option<TaskId> {
        (self.root != NIL).then(|| self.at(self.root).task)
    }

    /// Least slice, and greatest.
    pub(crate) fn slices(&self) -> Option<(u64, u64)> {
        (self.root != NIL).then(|| {
            let n = self.at(self.root);
            (n.min_slice, n.max_slice)
        })
    }

    /// The first entity in order whose vruntime is eligible, with its deadline. `eligible` holds for all vruntimes up to
    /// some value.
    pub(crate) fn first(&self, eligible: impl Fn(i64) -> bool) -> Option<(TaskId, i64)> {
        let mut n = self.root;
        while n != NIL {
            let node = self.at(n);
            if node.left != NIL && eligible(self.at(node.left).min_vruntime) {
                n = node.left;
            } else if eligible(node.vruntime) {
                return Some((node.task, node.key.deadline));
            } else {
                n = node.right;
            }
        }
        None
    }

    fn refresh(&mut self, n: u32) {
        let Node { left, right, vruntime, slice, .. } = *self.at(n);
        let (mut v, mut lo, mut hi) = (vruntime, slice, slice);
        for child in [left, right] {
            if child != NIL {
                let c = self.at(child);
                v = v.min(c.min_vruntime);
                lo = lo.min(c.min_slice);
                hi = hi.max(c.max_slice);
            }
        }
        let node = &mut self.nodes[n as usize];
        (node.min_vruntime, node.min_slice, node.max_slice) = (v, lo, hi);
    }

    fn insert_below(&mut self, top: u32, n: u32) -> u32 {
        if top == NIL {
            return n;
        }
        if self.at(n).height > self.at(top).height {
            let (left, right) = self.split(top, self.at(n).key);
            let node = &mut self.nodes[n as usize];
            (node.left, node.right) = (left, right);
            self.refresh(n);
            return n;
        }
        if self.at(n).key < self.at(top).key {
            let left = self.insert_below(self.at(top).left, n);
            self.nodes[top as usize].left = left;
        } else {
            let right = self.insert_below(self.at(top).right, n);
            self.nodes[top as usize].right = right;
        }
        self.refresh(top);
        top
    }

    fn split(&mut self, top: u32, key: Key) -> (u32, u32) {
        if top == NIL {
            return (NIL, NIL);
        }
        if self.at(top).key < key {
            let (left, right) = self.split(self.at(top).right, key);
            self.nodes[top as usize].right = left;
            self.refresh(top);
            (top, right)
        } else {
            let (left, right) = self.split(self.at(top).left, key);
            self.nodes[top as usize].left = right;
            self.refresh(top);
            (left, top)
        }
    }

    fn remove_below(&mut self, top: u32, key: Key) -> u32 {
        assert_ne!(top, NIL, "{key:?} is not in the timeline");
        let Node { key: k, left, right, .. } = *self.at(top);
        if k == key {
            self.free.push(top);
            return self.merge(left, right);
        }
        if key < k {
            let left = self.remove_below(left, key);
            self.nodes[top as usize].left = left;
        } else {
            let right = self.remove_below(right, key);
            self.nodes[top as usize].right = right;
        }
        self.refresh(top);
        top
    }

    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL || right == NIL {
            return if left == NIL { right } else { left };
        }
        if self.at(left).height > self.at(right).height {
            let below = self.merge(self.at(left).right, right);
            self.nodes[left as usize].right = below;
            self.refresh(left);
            left
        } else {
            let below = self.merge(left, self.at(right).left);
            self.nodes[right as usize].left = below;
            self.refresh(right);
            right
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same queue as a plain list in order of insertion.
    #[derive(Default)]
    struct Model(Vec<(TaskId, i64, i64, u64, Key)>);

    impl Model {
        fn first(&self, limit: i64) -> Option<(TaskId, i64)> {
            let fit = self.0.iter().filter(|e| e.2 <= limit);
            fit.min_by_key(|e| (e.1, e.4.seq)).map(|e| (e.0, e.1))
        }
    }

    fn agree(t: &Timeline, m: &Model, limit: i64) {
        assert_eq!(t.first(|v| v <= limit), m.first(limit));
        let slices = m.0.iter().map(|e| e.3);
        let bounds = slices.clone().min().zip(slices.max());
        assert_eq!(t.slices(), bounds);
        assert_eq!(t.is_empty(), m.0.is_empty());
    }

    proptest! {
        #[test]
        fn same_as_a_list(steps in prop::collection::vec((0u8..3, -20i64..20, -20i64..20, 1u64..9), 1..300)) {
            let (mut t, mut m) = (Timeline::default(), Model::default());
            for (i, (op, deadline, v, slice)) in steps.into_iter().enumerate() {
                if op < 2 || m.0.is_empty() {
                    let task = TaskId(i as u32);
                    let key = t.insert(task, deadline, v, slice);
                    m.0.push((task, deadline, v, slice, key));
                } else {
                    let at = (deadline + 20) as usize % m.0.len();
                    t.remove(m.0.remove(at).4);
                }
                agree(&t, &m, v);
            }
        }
    }

    #[test]
    fn stays_shallow() {
        let mut t = Timeline::default();
        for i in 0..10_000 {
            t.insert(TaskId(i), i64::from(i), i64::from(i), 1);
        }
        fn depth(t: &Timeline, n: u32) -> u32 {
            if n == NIL {
                return 0;
            }
            1 + depth(t, t.at(n).left).max(depth(t, t.at(n).right))
        }
        let d = depth(&t, t.root);
        assert!(d < 45, "{d}");
    }
}
