//! Messages: errors and exits, lines of the trace pipe, lines of the debug dump.
//!
//! Formats are the kernel's (`%d`, `%u`, `%lld`, `%llu`, `%llx`, `%s`, …); arguments are [`Argument`]s: integers and what is one, and names of tasks
//! for `%s`. A format whose conversions are not as many as the arguments does not compile:
//!
//! ```compile_fail
//! fn f() {
//!     scxr_policy::scx_error!("%d of %d", 1);
//! }
//! ```

use crate::backend::kernel::{self, Word};
use crate::{Comm, Cpu, Errno, Ns, Vtime, Weight};

/// What a message can say.
pub trait Argument {
    #[doc(hidden)]
    fn word(&self) -> Word;
}

macro_rules! arguments {
    ($($ty:ty: $this:ident => $value:expr;)*) => {$(
        impl Argument for $ty {
            #[inline(always)]
            fn word(&self) -> Word {
                let $this = self;
                kernel::number($value as u64)
            }
        }
    )*};
}

arguments! {
    u8: this => *this; u16: this => *this; u32: this => *this; u64: this => *this; usize: this => *this;
    i8: this => *this; i16: this => *this; i32: this => *this; i64: this => *this; isize: this => *this;
    bool: this => *this;
    Ns: this => this.0; Vtime: this => this.0; Cpu: this => this.0; Errno: this => this.0; Weight: this => this.0;
}

impl Argument for Comm {
    #[inline(always)]
    fn word(&self) -> Word {
        kernel::text(self)
    }
}

/// Number of conversions in a format: what begins with `%`, without `%%`.
#[doc(hidden)]
pub const fn conversions(format: &str) -> usize {
    let (bytes, mut found, mut i) = (format.as_bytes(), 0, 0);
    while i < bytes.len() {
        if bytes[i] == b'%' {
            if i + 1 < bytes.len() && bytes[i + 1] == b'%' {
                i += 1;
            } else {
                found += 1;
            }
        }
        i += 1;
    }
    found
}

/// A checked format and its arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __message {
    ($function:ident [$($first:expr)?] $format:literal $(, $arg:expr)*) => {{
        const _: () = assert!(
            $crate::conversions($format) == 0 $(+ { let _ = stringify!($arg); 1 })*,
            "the format has another number of conversions than there are arguments"
        );
        $crate::backend::kernel::$function($($first,)? $crate::__format!($format), [$($crate::Argument::word(&$arg)),*])
    }};
}

/// Ends the scheduler as faulty, with a message (`scx_bpf_error`): `scx_error!("cannot make DSQ %llu (%d)", id, err)`.
#[macro_export]
macro_rules! scx_error {
    ($format:literal $(, $arg:expr)* $(,)?) => { $crate::__message!(error [] $format $(, $arg)*) };
}

/// Ends the scheduler in good order, with a code and a message (`scx_bpf_exit`): `scx_exit!(3, "enough after %d tasks", nr)`.
#[macro_export]
macro_rules! scx_exit {
    ($code:expr, $format:literal $(, $arg:expr)* $(,)?) => { $crate::__message!(exit [$code as i64] $format $(, $arg)*) };
}

/// Prints a line where tracers read it (`bpf_printk`): `scx_print!("%s[%d] waits", p.comm(), p.pid())`.
#[macro_export]
macro_rules! scx_print {
    ($format:literal $(, $arg:expr)* $(,)?) => { $crate::__message!(print [] $format $(, $arg)*) };
}

/// Adds a line to the debug dump (`scx_bpf_dump`), with the context first: `scx_dump!(cx, "%d tasks", nr)`.
#[macro_export]
macro_rules! scx_dump {
    ($cx:expr, $format:literal $(, $arg:expr)* $(,)?) => {{
        fn __may_dump(_cx: &impl $crate::MayDump) {}
        __may_dump($cx);
        $crate::__message!(dump [] $format $(, $arg)*)
    }};
}

#[cfg(all(test, not(bpf)))]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_counted() {
        for (format, expect) in [("", 0), ("a", 0), ("%d", 1), ("%d %llu%%", 2), ("%%", 0), ("%%%x", 1), ("%", 1)] {
            assert_eq!(conversions(format), expect, "{format}");
        }
    }
}
