//! The interpreter and compiled code beside `rbpf`'s and beside native Rust, on the same programs in the same run. Throughput is instructions
//! (the machine's count); native code is charged the same number, so that the ratio of times is the ratio of throughputs.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use scxr_bpf::image::Insn;
use scxr_bpf::vm::{Exec, Machine, Options, map_type};
use support::host::TestHost;
use support::{asm, image, map, options};

/// Iterations of each program's loop.
const N: u64 = 1000;

/// r1: iterations. Mixes 64-bit values.
const ARITHMETIC: &str = "
    mov %r0, 1
    mov %r2, 0
loop:
    add %r2, 1
    mov %r3, %r0
    lsh %r3, 13
    xor %r0, %r3
    mov %r3, %r0
    rsh %r3, 7
    xor %r0, %r3
    mul %r0, 31
    add %r0, %r2
    jlt %r2, %r1, loop
    exit";

/// r1: iterations. Sums and rewrites a buffer of 256 bytes on the stack.
const MEMORY: &str = "
    mov %r0, 0
    mov %r2, 0
loop:
    mov %r3, %r2
    and %r3, 31
    lsh %r3, 3
    mov %r4, %r10
    add %r4, -256
    add %r4, %r3
    stxdw [%r4], %r2
    ldxw %r5, [%r4]
    add %r0, %r5
    ldxb %r5, [%r4+1]
    add %r0, %r5
    stxw [%r4+4], %r0
    add %r2, 1
    jlt %r2, %r1, loop
    exit";

/// r6: iterations. A map lookup, a null check and an update in place for each.
const LOOKUP: &str = "
    mov %r6, %r1
    mov %r7, 0
loop:
    mov %r2, %r7
    and %r2, 63
    stxw [%r10-4], %r2
    mov %r2, %r10
    add %r2, -4
    lddw %r1, MAP
    call 1
    jeq %r0, 0, next
    ldxdw %r3, [%r0]
    add %r3, 1
    stxdw [%r0], %r3
next:
    add %r7, 1
    jlt %r7, %r6, loop
    mov %r0, %r7
    exit";

fn bytes(text: &[Insn]) -> Vec<u8> {
    let word = |i: &Insn| {
        let mut b = [i.code, i.src << 4 | i.dst, 0, 0, 0, 0, 0, 0];
        b[2..4].copy_from_slice(&i.off.to_le_bytes());
        b[4..].copy_from_slice(&i.imm.to_le_bytes());
        b
    };
    text.iter().flat_map(word).collect()
}

/// Interpreted, then compiled.
fn ours(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, text: &[Insn], kind: Option<u32>) {
    one(group, name, text, kind, Exec::Interp);
    one(group, &format!("{name}-jit"), text, kind, Exec::Jit);
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, text: &[Insn], kind: Option<u32>, exec: Exec) {
    let maps = kind.map(|t| map("m", t, 4, 8, 64)).into_iter().collect();
    let machine = Machine::new(image(text.to_vec(), maps), &Options { exec, ..options() }).expect("a valid program");
    let mut host = TestHost::default();
    if kind == Some(map_type::HASH) {
        for i in 0..64u32 {
            machine.map_update(0, &i.to_le_bytes(), &[0; 8], 0).expect("room");
        }
    }
    let main = machine.func_address(0);
    let mut run = |n: u64| machine.call_function(Some(0), main, [n, 0, 0, 0, 0], &mut host).expect("no fault");
    group.throughput(Throughput::Elements(run(N).insns));
    group.bench_function(name, |b| b.iter(|| run(black_box(N)).ret));
}

/// `rbpf` gives r1 the address of a packet: its length stands for the iterations of our r1.
fn theirs(group: &mut BenchmarkGroup<'_, WallTime>, source: &str) {
    let source = source.replacen("mov %r0", &format!("mov %r1, {N}\nmov %r0"), 1);
    let text = bytes(&asm::assemble(&source).expect("valid").text);
    let vm = rbpf::EbpfVmNoData::new(Some(&text)).expect("rbpf takes it");
    group.bench_function("rbpf", |b| b.iter(|| vm.execute_program().expect("no fault")));
    let mut vm = rbpf::EbpfVmNoData::new(Some(&text)).expect("rbpf takes it");
    if vm.jit_compile().is_ok() {
        // SAFETY: the program touches its stack alone.
        group.bench_function("rbpf-jit", |b| b.iter(|| unsafe { vm.execute_program_jit() }.expect("no fault")));
    }
}

#[inline(never)]
fn native_arithmetic(n: u64) -> u64 {
    let (mut a, mut i) = (1u64, 0);
    while i < n {
        i += 1;
        a ^= a << 13;
        a ^= a >> 7;
        a = a.wrapping_mul(31).wrapping_add(i);
    }
    a
}

#[inline(never)]
fn native_memory(n: u64) -> u64 {
    let mut buffer = [0u64; 32];
    let mut sum = 0u64;
    for i in 0..n {
        let cell = black_box(&mut buffer[i as usize & 31]);
        *cell = i;
        sum = sum.wrapping_add(u64::from(*cell as u32));
        sum = sum.wrapping_add((*cell >> 8) & 0xff);
        *cell = *cell & 0xffff_ffff | sum << 32;
    }
    sum
}

#[inline(never)]
fn native_lookup(table: &mut [u64], n: u64) -> u64 {
    for i in 0..n {
        if let Some(v) = black_box(&mut *table).get_mut(i as usize & 63) {
            *v += 1;
        }
    }
    n
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("arithmetic");
    ours(&mut group, "scxr", &asm::assemble(ARITHMETIC).expect("valid").text, None);
    theirs(&mut group, ARITHMETIC);
    group.bench_function("native", |b| b.iter(|| native_arithmetic(black_box(N))));
    group.finish();

    let mut group = c.benchmark_group("memory");
    ours(&mut group, "scxr", &asm::assemble(MEMORY).expect("valid").text, None);
    theirs(&mut group, MEMORY);
    group.bench_function("native", |b| b.iter(|| native_memory(black_box(N))));
    group.finish();

    let mut group = c.benchmark_group("map-lookup");
    let text = asm::assemble(&LOOKUP.replace("MAP", "map:0")).expect("valid").text;
    ours(&mut group, "scxr-array", &text, Some(map_type::ARRAY));
    ours(&mut group, "scxr-hash", &text, Some(map_type::HASH));
    // rbpf has no maps: its own helper looks an array up.
    static TABLE: std::sync::OnceLock<Vec<std::sync::atomic::AtomicU64>> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| (0..64).map(|_| Default::default()).collect());
    let lookup = |_: u64, key: u64, _: u64, _: u64, _: u64| -> u64 {
        // SAFETY: the program passes the address of four bytes of its stack.
        let index = unsafe { (key as *const u32).read_unaligned() };
        TABLE.get().and_then(|t| t.get(index as usize)).map_or(0, |v| v.as_ptr() as u64)
    };
    let source = LOOKUP.replace("MAP", "0").replacen("mov %r6, %r1", &format!("mov %r6, {N}"), 1);
    let text = bytes(&asm::assemble(&source).expect("valid").text);
    let mut vm = rbpf::EbpfVmNoData::new(Some(&text)).expect("rbpf takes it");
    vm.register_helper(1, lookup).expect("a helper");
    let start = table[0].as_ptr() as u64;
    vm.register_allowed_memory(start..start + 64 * 8);
    group.bench_function("rbpf", |b| b.iter(|| vm.execute_program().expect("no fault")));
    let mut native = vec![0u64; 64];
    group.bench_function("native", |b| b.iter(|| native_lookup(&mut native, black_box(N))));
    group.finish();

    let mut group = c.benchmark_group("invocation");
    for (name, exec) in [("scxr-empty-program", Exec::Interp), ("scxr-empty-program-jit", Exec::Jit)] {
        let image = image(asm::assemble("mov %r0, 0\nexit").expect("valid").text, Vec::new());
        let machine = Machine::new(image, &Options { exec, ..options() }).expect("valid");
        let mut host = TestHost::default();
        group.bench_function(name, |b| {
            b.iter(|| machine.run(0, black_box(&[1, 2, 3]), &mut host).expect("no fault").ret)
        });
    }
    group.finish();
}

criterion_group!(interp, benches);
criterion_main!(interp);
