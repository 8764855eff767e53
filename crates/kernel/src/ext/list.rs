//! Doubly linked lists whose links lie in their members: O(1) insertion and removal, no allocation.

/// No node.
pub(crate) const NIL: u32 = u32::MAX;

/// A member's links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) prev: u32,
    pub(crate) next: u32,
    pub(crate) linked: bool,
}

impl Default for Link {
    fn default() -> Self {
        Link { prev: NIL, next: NIL, linked: false }
    }
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl Default for List {
    fn default() -> Self {
        List { head: NIL, tail: NIL }
    }
}

/// Where a list finds its members' links.
pub(crate) trait Links {
    /// Links of member `n`.
    fn link(&mut self, n: u32) -> &mut Link;
}

impl List {
    /// Puts `n` between `prev` and `next`, which are neighbours (or ends).
    fn insert(&mut self, l: &mut impl Links, n: u32, prev: u32, next: u32) {
        let link = l.link(n);
        debug_assert!(!link.linked, "node {n} is on a list already");
        *link = Link { prev, next, linked: true };
        match prev {
            NIL => self.head = n,
            _ => l.link(prev).next = n,
        }
        match next {
            NIL => self.tail = n,
            _ => l.link(next).prev = n,
        }
    }

    pub(crate) fn push_back(&mut self, l: &mut impl Links, n: u32) {
        self.insert(l, n, self.tail, NIL);
    }

    pub(crate) fn push_front(&mut self, l: &mut impl Links, n: u32) {
        self.insert(l, n, NIL, self.head);
    }

    pub(crate) fn insert_after(&mut self, l: &mut impl Links, n: u32, after: u32) {
        let next = l.link(after).next;
        self.insert(l, n, after, next);
    }

    pub(crate) fn insert_before(&mut self, l: &mut impl Links, n: u32, before: u32) {
        let prev = l.link(before).prev;
        self.insert(l, n, prev, before);
    }

    pub(crate) fn remove(&mut self, l: &mut impl Links, n: u32) {
        let link = std::mem::take(l.link(n));
        debug_assert!(link.linked, "node {n} is on no list");
        match link.prev {
            NIL => self.head = link.next,
            prev => l.link(prev).next = link.next,
        }
        match link.next {
            NIL => self.tail = link.prev,
            next => l.link(next).prev = link.prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Links for Vec<Link> {
        fn link(&mut self, n: u32) -> &mut Link {
            &mut self[n as usize]
        }
    }

    #[test]
    fn order_follows_the_operations() {
        let mut links = vec![Link::default(); 5];
        let mut list = List::default();
        list.push_back(&mut links, 0);
        list.push_back(&mut links, 1);
        list.push_front(&mut links, 2);
        list.insert_after(&mut links, 3, 0);
        list.insert_before(&mut links, 4, 2);
        let order = |list: &List, links: &Vec<Link>| {
            let mut at = list.head;
            let mut out = Vec::new();
            while at != NIL {
                out.push(at);
                at = links[at as usize].next;
            }
            out
        };
        assert_eq!(order(&list, &links), [4, 2, 0, 3, 1]);
        list.remove(&mut links, 4);
        list.remove(&mut links, 0);
        list.remove(&mut links, 1);
        assert_eq!((order(&list, &links), list.tail), (vec![2, 3], 3));
    }
}
