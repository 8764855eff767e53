//! What the tests against the real archive and the real QEMU share.

use std::io::Write as _;

use scxr_lab::kernels::{Kernel, KernelError, KernelSpec, Store, default_cache};

/// Say visibly that a test cannot run here; where `CI` is set, fail instead.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot run here, and in CI it must: {why}");
    // Not by a macro: the test harness would keep that to itself.
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

/// A kernel from the user's cache or the archive. `None`: it cannot be had here, which was said.
pub(crate) fn kernel(spec: &str) -> Option<Kernel> {
    let spec: KernelSpec = spec.parse().unwrap();
    match Store::new(default_cache().unwrap()).resolve(&spec, &mut |_| {}) {
        Ok(kernel) => Some(kernel),
        Err(KernelError::Apt(error)) => {
            skip(&error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}
