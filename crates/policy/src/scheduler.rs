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
/// The methods are those of [`Ops`](crate::Ops); only the ones that are written enter the table of operations. For BPF each becomes a
/// program `NAME_OPERATION` and the table the struct_ops map `NAME_ops`; natively a
/// `static POLICY: PolicyDef` describes the scheduler. The policy's [`state!`](crate::state) has to be in the same module.
#[macro_export]
macro_rules! scheduler {
    (
        $(#[$meta:meta])*
        $vis:vis struct $S:ident { name: $name:literal $(, flags: $($flags:path)|+)? $(, timeout_ms: $timeout_ms:expr)? $(,)? }
        impl Ops for $Same:ident { $($(#[$op_meta:meta])* fn $op:ident($($args:tt)*) $(-> $ret:ty)? $body:block)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $S;

        impl $crate::Ops for $Same {
            $(
                $(#[$op_meta])*
                #[inline(always)]
                fn $op($($args)*) $(-> $ret)? $body
            )*
        }

        $crate::__scheduler! { $S, $name, [$crate::OpsFlags(0 $($(| $flags.0)+)?)], [0 $(+ $timeout_ms)?], $($op)* }
    };
}
