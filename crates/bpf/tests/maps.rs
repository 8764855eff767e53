//! Maps against the standard library's collections, through programs' helpers and through user space's interface at once.

mod support;

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use scxr_bpf::vm::{Machine, MapFlags, errno, map_type};
use support::host::TestHost;
use support::{machine, map};

/// r1: context (operation, key, value, flags) -> r0. The program calls map 0's helper on its own copies of key and value.
const PROGRAM: &str = "
    mov %r6, %r1
    ldxdw %r2, [%r6+8]
    stxdw [%r10-8], %r2
    ldxdw %r2, [%r6+16]
    stxdw [%r10-16], %r2
    ldxdw %r7, [%r6]
    lddw %r1, map:0
    mov %r2, %r10
    add %r2, -8
    mov %r3, %r10
    add %r3, -16
    ldxdw %r4, [%r6+24]
    jeq %r7, 1, update
    jeq %r7, 2, delete
    jeq %r7, 3, push
    jeq %r7, 4, pop
    jeq %r7, 5, peek
    call 1
    jeq %r0, 0, none
    ldxdw %r0, [%r0]
    exit
none:
    mov %r0, -1
    exit
update:
    call 2
    exit
delete:
    call 3
    exit
push:
    mov %r2, %r3
    mov %r3, %r4
    call 87
    exit
pop:
    mov %r2, %r3
    call 88
    ja taken
peek:
    mov %r2, %r3
    call 89
taken:
    jne %r0, 0, done
    ldxdw %r0, [%r10-16]
done:
    exit";

fn call(m: &Machine, op: u64, key: u64, value: u64, flags: u64) -> u64 {
    m.run(0, &[op, key, value, flags], &mut TestHost::default()).expect("no fault").ret
}

fn result(r: Result<(), i32>) -> u64 {
    r.map_or_else(|e| -i64::from(e) as u64, |()| 0)
}

#[derive(Clone, Debug)]
struct Step {
    user: bool,
    op: u64,
    key: u64,
    value: u64,
    flags: u64,
}

fn steps(ops: std::ops::Range<u64>, keys: u64, flags: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), ops, 0..keys, 0u64..1 << 40, 0..flags).prop_map(|(user, op, key, value, flags)| Step {
        user,
        op,
        key,
        value,
        flags,
    });
    prop::collection::vec(step, 1..200)
}

fn word(bytes: Option<Vec<u8>>) -> u64 {
    bytes.map_or(u64::MAX, |b| u64::from_le_bytes(b[..].try_into().expect("eight bytes")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hash_is_a_bounded_map(steps in steps(0..3, 12, 4)) {
        let m = machine(PROGRAM, vec![map("m", map_type::HASH, 8, 8, 8)]).expect("valid");
        let mut model = BTreeMap::new();
        for s in steps {
            let expect = match s.op {
                0 => model.get(&s.key).copied().unwrap_or(u64::MAX),
                1 => result(match (s.flags, model.contains_key(&s.key)) {
                    (3.., _) => Err(errno::EINVAL),
                    (MapFlags::NOEXIST, true) => Err(errno::EEXIST),
                    (MapFlags::EXIST, false) => Err(errno::ENOENT),
                    (_, false) if model.len() == 8 => Err(errno::E2BIG),
                    _ => { model.insert(s.key, s.value); Ok(()) }
                }),
                _ => result(model.remove(&s.key).map(|_| ()).ok_or(errno::ENOENT)),
            };
            let key = s.key.to_le_bytes();
            let got = match (s.user, s.op) {
                (false, op) => call(&m, op, s.key, s.value, s.flags),
                (true, 0) => word(m.map_lookup(0, &key)),
                (true, 1) => result(m.map_update(0, &key, &s.value.to_le_bytes(), s.flags)),
                (true, _) => result(m.map_delete(0, &key)),
            };
            prop_assert_eq!(got, expect, "{:?}", s);
            prop_assert_eq!(m.map_len(0), model.len());
            let mut keys: Vec<u64> = m.map_keys(0).into_iter().map(|k| word(Some(k))).collect();
            let mut walked = Vec::new();
            let mut at = m.map_next_key(0, None);
            while let Some(key) = at {
                at = m.map_next_key(0, Some(&key));
                walked.push(word(Some(key)));
            }
            prop_assert_eq!(&walked, &keys);
            keys.sort_unstable();
            prop_assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn lru_hash_drops_the_least_recently_used(steps in steps(0..3, 12, 1)) {
        let m = machine(PROGRAM, vec![map("m", map_type::LRU_HASH, 8, 8, 6)]).expect("valid");
        let mut model: VecDeque<(u64, u64)> = VecDeque::new();
        for s in steps {
            let at = model.iter().position(|(k, _)| *k == s.key);
            let found = at.and_then(|at| model.remove(at));
            let expect = match (s.op, found) {
                (0, Some(e)) => { model.push_back(e); e.1 }
                (0, None) => u64::MAX,
                (1, found) => {
                    if found.is_none() && model.len() == 6 { model.pop_front(); }
                    model.push_back((s.key, s.value));
                    0
                }
                (_, found) => result(found.map(|_| ()).ok_or(errno::ENOENT)),
            };
            prop_assert_eq!(call(&m, s.op, s.key, s.value, 0), expect, "{:?}", s);
        }
    }

    #[test]
    fn array_is_an_array(steps in steps(0..3, 8, 4)) {
        let m = machine(PROGRAM, vec![map("m", map_type::ARRAY, 4, 8, 6)]).expect("valid");
        let mut model = [0u64; 6];
        for s in steps {
            let cell = model.get_mut(s.key as usize);
            let expect = match (s.op, cell) {
                (0, cell) => cell.map_or(u64::MAX, |c| *c),
                (1, _) if s.flags > 2 => result(Err(errno::EINVAL)),
                (1, None) => result(Err(errno::E2BIG)),
                (1, Some(_)) if s.flags == MapFlags::NOEXIST => result(Err(errno::EEXIST)),
                (1, Some(c)) => { *c = s.value; 0 }
                _ => result(Err(errno::EINVAL)),
            };
            let key = (s.key as u32).to_le_bytes();
            let got = match (s.user, s.op) {
                (false, op) => call(&m, op, s.key, s.value, s.flags),
                (true, 0) => word(m.map_lookup(0, &key)),
                (true, 1) => result(m.map_update(0, &key, &s.value.to_le_bytes(), s.flags)),
                (true, _) => result(m.map_delete(0, &key)),
            };
            prop_assert_eq!(got, expect, "{:?}", s);
        }
    }

    #[test]
    fn queue_and_stack(steps in steps(3..6, 1, 4), lifo: bool) {
        let kind = if lifo { map_type::STACK } else { map_type::QUEUE };
        let m = machine(PROGRAM, vec![map("m", kind, 0, 8, 5)]).expect("valid");
        let mut model: VecDeque<u64> = VecDeque::new();
        for s in steps {
            let next = if lifo { model.back() } else { model.front() }.copied();
            let none = -i64::from(errno::ENOENT) as u64;
            let expect = match s.op {
                3 => result(match s.flags {
                    MapFlags::NOEXIST | 3.. => Err(errno::EINVAL),
                    MapFlags::ANY if model.len() == 5 => Err(errno::E2BIG),
                    _ => {
                        if model.len() == 5 { model.pop_front(); }
                        model.push_back(s.value);
                        Ok(())
                    }
                }),
                4 => { if lifo { model.pop_back() } else { model.pop_front() }; next.unwrap_or(none) }
                _ => next.unwrap_or(none),
            };
            prop_assert_eq!(call(&m, s.op, 0, s.value, s.flags), expect, "{:?}", s);
            prop_assert_eq!(m.map_len(0), model.len());
        }
    }
}

#[test]
fn many_elements_survive_growth_and_deletion() {
    let m = machine(PROGRAM, vec![map("m", map_type::HASH, 4, 8, 5000)]).expect("valid");
    for round in 0..3u64 {
        for k in 0..5000u32 {
            m.map_update(0, &k.to_le_bytes(), &(u64::from(k) + round).to_le_bytes(), 0).expect("room");
        }
        assert_eq!(m.map_update(0, &9999u32.to_le_bytes(), &[0; 8], 0), Err(errno::E2BIG));
        for k in 0..5000u32 {
            assert_eq!(word(m.map_lookup(0, &k.to_le_bytes())), u64::from(k) + round);
        }
        for k in (0..5000u32).filter(|k| k % 3 != 0) {
            m.map_delete(0, &k.to_le_bytes()).expect("there");
        }
        assert_eq!(m.map_len(0), 1667);
    }
}

#[test]
fn per_cpu_hash_and_odd_keys() {
    let m = machine("exit", vec![map("m", map_type::PERCPU_HASH, 13, 5, 8), map("ro", map_type::ARRAY, 4, 4, 1)])
        .expect("valid");
    let key = *b"thirteen byte";
    let value: Vec<u8> = (0..4u8).flat_map(|cpu| [cpu, 2, 3, 4, 5, 0, 0, 0]).collect();
    m.map_update(0, &key, &value, 0).expect("room");
    assert_eq!(m.map_lookup(0, &key), Some(value));
    assert_eq!(m.map_lookup_percpu(0, &key).unwrap()[2], [2, 2, 3, 4, 5]);
    assert_eq!(m.map_update(0, &key, &[0; 5], 0), Err(errno::EINVAL));
    assert_eq!(m.map_update(0, b"short", &[0; 32], 0), Err(errno::EINVAL));
    assert_eq!(m.map_lookup(0, b"short"), None);
}

/// Maps by key, storages by owner, messages from user space, pages.
#[test]
fn maps_of_maps_messages_and_pages() {
    let mut outer = map("outer", map_type::ARRAY_OF_MAPS, 4, 4, 3);
    outer.inner_values = vec![Some(1), None, Some(2)];
    let maps = vec![
        outer,
        map("a", map_type::QUEUE, 0, 8, 2),
        map("b", map_type::QUEUE, 0, 8, 2),
        map("hash", map_type::HASH_OF_MAPS, 4, 4, 1),
        map("wishes", map_type::USER_RINGBUF, 0, 0, 4096),
        map("arena", map_type::ARENA, 0, 0, 4),
        map("groups", map_type::CGRP_STORAGE, 4, 8, 0),
    ];
    // r1: context (index) -> pushes 7 to the inner map at index; -1 where there is none
    let source = "ldxdw %r2, [%r1]\nstxw [%r10-4], %r2\nmov %r2, %r10\nadd %r2, -4\nlddw %r1, map:0\ncall 1\njne %r0, 0, l\nmov %r0, -1\nexit\nl:\nstdw [%r10-16], 7\nmov %r1, %r0\nmov %r2, %r10\nadd %r2, -16\nmov %r3, 0\ncall 87\nexit";
    let m = machine(source, maps).unwrap_or_else(|e| panic!("{e}"));
    let mut host = TestHost::default();
    let mut push = |index: u64| m.run(0, &[index], &mut host).expect("a run").ret as i64;
    assert_eq!([push(0), push(1), push(2), push(2), push(2), push(9)], [0, -1, 0, 0, -i64::from(errno::E2BIG), -1]);
    assert_eq!([m.map_len(1), m.map_len(2)], [1, 2]);
    let key = |n: u32| n.to_le_bytes();
    assert_eq!(m.map_set_inner(0, &key(1), 2), Ok(()));
    assert_eq!((m.map_inner(0, &key(1)), m.map_set_inner(0, &key(3), 2)), (Some(2), Err(errno::E2BIG)));
    assert_eq!((m.map_delete(0, &key(1)), m.map_delete(0, &key(1))), (Ok(()), Err(errno::ENOENT)));
    assert_eq!((m.map_set_inner(3, &key(70), 1), m.map_set_inner(3, &key(71), 1)), (Ok(()), Err(errno::E2BIG)));

    assert!(m.user_ringbuf_send(4, &[1; 4000]) && !m.user_ringbuf_send(4, &[1; 200]) && m.map_len(4) == 1);

    let arena = |at: u64, n: u32| m.arena_alloc(m.map_address(5), at, n);
    let first = arena(0, 2);
    assert!(first != 0 && m.write_u64(first, 5));
    let third = arena(0, 1);
    assert_eq!((third, arena(0, 2), arena(first, 1), m.map_len(5)), (first + 8192, 0, 0, 3));
    m.arena_free(m.map_address(5), first, 1);
    assert_eq!((arena(first, 1), m.read_u64(first)), (first, Some(0)));

    assert_eq!(m.map_update(6, &9u64.to_le_bytes(), &1u64.to_le_bytes(), MapFlags::ANY), Ok(()));
    m.task_gone(9);
    assert_eq!(m.map_len(6), 1);
    m.cgroup_gone(9);
    assert_eq!(m.map_len(6), 0);
}
