//! Red-black trees whose links lie in their members. A member is removed by its links alone, never searched for, so that a
//! tree stays whole whatever its order says: the kernel's order of vtimes is circular, and a program may change the vtime
//! of a task that is in a queue. Insertion walks from the root and comes out right of what it is not less than, as the
//! kernel's does [rb_add]; both keep to the textbook's rotations, so that even a senseless order gives the kernel's sequence.

use super::list::NIL;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// A member's links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    parent: u32,
    child: [u32; 2],
    red: bool,
    pub(crate) linked: bool,
}

impl Default for Node {
    fn default() -> Self {
        Node { parent: NIL, child: [NIL; 2], red: false, linked: false }
    }
}

/// Where a tree finds its members' links, and their order.
pub(crate) trait Nodes {
    /// Links of member `n`.
    fn node(&mut self, n: u32) -> &mut Node;
    /// Does `a` come before `b`?
    fn less(&mut self, a: u32, b: u32) -> bool;
}

/// A tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    root: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { root: NIL }
    }
}

impl Tree {
    pub(crate) fn is_empty(&self) -> bool {
        self.root == NIL
    }

    /// Adds `n`; the result is the member before it, in the tree's sequence.
    pub(crate) fn insert(&mut self, t: &mut impl Nodes, n: u32) -> Option<u32> {
        debug_assert!(!t.node(n).linked, "node {n} is in a tree already");
        let (mut at, mut parent, mut side, mut before) = (self.root, NIL, LEFT, None);
        while at != NIL {
            parent = at;
            side = if t.less(n, at) { LEFT } else { RIGHT };
            if side == RIGHT {
                before = Some(at);
            }
            at = t.node(at).child[side];
        }
        *t.node(n) = Node { parent, child: [NIL; 2], red: true, linked: true };
        match parent {
            NIL => self.root = n,
            _ => t.node(parent).child[side] = n,
        }
        self.repair_insertion(t, n);
        before
    }

    /// `n` is red; its parent may be red, too.
    fn repair_insertion(&mut self, t: &mut impl Nodes, mut n: u32) {
        loop {
            let mut parent = t.node(n).parent;
            if parent == NIL {
                t.node(n).red = false;
                return;
            }
            if !t.node(parent).red {
                return;
            }
            let grand = t.node(parent).parent; // a red node is never the root
            let side = side_of(t, grand, parent);
            let uncle = t.node(grand).child[1 - side];
            if is_red(t, uncle) {
                t.node(parent).red = false;
                t.node(uncle).red = false;
                t.node(grand).red = true;
                n = grand;
                continue;
            }
            if t.node(parent).child[1 - side] == n {
                self.rotate(t, parent, side);
                parent = n;
            }
            t.node(parent).red = false;
            t.node(grand).red = true;
            self.rotate(t, grand, 1 - side);
            return;
        }
    }

    /// Takes `n` out.
    pub(crate) fn remove(&mut self, t: &mut impl Nodes, n: u32) {
        let Node { parent, child: [left, right], red, linked } = std::mem::take(t.node(n));
        debug_assert!(linked, "node {n} is in no tree");
        if left == NIL || right == NIL {
            let child = if left == NIL { right } else { left };
            let side = if parent == NIL { LEFT } else { side_of(t, parent, n) };
            self.replace(t, n, child, parent);
            return self.close_gap(t, child, red, parent, side);
        }
        let mut next = right;
        while t.node(next).child[LEFT] != NIL {
            next = t.node(next).child[LEFT];
        }
        let Node { parent: next_parent, child: [_, child], red: next_red, .. } = *t.node(next);
        let (gap, side) = if next == right { (next, RIGHT) } else { (next_parent, LEFT) };
        if next != right {
            t.node(next_parent).child[LEFT] = child;
            if child != NIL {
                t.node(child).parent = next_parent;
            }
            t.node(next).child[RIGHT] = right;
            t.node(right).parent = next;
        }
        t.node(next).child[LEFT] = left;
        t.node(left).parent = next;
        t.node(next).red = red;
        self.replace(t, n, next, parent);
        self.close_gap(t, child, next_red, gap, side);
    }

    /// `new` takes the place of `old` under `parent`.
    fn replace(&mut self, t: &mut impl Nodes, old: u32, new: u32, parent: u32) {
        match parent {
            NIL => self.root = new,
            _ => {
                let side = side_of(t, parent, old);
                t.node(parent).child[side] = new;
            }
        }
        if new != NIL {
            t.node(new).parent = parent;
        }
    }

    /// A node was taken from `side` of `parent` and `child` came up instead.
    fn close_gap(&mut self, t: &mut impl Nodes, child: u32, was_red: bool, parent: u32, side: usize) {
        if child != NIL {
            t.node(child).red = false; // an only child is red, its parent black
        } else if !was_red {
            self.repair_removal(t, parent, side);
        }
    }

    /// Paths through `side` of `parent` are one black node short.
    fn repair_removal(&mut self, t: &mut impl Nodes, mut parent: u32, mut side: usize) {
        while parent != NIL {
            let mut sibling = t.node(parent).child[1 - side];
            if t.node(sibling).red {
                t.node(sibling).red = false;
                t.node(parent).red = true;
                self.rotate(t, parent, side);
                sibling = t.node(parent).child[1 - side];
            }
            let (inner, outer) = (t.node(sibling).child[side], t.node(sibling).child[1 - side]);
            if !is_red(t, inner) && !is_red(t, outer) {
                t.node(sibling).red = true;
                if std::mem::take(&mut t.node(parent).red) {
                    return;
                }
                let up = t.node(parent).parent;
                side = if up == NIL { LEFT } else { side_of(t, up, parent) };
                parent = up;
                continue;
            }
            if !is_red(t, outer) {
                t.node(inner).red = false;
                t.node(sibling).red = true;
                self.rotate(t, sibling, 1 - side);
                sibling = inner;
            }
            let outer = t.node(sibling).child[1 - side];
            t.node(sibling).red = std::mem::take(&mut t.node(parent).red);
            t.node(outer).red = false;
            return self.rotate(t, parent, side);
        }
    }

    /// `n` goes down to `side`, its child on the other side comes up.
    fn rotate(&mut self, t: &mut impl Nodes, n: u32, side: usize) {
        let up = t.node(n).child[1 - side];
        let across = t.node(up).child[side];
        let parent = t.node(n).parent;
        self.replace(t, n, up, parent);
        t.node(n).child[1 - side] = across;
        if across != NIL {
            t.node(across).parent = n;
        }
        t.node(up).child[side] = n;
        t.node(n).parent = up;
    }

    /// Members in sequence, by way of `node`, which gives a member's links.
    pub(crate) fn sequence(&self, node: impl Fn(u32) -> Node) -> Vec<u32> {
        let (mut out, mut above, mut at) = (Vec::new(), Vec::new(), self.root);
        loop {
            while at != NIL {
                above.push(at);
                at = node(at).child[LEFT];
            }
            let Some(n) = above.pop() else { return out };
            out.push(n);
            at = node(n).child[RIGHT];
        }
    }
}

fn side_of(t: &mut impl Nodes, parent: u32, n: u32) -> usize {
    if t.node(parent).child[LEFT] == n { LEFT } else { RIGHT }
}

fn is_red(t: &mut impl Nodes, n: u32) -> bool {
    n != NIL && t.node(n).red
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Members {
        nodes: Vec<Node>,
        vtime: Vec<u64>,
    }

    impl Nodes for Members {
        fn node(&mut self, n: u32) -> &mut Node {
            &mut self.nodes[n as usize]
        }

        fn less(&mut self, a: u32, b: u32) -> bool {
            (self.vtime[a as usize].wrapping_sub(self.vtime[b as usize]) as i64) < 0
        }
    }

    /// Black nodes on each path below `n`; no red node has a red child, and links go both ways.
    fn black_height(m: &Members, n: u32, parent: u32) -> u32 {
        if n == NIL {
            return 1;
        }
        let node = m.nodes[n as usize];
        assert_eq!(node.parent, parent);
        let [l, r] = node.child.map(|c| black_height(m, c, n));
        assert_eq!(l, r);
        assert!(!node.red || node.child.iter().all(|&c| c == NIL || !m.nodes[c as usize].red));
        l + u32::from(!node.red)
    }

    /// Random insertions and removals of vtimes below `range`; the sequence is always that of a list which is kept beside.
    fn check(range: u64, sorted: bool) {
        const N: usize = 300;
        let mut m = Members { nodes: vec![Node::default(); N], vtime: vec![0; N] };
        let (mut tree, mut list, mut x) = (Tree::default(), Vec::<u32>::new(), 1u64);
        for step in 0..20_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let n = (x >> 33) as u32 % N as u32;
            if m.nodes[n as usize].linked {
                tree.remove(&mut m, n);
                list.retain(|&q| q != n);
            } else {
                m.vtime[n as usize] = (x ^ x >> 31).checked_rem(range).unwrap_or(x ^ x >> 31);
                let before = tree.insert(&mut m, n);
                let at = before.map_or(0, |b| list.iter().position(|&q| q == b).unwrap() + 1);
                list.insert(at, n);
            }
            if step % 50 == 0 {
                black_height(&m, tree.root, NIL);
                assert_eq!(tree.sequence(|n| m.nodes[n as usize]), list);
                assert!(!sorted || list.is_sorted_by_key(|&n| m.vtime[n as usize]));
            }
        }
        list.drain(..).for_each(|n| tree.remove(&mut m, n));
        assert!(tree.is_empty());
    }

    #[test]
    fn a_sane_order_is_kept() {
        check(1 << 62, true);
        check(20, true); // many equal ones
    }

    #[test]
    fn a_circular_order_does_no_harm() {
        check(0, false);
    }

    #[test]
    fn equal_members_stand_in_order_of_insertion() {
        let mut m = Members { nodes: vec![Node::default(); 40], vtime: vec![7; 40] };
        let mut tree = Tree::default();
        (0..40).for_each(|n| assert_eq!(tree.insert(&mut m, n), n.checked_sub(1)));
        assert_eq!(tree.sequence(|n| m.nodes[n as usize]), (0..40).collect::<Vec<_>>());
    }
}
