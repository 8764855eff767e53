//! Objects that programs make, and trees and lists of them.

use scxr_bpf::btf::TypeId;
use scxr_bpf::vm::{HostError, Machine};

use super::{KfuncFn, KfuncResult};
use crate::host::Context;

pub(super) const TABLE: &[(&str, KfuncFn)] = &[
    ("bpf_obj_new_impl", |c, m, a| {
        let size = m.image().btf.size(a[0] as TypeId).filter(|size| *size > 0);
        let size = size.ok_or_else(|| HostError::Misuse(format!("bpf_obj_new of type {}, which has no size", a[0])))?;
        Ok(match c.s.objects.make(m, size as usize) {
            0 => 0,
            object => c.acquired(object),
        })
    }),
    ("bpf_obj_drop_impl", |c, m, a| {
        c.give_away(a[0])?;
        c.s.objects.free(m, a[0]);
        Ok(0)
    }),
    ("bpf_refcount_acquire_impl", |c, _, a| match c.s.objects.acquire(a[0]) {
        true => Ok(c.acquired(a[0])),
        false => Err(not_an_object(a[0])),
    }),
    ("bpf_rbtree_add_impl", rbtree_add),
    ("bpf_rbtree_first", |c, _, a| Ok(c.s.objects.member(a[0], 0).unwrap_or(0))),
    ("bpf_rbtree_remove", |c, _, a| {
        let object = object(c, a[1])?;
        Ok(if c.s.objects.remove(a[0], a[1], object) { taken(c, a[1], object) } else { 0 })
    }),
    ("bpf_list_push_front_impl", |c, m, a| push(c, m, a, 0)),
    ("bpf_list_push_back_impl", |c, m, a| push(c, m, a, usize::MAX)),
    ("bpf_list_pop_front", |c, _, a| {
        let node = c.s.objects.member(a[0], 0);
        pop(c, a[0], node)
    }),
    ("bpf_list_pop_back", |c, _, a| {
        let node = c.s.objects.last(a[0]);
        pop(c, a[0], node)
    }),
    ("bpf_list_front", |c, _, a| Ok(c.s.objects.member(a[0], 0).unwrap_or(0))),
    ("bpf_list_back", |c, _, a| Ok(c.s.objects.last(a[0]).unwrap_or(0))),
];

const EINVAL: i64 = -22;

fn not_an_object(address: u64) -> HostError {
    HostError::BadAccess(format!("{address:#x} is not an object of bpf_obj_new"))
}

/// The object that the node at `node` is in.
fn object(c: &Context<'_>, node: u64) -> Result<u64, HostError> {
    c.s.objects.of_node(node).ok_or_else(|| not_an_object(node))
}

/// The invocation owns `object` from now on; its node, for r0.
fn taken(c: &mut Context<'_>, node: u64, object: u64) -> u64 {
    c.acquired(object);
    node
}

/// The program's reference goes into the collection; where the node is in one already the object is given back.
fn put(c: &mut Context<'_>, m: &Machine, root: u64, nth: usize, node: u64) -> KfuncResult {
    let object = object(c, node)?;
    c.give_away(object)?;
    if c.s.objects.insert(root, nth, node, object) {
        return Ok(0);
    }
    c.s.objects.free(m, object);
    Ok(EINVAL as u64)
}

/// Behind all members before which `less` does not say that it comes, as the kernel's walk from the root finds it.
fn rbtree_add(c: &mut Context<'_>, m: &Machine, a: [u64; 5]) -> KfuncResult {
    let [root, node, less, ..] = a;
    let members = c.s.objects.members(root);
    let (mut from, mut to) = (0, members.len());
    while from < to {
        let middle = (from + to) / 2;
        let outcome = m.call_function(None, less, [node, members[middle], 0, 0, 0], c).map_err(HostError::Fault)?;
        if outcome.ret & 0xff != 0 {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    put(c, m, root, from, node)
}

fn push(c: &mut Context<'_>, m: &Machine, a: [u64; 5], nth: usize) -> KfuncResult {
    put(c, m, a[0], nth, a[1])
}

fn pop(c: &mut Context<'_>, head: u64, node: Option<u64>) -> KfuncResult {
    let Some(node) = node else { return Ok(0) };
    let object = object(c, node)?;
    c.s.objects.remove(head, node, object);
    Ok(taken(c, node, object))
}
