//! Compiled code and the interpreter do the same: the same result, count of instructions and memory, or the same fault at the
//! same place, on whatever program. `fuzz/fuzz_targets/exec.rs` goes on where this ends.

mod support;

use proptest::prelude::*;
use scxr_bpf::image::Image;
use scxr_bpf::vm::{CodeCache, Exec, Machine, Options};
use support::host::{KERNEL, TestHost};

/// All that can be seen of a run.
fn run(image: &Image, exec: Exec, budget: u64) -> Result<String, String> {
    let options = Options { exec, insn_budget: budget, ..support::options() };
    let m = Machine::new(image.clone(), &options).map_err(|e| e.to_string())?;
    let mut host = TestHost::default();
    host.put(0, &[3; 64]);
    let first = m.run(0, &[1, 2, 3], &mut host);
    let second = m.run(0, &[4], &mut host);
    let value = m.map_lookup(0, &0u32.to_le_bytes());
    Ok(format!("{first:?} {second:?} {:?} {value:?} {:?} {:?}", m.stats(0), host.kernel, host.insns_seen))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn compiled_and_interpreted(bytes in prop::collection::vec(any::<u8>(), 0..600), budget in prop::sample::select(vec![60u64, 1_000, 20_000])) {
        let image = support::random::image(&bytes);
        prop_assert_eq!(run(&image, Exec::Interp, budget), run(&image, Exec::Jit, budget));
    }
}

#[test]
fn random_programs_are_valid_and_do_something() {
    let (mut faults, mut results) = (0, 0);
    for seed in 0..300u32 {
        let mut x = seed.wrapping_mul(2_654_435_761) | 1;
        let mut byte = || {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x as u8
        };
        let bytes: Vec<u8> = (0..400).map(|_| byte()).collect();
        let seen = run(&support::random::image(&bytes), Exec::Interp, 1_000).expect("valid");
        if seen.starts_with("Ok") { results += 1 } else { faults += 1 }
    }
    assert!(results > 60 && faults > 60, "{results} results, {faults} faults");
}

/// Code is shared by machines of the same text, and made once enough has run.
#[test]
fn code_comes_when_it_pays() {
    let source = "mov %r0, 0\nloop:\nadd %r0, 1\njlt %r0, 2000, loop\nexit";
    let image = support::image(support::asm::assemble(source).expect("valid").text, Vec::new());
    let cache = CodeCache::default();
    let machine = |exec| {
        let options = Options { exec, cache: Some(&cache), ..support::options() };
        Machine::new(image.clone(), &options).expect("valid")
    };
    let first = machine(Exec::Auto);
    let mut host = TestHost::default();
    assert!(!first.is_compiled());
    let outcome = first.run(0, &[], &mut host).expect("no fault");
    assert!(!first.is_compiled());
    for _ in 0..20 {
        assert_eq!(first.run(0, &[], &mut host).expect("no fault"), outcome);
    }
    assert!(first.is_compiled() && machine(Exec::Auto).is_compiled() && !machine(Exec::Interp).is_compiled());
    assert_eq!(machine(Exec::Auto).run(0, &[], &mut host).expect("no fault"), outcome);
}

/// A panic of the host's passes over compiled code, as the unwinding of a coroutine that is given up does.
#[test]
fn panics_pass() {
    let source = "mov %r1, 1\ncall local f\nexit\nf:\nlddw %r8, 0xffff888000000000\nldxw %r0, [%r8+0]\nexit";
    let m = support::machine(source, Vec::new());
    for exec in [Exec::Interp, Exec::Jit] {
        let image = m.as_ref().expect("valid").image().clone();
        let m = Machine::new(image, &Options { exec, ..support::options() }).expect("valid");
        let mut host = TestHost { panics_at: Some(KERNEL), ..TestHost::default() };
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| m.run(0, &[], &mut host)));
        assert!(run.is_err(), "{exec:?}");
        host.panics_at = None;
        assert_eq!(m.run(0, &[], &mut host).expect("no fault").insns, 6, "{exec:?}");
    }
}
