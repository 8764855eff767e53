//! A host for tests: kernel memory is a table, calls are recorded.

use std::collections::BTreeMap;

use scxr_bpf::vm::{AccessError, Call, Host, HostError, Machine, TimerOp};

/// First address of the pretended kernel's objects.
pub const KERNEL: u64 = 0xffff_8880_0000_0000;

/// The host.
#[derive(Default)]
pub struct TestHost {
    /// Bytes at kernel addresses.
    pub kernel: BTreeMap<u64, u8>,
    pub now_ns: u64,
    pub cpu: u32,
    pub printed: Vec<String>,
    pub timers: Vec<TimerOp>,
    pub insns_seen: Vec<u64>,
    pub steps: u64,
    pub random: u32,
    /// A load from there is a bug of the host's.
    pub panics_at: Option<u64>,
}

impl TestHost {
    /// Puts bytes at an offset from [`KERNEL`].
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (i, b) in bytes.iter().enumerate() {
            self.kernel.insert(KERNEL + offset + i as u64, *b);
        }
    }
}

impl Host for TestHost {
    fn kfunc(&mut self, m: &Machine, call: Call, args: [u64; 5]) -> Result<u64, HostError> {
        self.insns_seen.push(call.insns);
        match m.image().kfuncs[call.id].name.as_str() {
            "kfunc_run" => {
                let outcome = m.call_function(call.program, args[0], [args[1], args[2], 0, 0, 0], self)?;
                Ok(outcome.ret)
            }
            _ => Ok(args[0]),
        }
    }

    fn kernel_load(&mut self, _: &Machine, addr: u64, size: u8) -> Result<u64, AccessError> {
        assert_ne!(Some(addr), self.panics_at, "as the test wants");
        if addr == KERNEL + 0x9000 {
            return Err(AccessError::NotImplemented("struct rq field x".into()));
        }
        (0..u64::from(size)).rev().try_fold(0, |v, i| match self.kernel.get(&addr.wrapping_add(i)) {
            Some(b) => Ok(v << 8 | u64::from(*b)),
            None => Err(AccessError::Bad),
        })
    }

    fn kernel_store(&mut self, _: &Machine, addr: u64, size: u8, value: u64) -> Result<(), AccessError> {
        if addr == KERNEL + 0x8000 {
            return Err(AccessError::ReadOnly("task_struct.pid".into()));
        }
        for i in 0..u64::from(size) {
            *self.kernel.get_mut(&addr.wrapping_add(i)).ok_or(AccessError::Bad)? = (value >> (8 * i)) as u8;
        }
        Ok(())
    }

    fn ktime_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn jiffies64(&mut self) -> u64 {
        self.now_ns / 1_000_000
    }

    fn cpu(&mut self) -> u32 {
        self.cpu
    }

    fn current_task(&mut self) -> u64 {
        KERNEL
    }

    fn pid_tgid(&mut self) -> u64 {
        7 << 32 | 8
    }

    fn comm(&mut self) -> [u8; 16] {
        *b"test\0\0\0\0\0\0\0\0\0\0\0\0"
    }

    fn prandom_u32(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }

    fn printk(&mut self, text: &[u8]) {
        self.printed.push(String::from_utf8_lossy(text).into_owned());
    }

    fn task_storage_key(&mut self, task: u64) -> Option<u64> {
        (task >= KERNEL).then(|| task - KERNEL)
    }

    fn timer(&mut self, _: &Machine, _: Call, op: TimerOp) -> Result<u64, HostError> {
        self.timers.push(op);
        Ok(0)
    }

    fn before_insn(&mut self, _: &Machine, _: u32, _: u64) -> Result<(), HostError> {
        self.steps += 1;
        Ok(())
    }
}
