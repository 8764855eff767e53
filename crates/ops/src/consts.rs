//! How numbers cross into programs.

/// Negative error numbers, as a program sees them in a 32-bit result.
pub(crate) fn ret_i32(value: i32) -> u64 {
    u64::from(value as u32)
}
