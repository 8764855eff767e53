//! Helpers that read memory of any kind, and strings: probe reads, comparison, formatting.

use super::super::fault::HostError;
use super::super::format;
use super::super::host::Host;
use super::super::machine::Machine;
use super::super::maps::errno;
use super::{Ret, bad, err};

/// Longest data that one probe read or string helper takes here, bytes.
const COPY_MAX: u64 = 1 << 20;

impl Machine {
    /// Fills `out` from any address; false: not readable.
    pub(super) fn read_any(&self, addr: u64, out: &mut [u8], host: &mut dyn Host) -> bool {
        if addr < 4096 || addr.checked_add(out.len() as u64).is_none() {
            return false;
        }
        if self.owns(addr) {
            return self.mem.read(addr, out);
        }
        let mut at = 0;
        while at < out.len() {
            let rest = out.len() - at;
            let here = addr.wrapping_add(at as u64);
            // Aligned pieces: a field is never read in a larger piece than it has been declared with its neighbours.
            let size = [8, 4, 2, 1].into_iter().find(|s| *s <= rest && here.is_multiple_of(*s as u64)).unwrap_or(1);
            match host.kernel_load(self, here, size as u8) {
                Ok(v) => out[at..at + size].copy_from_slice(&v.to_le_bytes()[..size]),
                Err(_) => return false,
            }
            at += size;
        }
        true
    }

    pub(super) fn probe_read(&self, dst: u64, size: u64, src: u64, host: &mut dyn Host) -> Ret {
        let size = size & 0xffff_ffff;
        if size > COPY_MAX {
            return Err(HostError::Misuse(format!("probe read of {size} bytes")));
        }
        let mut data = vec![0; size as usize];
        let read = self.read_any(src, &mut data, host);
        if !read {
            data.fill(0);
        }
        if !self.mem.write(dst, &data) {
            return Err(bad("buffer", dst));
        }
        Ok(if read { 0 } else { err(errno::EFAULT) })
    }

    /// The string at `addr` without NUL, at most `max` bytes; `None`: not readable.
    fn read_string(&self, addr: u64, max: usize, host: &mut dyn Host) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut byte = [0];
        while out.len() < max {
            if !self.read_any(addr.wrapping_add(out.len() as u64), &mut byte, host) {
                return None;
            }
            if byte[0] == 0 {
                break;
            }
            out.push(byte[0]);
        }
        Some(out)
    }

    pub(super) fn probe_read_str(&self, dst: u64, size: u64, src: u64, host: &mut dyn Host) -> Ret {
        let size = (size & 0xffff_ffff).min(COPY_MAX) as usize;
        if size == 0 {
            return Ok(0);
        }
        let (data, result) = match self.read_string(src, size - 1, host) {
            Some(mut text) => {
                text.push(0);
                let len = text.len() as u64;
                (text, len)
            }
            None => (vec![0; size], err(errno::EFAULT)),
        };
        if self.mem.write(dst, &data) { Ok(result) } else { Err(bad("buffer", dst)) }
    }

    pub(super) fn strncmp(&self, s1: u64, size: u64, s2: u64, host: &mut dyn Host) -> Ret {
        for i in 0..(size & 0xffff_ffff).min(COPY_MAX) {
            let (mut a, mut b) = ([0], [0]);
            if !self.read_any(s1.wrapping_add(i), &mut a, host) || !self.read_any(s2.wrapping_add(i), &mut b, host) {
                return Err(bad("string", s1.wrapping_add(i)));
            }
            if a != b || a[0] == 0 {
                return Ok(i64::from(a[0].cmp(&b[0]) as i8) as u64);
            }
        }
        Ok(0)
    }

    pub(super) fn current_comm(&self, out: u64, size: u64, host: &mut dyn Host) -> Ret {
        let comm = host.comm();
        let len = comm.iter().position(|b| *b == 0).unwrap_or(comm.len());
        let mut text = vec![0; size.min(COPY_MAX) as usize];
        let n = len.min(text.len().saturating_sub(1));
        text[..n].copy_from_slice(&comm[..n]);
        if self.mem.write(out, &text) { Ok(0) } else { Err(bad("buffer", out)) }
    }

    /// The argument array of a variadic helper: `bytes` long, 8 each; `None`: EINVAL.
    pub(super) fn varargs(&self, data: u64, bytes: u64) -> Result<Option<Vec<u64>>, HostError> {
        let bytes = (bytes & 0xffff_ffff) as usize;
        if !bytes.is_multiple_of(8) || bytes > format::ARGS_MAX * 8 || (bytes > 0 && data == 0) {
            return Ok(None);
        }
        (0..bytes as u64 / 8)
            .map(|i| self.mem.load::<u64>(data.wrapping_add(i * 8)).ok_or_else(|| bad("arguments", data)))
            .collect::<Result<Vec<u64>, HostError>>()
            .map(Some)
    }

    /// Formats the guest's format string. `fmt_size`: bytes in which its NUL must be, if known. The inner error: an error number.
    pub(super) fn bprintf(
        &self,
        fmt: u64,
        fmt_size: Option<u64>,
        args: &[u64],
        host: &mut dyn Host,
    ) -> Result<Result<Vec<u8>, i32>, HostError> {
        let max = fmt_size.map_or(format::OUTPUT_MAX as u64, |s| s & 0xffff_ffff).min(COPY_MAX);
        let text = self.read_cstr(fmt, max as usize).ok_or_else(|| bad("format string", fmt))?;
        if text.len() as u64 == max {
            return Ok(Err(errno::EINVAL));
        }
        Ok(format::format(&text, args, |addr, max| self.read_string(addr, max, host)))
    }

    /// Formats as `scx_bpf_error_bstr` and the like do: the format string at `fmt`, `bytes` bytes of arguments at `data`. The inner error
    /// is a positive error number.
    pub fn format_bstr(
        &self,
        fmt: u64,
        data: u64,
        bytes: u64,
        host: &mut dyn Host,
    ) -> Result<Result<Vec<u8>, i32>, HostError> {
        match self.varargs(data, bytes)? {
            Some(args) => self.bprintf(fmt, None, &args, host),
            None => Ok(Err(errno::EINVAL)),
        }
    }

    pub(super) fn printk(&self, fmt: u64, fmt_size: u64, args: &[u64], host: &mut dyn Host) -> Ret {
        Ok(match self.bprintf(fmt, Some(fmt_size), args, host)? {
            Ok(mut text) => {
                text.truncate(format::OUTPUT_MAX - 1);
                host.printk(&text);
                text.len() as u64
            }
            Err(e) => err(e),
        })
    }

    pub(super) fn snprintf(&self, a: [u64; 5], host: &mut dyn Host) -> Ret {
        let [out, size, fmt, data, bytes] = a;
        let Some(args) = self.varargs(data, bytes)? else { return Ok(err(errno::EINVAL)) };
        let size = (size & 0xffff_ffff) as usize;
        Ok(match self.bprintf(fmt, None, &args, host)? {
            Ok(mut text) => {
                let needed = text.len() as u64 + 1;
                text.truncate(size.saturating_sub(1));
                text.push(0);
                if size > 0 && !self.mem.write(out, &text) {
                    return Err(bad("buffer", out));
                }
                needed
            }
            Err(e) => err(e),
        })
    }
}
