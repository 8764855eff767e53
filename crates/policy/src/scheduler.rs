//! Declaring a scheduler.

/// Declares a scheduler: its type, its name and options, and its operations.
///
/// ```text
/// scheduler! {
///     /// What it does.
///     pub struct Simple { name: "simple", flags: OpsFlags::ENQ_LAST | OpsFlags::ENQ_EXITING, timeout_ms: 5000 }   // the last two may be left out
///
///     impl Ops for Simple {
///         fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) { … }
///         …
///     }
/// }
/// ```
///
/// The methods are those of [`Ops`](crate::Ops), or of [`CidOps`](crate::CidOps) with `impl CidOps for …`; only the ones that are written enter the table of operations. For BPF each becomes a
/// program `NAME_OPERATION` and the table the struct_ops map `NAME_ops`; natively a
/// `static POLICY: PolicyDef` describes the scheduler. The policy's [`state!`](crate::state) has to be in the same module.
#[macro_export]
macro_rules! scheduler {
    (
        $(#[$meta:meta])*
        $vis:vis struct $S:ident { name: $name:literal $(, flags: $($flags:path)|+)? $(, timeout_ms: $timeout_ms:expr)? $(,)? }
        impl $Form:ident for $Same:ident { $($(#[$op_meta:meta])* fn $op:ident($($args:tt)*) $(-> $ret:ty)? $body:block)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $S;

        $crate::__scheduler_in_form! {
            $Form $S $name [$crate::OpsFlags(0 $($(| $flags.0)+)?)] [0 $(+ $timeout_ms)?] [$($op)*]
        }
        impl $crate::$Form for $Same {
            $(
                $(#[$op_meta])*
                #[inline(always)]
                fn $op($($args)*) $(-> $ret)? $body
            )*
        }

        const _: () = assert!($crate::is_name($name, b'_'), "the name of a scheduler has letters, digits and underscores alone, at most 63");
    };
}

/// The table of operations, in one form or the other.
#[doc(hidden)]
#[macro_export]
macro_rules! __scheduler_in_form {
    (Ops $S:ident $name:literal [$flags:expr] [$timeout_ms:expr] [$($op:ident)*]) => {
        $crate::__scheduler! { Ops sched_ext_ops $S, $name, [$flags], [$timeout_ms], $($op)* }
    };
    (CidOps $S:ident $name:literal [$flags:expr] [$timeout_ms:expr] [$($op:ident)*]) => {
        $crate::__scheduler! { CidOps sched_ext_ops_cid $S, $name, [$flags], [$timeout_ms], $($op)* }
    };
    ($other:ident $($rest:tt)*) => {
        compile_error!(concat!("a scheduler implements `Ops` or `CidOps`, not `", stringify!($other), "`"));
    };
}

/// An operation, in one form or the other.
#[doc(hidden)]
#[macro_export]
macro_rules! __operation_in_form {
    (Ops, $op:ident, $S:ident, $w:ident) => {
        $crate::__operation!($op, $S, $w, Ops)
    };
    (CidOps, $op:ident, $S:ident, $w:ident) => {
        $crate::__cid_operation!($op, $S, $w)
    };
}

/// Is it a name that loaders and the kernel's symbols take? It may have letters, digits, underscores and `also`.
#[doc(hidden)]
pub const fn is_name(name: &str, also: u8) -> bool {
    let (bytes, mut i) = (name.as_bytes(), 0);
    while i < bytes.len() {
        if !(bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_' || bytes[i] == also) {
            return false;
        }
        i += 1;
    }
    !bytes.is_empty() && bytes.len() < 64
}

#[cfg(all(test, not(bpf)))]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for (name, expect) in
            [("simple", true), ("a_2", true), ("", false), ("a b", false), ("a-b", false), ("é", false)]
        {
            assert_eq!(is_name(name, b'_'), expect, "{name}");
        }
    }
}
