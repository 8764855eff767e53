//! Whether KVM works here: not whether its device is there, but whether it runs a stock kernel.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::boot::{Accelerator, Machine, VmError, run_machine};
use super::{Qemu, Shape};

/// What the probe's kernel says once it is up: it was given no root file system.
const UP: [&str; 2] = ["Unable to mount root fs", "No working init found"];

/// What a probe of KVM found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// It runs a stock kernel.
    Works,
    /// There is no device, or it may not be used.
    Absent {
        /// Why.
        reason: String,
    },
    /// The device is there, a kernel does not come up on it.
    Broken {
        /// What was seen.
        reason: String,
    },
}

impl Kvm {
    /// Boot a kernel until it looks for a root file system. `limit`: wall time that this may take; a kernel that works is
    /// there within two seconds.
    pub fn probe(qemu: &Qemu, kernel: &Path, limit: Duration) -> Result<Kvm, VmError> {
        if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            return Ok(Kvm::Absent { reason: format!("/dev/kvm: {error}") });
        }
        let machine = Machine {
            kernel,
            initramfs: None,
            shape: &Shape::flat(1),
            memory_mib: 256,
            caches: false,
            accelerator: Accelerator::Kvm,
            append: "console=ttyS0 panic=-1",
            wall_limit: limit,
            silence: limit,
            stop: &AtomicBool::new(false),
        };
        let mut ran = run_machine(qemu, &machine, &mut |_| {})?;
        let console = ran.console.text();
        if UP.iter().any(|up| console.contains(up)) {
            return Ok(Kvm::Works);
        }
        let seen = match (ran.ended, console.lines().last()) {
            (None, _) => format!("no kernel came up in {} s", limit.as_secs()),
            (Some(_), Some(line)) => format!("the kernel ended with: {}", line.trim()),
            (Some(_), None) => ran.complaint(),
        };
        Ok(Kvm::Broken { reason: seen })
    }
}
