//! Format strings of `bpf_trace_printk`, `bpf_snprintf`, `scx_bpf_error` and their like. [bpf_bprintf_prepare, vsnprintf]
//!
//! Accepted: `%%`, `%c`, `%s`, `%d %i %u %x %X` with `l` or `ll`, `%p` (and `%px`, `%pK`, `%ps`, `%pS`, `%pB`, all printed as sixteen
//! hexadecimal digits: there is nothing to hide in a simulation), flags `0 + - space #`, and a width.

use super::maps::errno;

/// Arguments at most (MAX_BPRINTF_VARARGS).
pub const ARGS_MAX: usize = 12;
/// Bytes of output at most.
pub const OUTPUT_MAX: usize = 1024;

/// A string argument longer than this is cut, as the kernel's buffer for arguments does.
const STRING_MAX: usize = 512;

#[derive(Default)]
struct Spec {
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    alt: bool,
    width: usize,
}

impl Spec {
    fn pad(&self, out: &mut Vec<u8>, sign: &[u8], digits: &[u8], numeric: bool) {
        let fill = self.width.saturating_sub(sign.len() + digits.len());
        let zeros = numeric && self.zero && !self.minus;
        if !self.minus && !zeros {
            out.extend(std::iter::repeat_n(b' ', fill));
        }
        out.extend_from_slice(sign);
        if zeros {
            out.extend(std::iter::repeat_n(b'0', fill));
        }
        out.extend_from_slice(digits);
        if self.minus {
            out.extend(std::iter::repeat_n(b' ', fill));
        }
    }
}

/// Formats `fmt` (without NUL). `string(addr, max)` reads the string argument at `addr`; `None`: bad address, printed as nothing,
/// as the kernel does. Errors are positive error numbers: EINVAL for a conversion that BPF does not have or without an argument.
pub fn format(fmt: &[u8], args: &[u64], mut string: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Result<Vec<u8>, i32> {
    let mut out = Vec::with_capacity(fmt.len() + 16);
    let mut args = args.iter().copied();
    let mut at = 0;
    while at < fmt.len() {
        let byte = fmt[at];
        at += 1;
        if !(byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
            return Err(errno::EINVAL);
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        if fmt.get(at) == Some(&b'%') {
            out.push(b'%');
            at += 1;
            continue;
        }
        let spec = spec(fmt, &mut at);
        let mut long = 0;
        while long < 2 && fmt.get(at) == Some(&b'l') {
            long += 1;
            at += 1;
        }
        let conversion = *fmt.get(at).ok_or(errno::EINVAL)?;
        at += 1;
        let arg = args.next().ok_or(errno::EINVAL)?;
        match (conversion, long) {
            (b'c', 0) => spec.pad(&mut out, b"", &[arg as u8], false),
            (b's', 0) => spec.pad(&mut out, b"", &string(arg, STRING_MAX).unwrap_or_default(), false),
            (b'p', 0) => {
                pointer_kind(fmt, &mut at)?;
                spec.pad(&mut out, b"", format!("{arg:016x}").as_bytes(), false);
            }
            _ => integer(
                &mut out,
                &spec,
                conversion,
                if long > 0 { (arg, arg as i64) } else { (u64::from(arg as u32), i64::from(arg as i32)) },
            )?,
        }
    }
    Ok(out)
}

/// Flags and width.
fn spec(fmt: &[u8], at: &mut usize) -> Spec {
    let mut spec = Spec::default();
    loop {
        match fmt.get(*at) {
            Some(b'0') => spec.zero = true,
            Some(b'+') => spec.plus = true,
            Some(b'-') => spec.minus = true,
            Some(b' ') => spec.space = true,
            Some(b'#') => spec.alt = true,
            _ => break,
        }
        *at += 1;
    }
    while let Some(digit) = fmt.get(*at).filter(|b| b.is_ascii_digit()) {
        spec.width = (spec.width * 10 + usize::from(digit - b'0')).min(OUTPUT_MAX);
        *at += 1;
    }
    spec
}

/// The letter after `%p`. Those that print something else than an address do not exist here.
fn pointer_kind(fmt: &[u8], at: &mut usize) -> Result<(), i32> {
    match fmt.get(*at) {
        Some(b'x' | b'K' | b's' | b'S' | b'B') => {
            *at += 1;
            Ok(())
        }
        Some(next) if next.is_ascii_alphanumeric() => Err(errno::EINVAL),
        _ => Ok(()),
    }
}

fn integer(out: &mut Vec<u8>, spec: &Spec, conversion: u8, (unsigned, signed): (u64, i64)) -> Result<(), i32> {
    let positive: &[u8] = match (spec.plus, spec.space) {
        (true, _) => b"+",
        (false, true) => b" ",
        (false, false) => b"",
    };
    match conversion {
        b'd' | b'i' => {
            let sign = if signed < 0 { b"-" } else { positive };
            spec.pad(out, sign, signed.unsigned_abs().to_string().as_bytes(), true);
        }
        b'u' => spec.pad(out, b"", unsigned.to_string().as_bytes(), true),
        b'x' => spec.pad(out, if spec.alt { b"0x" } else { b"" }, format!("{unsigned:x}").as_bytes(), true),
        b'X' => spec.pad(out, if spec.alt { b"0X" } else { b"" }, format!("{unsigned:X}").as_bytes(), true),
        _ => return Err(errno::EINVAL),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fmt: &str, args: &[u64], expect: Result<&str, i32>) {
        let string = |addr: u64, max: usize| (addr != 0).then(|| b"Hello, world"[..(addr as usize).min(max)].to_vec());
        let got = format(fmt.as_bytes(), args, string).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(got.as_deref().map_err(|e| *e), expect, "{fmt:?} of {args:?}");
    }

    #[test]
    fn conversions() {
        let minus = -5i64 as u64;
        check("plain 100%%\n", &[], Ok("plain 100%\n"));
        check("%d %i", &[minus, 7], Ok("-5 7"));
        check("%u", &[minus], Ok("4294967291"));
        check("%lu %llu", &[minus, 1 << 40], Ok("18446744073709551611 1099511627776"));
        check("%ld", &[minus], Ok("-5"));
        check("%x %X %llx", &[0xabcd, 0xabcd, u64::MAX], Ok("abcd ABCD ffffffffffffffff"));
        check("[%5d] [%-5d] [%05d] [%+d] [% d]", &[42, 42, minus, 42, 42], Ok("[   42] [42   ] [-0005] [+42] [ 42]"));
        check("[%s] [%8s] [%-8s]", &[5, 5, 5], Ok("[Hello] [   Hello] [Hello   ]"));
        check("%s|", &[0], Ok("|"));
        check("%c%c", &[u64::from(b'o'), u64::from(b'k')], Ok("ok"));
        check("%p %px", &[0x1234, 0x1234], Ok("0000000000001234 0000000000001234"));
        check("%#x", &[255], Ok("0xff"));
    }

    #[test]
    fn refused() {
        for fmt in ["%d", "%", "%l", "%f", "%5", "%ls", "%pI4", "\u{1}"] {
            check(fmt, if fmt == "%d" { &[] } else { &[1, 2] }, Err(errno::EINVAL));
        }
    }
}
