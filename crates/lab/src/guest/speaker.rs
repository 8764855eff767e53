//! The PC speaker as the switch of a timer of QEMU's.
//!
//! With instruction-counted time the CPUs get turns only at timers (see `qemu::boot`), and a timer every 50 µs while a kernel
//! boots and a scheduler is loaded, with one of them at work, would be half of the wall time. QEMU's audio timer goes only while something sounds, and the
//! speaker, with nothing behind it, is what a guest can switch on at an instruction of its own choice.

use std::io;

/// The port of the speaker's gate: bit 0 lets the timer's channel run, bit 1 lets it be heard.
const PORT: u16 = 0x61;
const ON: u8 = 3;

/// The guest's CPUs have short turns from now on, where its host waits for this word ([`crate::qemu::Turns::OnDemand`]). `Err`: the
/// kernel has no `CONFIG_X86_IOPL_IOPERM`, or this is not an x86 machine.
#[cfg(target_arch = "x86_64")]
pub fn switch_on() -> io::Result<()> {
    // SAFETY: it asks for a port for this thread; no memory is involved.
    if unsafe { libc::ioperm(PORT.into(), 1, 1) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the port may be written to, as of the line before, and behind it is a speaker, not memory of ours.
    unsafe { std::arch::asm!("out dx, al", in("dx") PORT, in("al") ON, options(nomem, nostack, preserves_flags)) };
    // SAFETY: as the first. The port is not needed any more, and a thread with ports is slower to switch to.
    unsafe { libc::ioperm(PORT.into(), 1, 0) };
    Ok(())
}

/// As above; there is no such port.
#[cfg(not(target_arch = "x86_64"))]
pub fn switch_on() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
