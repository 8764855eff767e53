//! Numbers of the ABI that the simulated kernel names by type.

use scxr_trace::ExitKind;

/// Value of `enum scx_exit_kind`.
pub(crate) fn exit_kind(kind: ExitKind) -> u64 {
    match kind {
        ExitKind::None => 0,
        ExitKind::Done => 1,
        ExitKind::Unreg => 64,
        ExitKind::UnregBpf => 65,
        ExitKind::UnregKern => 66,
        ExitKind::Sysrq => 67,
        ExitKind::Parent => 68,
        ExitKind::Error => 1024,
        ExitKind::ErrorBpf => 1025,
        ExitKind::ErrorStall => 1026,
    }
}

/// Negative error numbers, as a program sees them in a 32-bit result.
pub(crate) fn ret_i32(value: i32) -> u64 {
    u64::from(value as u32)
}
