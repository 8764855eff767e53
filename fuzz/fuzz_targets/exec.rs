//! Any bytes choose a program: compiled code and the interpreter must do the same with it.
#![no_main]

#[path = "../../crates/bpf/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use scxr_bpf::vm::{Exec, Machine, Options};
use support::host::TestHost;

fuzz_target!(|bytes: &[u8]| {
    let image = support::random::image(bytes);
    let run = |exec| {
        let options = Options { exec, insn_budget: 5_000, ..support::options() };
        let m = Machine::new(image.clone(), &options).map_err(|e| e.to_string())?;
        let mut host = TestHost::default();
        host.put(0, &[3; 64]);
        let ran = (m.run(0, &[1, 2, 3], &mut host), m.run(0, &[4], &mut host));
        let seen = (m.map_lookup(0, &[0; 4]), m.map_keys(1), host.kernel, host.insns_seen, host.random);
        Ok::<_, String>(format!("{ran:?} {seen:?}"))
    };
    assert_eq!(run(Exec::Interp), run(Exec::Jit));
});
