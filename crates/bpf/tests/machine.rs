//! The machine's rules: what is refused, what faults and how it is reported, calls, callbacks, helpers.

mod support;

use scxr_bpf::image::ProgramKind;
use scxr_bpf::vm::{Fault, FaultKind, Machine, Options, Outcome, map_type};
use support::host::{KERNEL, TestHost};
use support::{asm, image, machine, map, options};

fn run_in(m: &Machine, host: &mut TestHost, args: &[u64]) -> Result<Outcome, Box<Fault>> {
    m.run(0, args, host)
}

/// A machine with the usual maps: an array, a hash, a queue, a task storage, a ring buffer, a read-only section.
fn usual(source: &str) -> Machine {
    let mut rodata = map(".rodata", map_type::ARRAY, 4, 64, 1);
    rodata.read_only = true;
    rodata.initial = Some(b"value %d of %s\0abc\0".to_vec());
    let maps = vec![
        map("array", map_type::ARRAY, 4, 16, 4),
        map("hash", map_type::HASH, 8, 8, 4),
        map("queue", map_type::QUEUE, 0, 8, 2),
        map("storage", map_type::TASK_STORAGE, 4, 24, 0),
        map("ring", map_type::RINGBUF, 0, 0, 4096),
        rodata,
        map("percpu", map_type::PERCPU_ARRAY, 4, 8, 2),
    ];
    machine(source, maps).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

fn ret(source: &str) -> u64 {
    ret_with(source, &mut TestHost::default())
}

fn ret_with(source: &str, host: &mut TestHost) -> u64 {
    run_in(&usual(source), host, &[]).unwrap_or_else(|f| panic!("{f}\n{source}")).ret
}

fn neg(errno: i64) -> u64 {
    -errno as u64
}

#[test]
fn refused_when_made() {
    let check = |source: &str, expect: &str| match machine(source, vec![map("array", map_type::ARRAY, 4, 16, 4)]) {
        Ok(_) => panic!("accepted: {source}"),
        Err(e) => assert!(e.to_string().contains(expect), "{e}\nexpected: {expect}"),
    };
    check("ja +5\nexit", "main+0 (struct_ops/main): jump out of the function");
    check("ja -2\nexit", "jump out of the function");
    check("ja +1\nlddw %r0, 1\nexit", "jump into the middle of a 64-bit load");
    check("mov %r0, 1", "runs past its end");
    check("mov %r11, 1\nexit", "register r11 does not exist");
    check("mov %r10, 1\nexit", "frame pointer is read-only");
    check("call 9999\nexit", "call to unknown helper 9999");
    check("mov %r1, 1\ncall 27\nexit", "main+1 (struct_ops/main): not implemented yet: helper bpf_get_stackid");
    check("call kfunc 9\nexit", "does not declare");
    check("stxdw [%r10-520], %r1\nexit", "outside of the frame");
    check("stxdw [%r10+0], %r1\nexit", "outside of the frame");
    check("stxdw [%r10-4], %r1\nexit", "outside of the frame");
    check("lddw %r1, map:7\nexit", "map 7 does not exist");
    check("lddw %r1, value:0+0\nexit", "does not exist");
    check("callx %r2\nexit", "calls through a register");
    for (code, what) in [
        (0x20u8, "packet loads"),
        (0xff, "unknown instruction"),
        (0xef, "unknown instruction"),
        (0x8f, "does not use its source flag"),
    ] {
        let mut text = asm::assemble("mov %r0, 0\nexit").unwrap().text;
        text[0].code = code;
        let error = Machine::new(image(text, Vec::new()), &options()).err().expect("refused").to_string();
        assert!(error.contains(what), "{error}");
    }
    let mut text = asm::assemble("mov %r1, %r2\nexit").unwrap().text;
    text[0].off = 1;
    let error = Machine::new(image(text, Vec::new()), &options()).err().expect("refused").to_string();
    assert!(error.contains("unknown instruction"), "{error}");
    for (t, name) in [(3, "PROG_ARRAY"), (7, "STACK_TRACE"), (14, "DEVMAP")] {
        let error = machine("exit", vec![map("m", t, 4, 4, 1)]).err().expect("refused").to_string();
        assert_eq!(error, format!("map m: not implemented yet: map type {name}"));
    }
    for bad in [
        map("m", map_type::ARRAY, 8, 8, 1),
        map("m", map_type::HASH, 4, 8, 0),
        map("m", map_type::HASH, 0, 8, 1),
        map("m", map_type::RINGBUF, 0, 0, 5000),
        map("m", map_type::QUEUE, 4, 8, 1),
    ] {
        assert!(machine("exit", vec![bad]).is_err());
    }
    assert!(machine("exit", vec![map("m", map_type::ARRAY, 4, u32::MAX, u32::MAX)]).is_err());
}

#[test]
fn programs_that_nobody_attaches_may_use_what_is_missing() {
    let text = asm::assemble("mov %r0, 0\nexit\nmov %r1, 1\ncall 27\nexit").unwrap().text;
    let mut image = support::with_funcs(text, vec![0, 2], Vec::new());
    let mut other = image.programs[0].clone();
    (other.name, other.func, other.kind) = ("probe".into(), 1, ProgramKind::Other("kprobe".into()));
    image.programs.push(other);
    let m = Machine::new(image, &options()).expect("accepted");
    let fault = m.run(1, &[], &mut TestHost::default()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotImplemented);
    assert_eq!(
        fault.to_string(),
        "program probe: func1+1 (struct_ops/main): not implemented yet: helper bpf_get_stackid"
    );
}

#[test]
fn faults() {
    let check = |source: &str, kind: FaultKind, expect: &str| {
        let m = usual(source);
        let fault = run_in(&m, &mut TestHost::default(), &[]).expect_err(source);
        assert_eq!(fault.kind, kind, "{fault}");
        let text = fault.to_string();
        assert!(text.contains(expect) && text.starts_with("program main: "), "{text}\nexpected: {expect}");
    };
    check(
        "mov %r1, 0\nstxdw [%r1+8], %r1\nexit",
        FaultKind::NullStore,
        "main+1 (struct_ops/main): store of 8 bytes through a null pointer",
    );
    check("mov %r1, 0\nmov %r2, 1\nlock add [%r1], %r2\nexit", FaultKind::NullStore, "atomic operation at 0x0");
    check("lddw %r1, 0x100000000000000\nstw [%r1], 1\nexit", FaultKind::BadAccess, "bad address");
    check(
        "lddw %r1, 0x10ffffffff00\nldxdw %r0, [%r1]\nexit",
        FaultKind::BadAccess,
        "load of 8 bytes at 0x10ffffffff00",
    );
    check("lddw %r1, map:0\nldxdw %r0, [%r1]\nexit", FaultKind::BadAccess, "not a valid address");
    check("lddw %r1, value:5\nstw [%r1], 1\nexit", FaultKind::ReadOnly, "read-only memory");
    check("lddw %r1, value:5\nmov %r2, 1\nlock add32 [%r1], %r2\nexit", FaultKind::ReadOnly, "read-only memory");
    check("l:\nja l\nexit", FaultKind::Budget, "more than 10000000 instructions");
    check("call local f\nexit\nf:\ncall local f\nexit", FaultKind::CallDepth, "more than 8 frames");
    check("call kfunc 1\nexit", FaultKind::Misuse, "kfunc kfunc_absent, which this kernel does not have");
    check("mov %r1, 5\nmov %r2, 5\ncall 1\nexit", FaultKind::Misuse, "0x5 is not a map");
    check("lddw %r1, map:0\nmov %r2, 0\ncall 1\nexit", FaultKind::BadAccess, "map key at 0x0 is not accessible");
    check(
        "mov %r1, 1\nmov %r2, 77\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit",
        FaultKind::Misuse,
        "callback 0x4d is not a function",
    );
    let deadlock = "mov %r1, 1\nstxw [%r10-8], %r1\nmov %r1, %r10\nadd %r1, -8\ncall 93\nexit";
    check(deadlock, FaultKind::Misuse, "held by another invocation");
    let locked = "stdw [%r10-8], 0\nmov %r1, %r10\nadd %r1, -8\ncall 93\nexit";
    check(locked, FaultKind::Misuse, "returned with bpf_spin_lock");
    check("stdw [%r10-8], 0\nmov %r1, %r10\nadd %r1, -8\ncall 94\nexit", FaultKind::Misuse, "does not hold");
    check("mov %r1, %r10\nadd %r1, -8\ncall 132\nexit", FaultKind::Misuse, "no reserved ring buffer record");
    let kernel = |off: u64, rest: &str| format!("lddw %r1, {:#x}\n{rest}\nexit", KERNEL + off);
    check(&kernel(0x8000, "stw [%r1], 1"), FaultKind::ReadOnly, "programs may not write task_struct.pid");
    check(&kernel(0x9000, "ldxw %r0, [%r1]"), FaultKind::NotImplemented, "not implemented yet: struct rq field x");
    check(&kernel(0, "mov %r2, 1\nlock add [%r1], %r2"), FaultKind::BadAccess, "not the program's own memory");
}

#[test]
fn poisoned_instructions_fault_only_when_they_run() {
    let mut text = asm::assemble("jeq %r1, 0, bad\nmov %r0, 3\nexit\nbad:\nexit\nexit").unwrap().text;
    (text[3].code, text[3].src, text[3].imm) = (0x85, 15, 0);
    let mut image = image(text, Vec::new());
    image.poisons.push("the kernel has no task_struct.nothing".into());
    let m = Machine::new(image, &options()).unwrap();
    let mut host = TestHost::default();
    let call = |a: u64, host: &mut TestHost| m.call_function(Some(0), m.func_address(0), [a, 0, 0, 0, 0], host);
    assert_eq!(call(1, &mut host).unwrap().ret, 3);
    let fault = call(0, &mut host).unwrap_err();
    assert!(fault.message.contains("no task_struct.nothing"), "{fault}");
}

#[test]
fn bad_loads_read_zero_as_on_linux() {
    assert_eq!(ret("mov %r1, 8\nldxdw %r0, [%r1]\nadd %r0, 5\nexit"), 5);
    assert_eq!(ret("lddw %r1, 0xdead000000000000\nldxdw %r0, [%r1]\nadd %r0, 6\nexit"), 6);
    assert_eq!(ret("mov %r1, -4\nldxdw %r0, [%r1]\nadd %r0, 7\nexit"), 7, "over the end of the address space");
    let mut host = TestHost::default();
    host.put(16, &0x1122_3344u32.to_le_bytes());
    assert_eq!(
        ret_with(&format!("lddw %r1, {KERNEL:#x}\nldxh %r0, [%r1+18]\nstw [%r1+16], -1\nexit"), &mut host),
        0x1122
    );
    assert_eq!(host.kernel[&(KERNEL + 19)], 0xff);
}

#[test]
fn counts_are_exact() {
    let check = |source: &str, insns: u64| {
        let m = usual(source);
        let outcome = run_in(&m, &mut TestHost::default(), &[]).unwrap();
        assert_eq!(outcome.insns, insns, "{source}");
        assert_eq!(m.stats(0).insns, insns);
        assert_eq!(m.stats(0).runs, 1);
    };
    check("mov %r0, 0\nexit", 2);
    check("lddw %r0, 0\nexit", 2);
    check("mov %r0, 0\nl:\nadd %r0, 1\njlt %r0, 10, l\nexit", 1 + 20 + 1);
    check("ja +1\nmov %r0, 1\nmov %r0, 2\nexit", 3);
    check("call local f\ncall local f\nexit\nf:\nmov %r0, 1\nexit", 3 + 4);
    let looped = "mov %r1, 5\nlddw %r2, func:cb\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit\n.func cb\nmov %r0, 0\nexit";
    check(looped, 6 + 10);
}

#[test]
fn the_host_sees_counts_at_calls() {
    let mut host = TestHost::default();
    ret_with("mov %r6, 1\ncall kfunc 0\nja +0\ncall kfunc 0\nexit", &mut host);
    assert_eq!(host.insns_seen, [2, 4]);
}

#[test]
fn the_budget_is_a_limit_for_callbacks_too() {
    let text = "mov %r1, 1000\nlddw %r2, func:cb\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit\n.func cb\nmov %r0, 0\nexit";
    let program = asm::assemble(text).unwrap();
    let image = support::with_funcs(program.text, vec![0, program.funcs[0].1], Vec::new());
    let m = Machine::new(image, &Options { insn_budget: 500, ..options() }).unwrap();
    assert_eq!(m.run(0, &[], &mut TestHost::default()).unwrap_err().kind, FaultKind::Budget);
    // The slots of faulted invocations are used again.
    for _ in 0..10_000 {
        m.run(0, &[], &mut TestHost::default()).unwrap_err();
    }
}

#[test]
fn may_goto_ends_loops() {
    assert_eq!(ret("mov %r0, 0\nl:\nadd %r0, 1\nmay_goto done\nja l\ndone:\nmov %r0, 9\nexit"), 9);
}

#[test]
fn arguments_and_contexts() {
    let m = usual("ldxdw %r0, [%r1+8]\nldxdw %r2, [%r1]\nsub %r0, %r2\nexit");
    assert_eq!(m.run(0, &[3, 10], &mut TestHost::default()).unwrap().ret, 7);
    let m = usual("ldxw %r2, [%r1]\nadd %r2, 1\nstxw [%r1+4], %r2\nmov %r0, 0\nexit");
    let mut ctx = vec![0; 400];
    ctx[0] = 41;
    m.run_syscall(0, &mut ctx, &mut TestHost::default()).unwrap();
    assert_eq!(ctx[4], 42);
}

#[test]
fn callbacks_that_go_deeper_leave_no_frames_behind() {
    let source = "
        mov %r1, 100
        lddw %r2, func:cb
        mov %r3, 0
        mov %r4, 0
        call 181
        exit
        .func cb
        call local f
        mov %r0, 0
        exit
        f:
        call 8
        exit";
    assert_eq!(ret(source), 100);
}

#[test]
fn callbacks_of_the_host_nest() {
    // kfunc_run calls back; the callee has registers and a stack of its own.
    let source = "
        stdw [%r10-8], 5
        mov %r6, 6
        lddw %r1, func:cb
        mov %r2, 30
        mov %r3, 1
        call kfunc 2
        ldxdw %r1, [%r10-8]
        add %r0, %r1
        add %r0, %r6
        exit
        .func cb
        mov %r6, 1000
        stdw [%r10-8], 7000
        mov %r0, %r1
        add %r0, %r2
        exit";
    assert_eq!(ret(source), 31 + 11);
}

#[test]
fn for_each_visits_in_order_and_stops() {
    let source = "
        stdw [%r10-8], 0
        lddw %r1, map:0
        lddw %r2, func:cb
        mov %r3, %r10
        add %r3, -8
        mov %r4, 0
        call 164
        ldxdw %r1, [%r10-8]
        lsh %r1, 8
        or %r0, %r1
        exit
        .func cb
        ldxw %r1, [%r2]         # key
        stxw [%r3], %r1         # value
        ldxdw %r5, [%r4]
        lsh %r5, 4
        add %r5, %r1
        stxdw [%r4], %r5
        mov %r0, 0
        jlt %r1, 2, +1
        mov %r0, 1
        exit";
    assert_eq!(ret(source), 0x012 << 8 | 3);
}

#[test]
fn storage_lives_with_the_task() {
    let source = |flags: u32| {
        format!(
            "lddw %r1, map:3\nlddw %r2, {KERNEL:#x}\nadd %r2, 5\nmov %r3, 0\nmov %r4, {flags}\ncall 156\njeq %r0, 0, out\nldxdw %r1, [%r0]\nadd %r1, 1\nstxdw [%r0], %r1\nmov %r0, %r1\nout:\nexit"
        )
    };
    let m = usual(&source(0));
    assert_eq!(run_in(&m, &mut TestHost::default(), &[]).unwrap().ret, 0);
    let m = usual(&source(1));
    let mut host = TestHost::default();
    for expect in [1, 2, 3] {
        assert_eq!(run_in(&m, &mut host, &[]).unwrap().ret, expect);
    }
    let storage = m.map_index("storage").unwrap();
    assert_eq!(m.map_keys(storage), vec![5u64.to_le_bytes().to_vec()]);
    m.task_gone(5);
    assert_eq!(m.map_len(storage), 0);
    assert_eq!(run_in(&m, &mut host, &[]).unwrap().ret, 1, "a new value is zeroed");
}

#[test]
fn strings() {
    let mut host = TestHost::default();
    host.put(0, b"abc\0");
    // "value %d of %s" with a kernel string.
    let args = format!("lddw %r6, {KERNEL:#x}\nlddw %r7, value:5+0\n");
    let printk = format!("{args}mov %r1, %r7\nmov %r2, 15\nmov %r3, -4\nmov %r4, %r6\nmov %r5, 0\ncall 6\nexit");
    assert_eq!(ret_with(&printk, &mut host), 15);
    assert_eq!(host.printed, ["value -4 of abc"]);
    let snprintf = format!(
        "{args}stdw [%r10-16], 7\nstxdw [%r10-8], %r6\nmov %r1, %r10\nadd %r1, -32\nmov %r2, 8\nmov %r3, %r7\nmov %r4, %r10\nadd %r4, -16\nmov %r5, 16\ncall 165\nldxdw %r1, [%r10-32]\nexit"
    );
    assert_eq!(ret_with(&snprintf, &mut host), 15);
    let strncmp = format!("{args}mov %r1, %r6\nmov %r2, 4\nmov %r3, %r7\nadd %r3, 15\ncall 182\nexit");
    assert_eq!(ret_with(&strncmp, &mut host), 0);
    let read = |size: u32, addr: u64, id: u32| {
        format!(
            "mov %r1, %r10\nadd %r1, -16\nmov %r2, {size}\nlddw %r3, {addr:#x}\ncall {id}\nldxdw %r6, [%r10-16]\nlsh %r0, 32\nor %r0, %r6\nexit"
        )
    };
    let abc = u64::from(u32::from_le_bytes(*b"abc\0"));
    assert_eq!(ret_with(&format!("stdw [%r10-16], 0\n{}", read(4, KERNEL, 113)), &mut host), abc);
    assert_eq!(ret_with(&format!("stdw [%r10-16], 0\n{}", read(8, KERNEL, 115)), &mut host), 4 << 32 | abc);
    let cut = u64::from(u32::from_le_bytes(*b"ab\0\0"));
    assert_eq!(ret_with(&format!("stdw [%r10-16], 0\n{}", read(3, KERNEL, 115)), &mut host), 3 << 32 | cut);
    assert_eq!(ret_with(&format!("stdw [%r10-16], 1\n{}", read(8, 0, 113)), &mut host), neg(14) << 32);
}

#[test]
fn environment() {
    let mut host = TestHost { now_ns: 77_000_000, cpu: 3, ..TestHost::default() };
    let mut check =
        |id: u32, expect: u64| assert_eq!(ret_with(&format!("call {id}\nexit"), &mut host), expect, "helper {id}");
    check(5, 77_000_000);
    check(125, 77_000_000);
    check(118, 77);
    check(8, 3);
    check(14, 7 << 32 | 8);
    check(35, KERNEL);
    check(158, KERNEL);
    check(7, 1_013_904_223);
    let comm = "mov %r1, %r10\nadd %r1, -16\nmov %r2, 4\ncall 16\nldxw %r0, [%r10-16]\nexit";
    assert_eq!(ret_with(comm, &mut host), u64::from(u32::from_le_bytes(*b"tes\0")));
    let xchg = "stdw [%r10-8], 5\nmov %r1, %r10\nadd %r1, -8\nmov %r2, 9\ncall 194\nldxdw %r1, [%r10-8]\nlsh %r1, 8\nor %r0, %r1\nexit";
    assert_eq!(ret_with(xchg, &mut host), 9 << 8 | 5);
}

#[test]
fn locks() {
    let source = "stdw [%r10-8], 0\nmov %r1, %r10\nadd %r1, -8\nmov %r6, %r1\ncall 93\nldxw %r7, [%r6]\nmov %r1, %r6\ncall 94\nldxw %r0, [%r6]\nlsh %r7, 4\nor %r0, %r7\nexit";
    assert_eq!(ret(source), 0x10);
}

#[test]
fn ring_buffer() {
    let m = usual(
        "lddw %r1, map:4\nmov %r2, 16\nmov %r3, 0\ncall 131\njeq %r0, 0, full\nstdw [%r0], 7\nstdw [%r0+8], 8\nmov %r1, %r0\nmov %r2, 0\ncall 132\nmov %r0, 1\nexit\nfull:\nmov %r0, 0\nexit",
    );
    let mut host = TestHost::default();
    let ring = m.map_index("ring").unwrap();
    let mut pushed = 0;
    while run_in(&m, &mut host, &[]).unwrap().ret == 1 {
        pushed += 1;
    }
    assert_eq!(pushed, 4095 / 24);
    let expect: Vec<u8> = [7u64, 8].iter().flat_map(|v| v.to_le_bytes()).collect();
    // Records stay whole across the end of the area.
    for _ in 0..3 {
        for _ in 0..pushed {
            assert_eq!(m.ringbuf_consume(ring), Some(expect.clone()));
        }
        assert_eq!(m.ringbuf_consume(ring), None);
        for _ in 0..pushed {
            assert_eq!(run_in(&m, &mut host, &[]).unwrap().ret, 1);
        }
    }
}

#[test]
fn timers_reach_the_host() {
    let source = "lddw %r6, func:cb\nmov %r7, %r10\nadd %r7, -16\nmov %r1, %r7\nlddw %r2, map:0\nmov %r3, 1\ncall 169\nmov %r1, %r7\nmov %r2, %r6\ncall 170\nmov %r1, %r7\nmov %r2, 1000\nmov %r3, 0\ncall 171\nmov %r1, %r7\ncall 172\nexit\n.func cb\nmov %r0, 5\nexit";
    let m = usual(source);
    let mut host = TestHost::default();
    run_in(&m, &mut host, &[]).unwrap();
    assert_eq!(host.timers.len(), 4);
    let Some(scxr_bpf::vm::TimerOp::SetCallback { callback, .. }) = host.timers.get(1).copied() else {
        panic!("{:?}", host.timers)
    };
    assert_eq!(m.call_function(None, callback, [0; 5], &mut host).unwrap().ret, 5);
}

#[test]
fn the_host_may_look_before_every_instruction() {
    let program = asm::assemble("mov %r0, 0\nl:\nadd %r0, 1\njlt %r0, 10, l\nexit").unwrap();
    let m = Machine::new(image(program.text, Vec::new()), &Options { per_insn: true, ..options() }).unwrap();
    let mut host = TestHost::default();
    let outcome = m.run(0, &[], &mut host).unwrap();
    assert_eq!(host.steps, outcome.insns);
}

#[test]
fn per_cpu_values() {
    let m = usual(
        "stw [%r10-4], 1\nmov %r2, %r10\nadd %r2, -4\nlddw %r1, map:6\ncall 1\nldxdw %r1, [%r0]\nadd %r1, 1\nstxdw [%r0], %r1\nmov %r0, 0\nexit",
    );
    let mut host = TestHost::default();
    for cpu in [0, 2, 2, 3] {
        host.cpu = cpu;
        run_in(&m, &mut host, &[]).unwrap();
    }
    let values = m.map_lookup_percpu(6, &1u32.to_le_bytes()).unwrap();
    let values: Vec<u64> = values.iter().map(|v| u64::from_le_bytes(v[..].try_into().unwrap())).collect();
    assert_eq!(values, [1, 0, 2, 1]);
    assert_eq!(m.map_lookup(6, &1u32.to_le_bytes()).unwrap().len(), 4 * 8);
}

#[test]
fn format_bstr_reads_guest_strings() {
    let m = usual("mov %r0, 0\nexit");
    let mut host = TestHost::default();
    let fmt = m.map_value_addr(5, &[0; 4], 0).unwrap();
    let data = m.alloc(16).unwrap();
    assert!(m.write_u64(data, 3) && m.write_u64(data + 8, fmt + 15));
    assert_eq!(m.format_bstr(fmt, data, 16, &mut host), Ok(Ok(b"value 3 of abc".to_vec())));
    assert_eq!(m.format_bstr(fmt, data, 8, &mut host), Ok(Err(22)));
}

/// Addresses, results and contents depend on nothing but the calls.
#[test]
fn two_machines_agree() {
    let source = "mov %r2, %r10\nadd %r2, -4\nldxdw %r3, [%r1]\nstxw [%r10-4], %r3\nmov %r6, %r2\nmov %r3, %r6\nlddw %r1, map:1\nmov %r2, %r10\nadd %r2, -8\nmov %r4, 0\nmov %r3, %r2\ncall 2\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, map:1\ncall 1\nexit";
    let trace = || {
        let m = usual(source);
        let mut host = TestHost::default();
        let runs: Vec<_> = (0..8).map(|i| run_in(&m, &mut host, &[i])).collect();
        (runs, m.map_keys(1), m.stats(0))
    };
    assert_eq!(trace(), trace());
}
