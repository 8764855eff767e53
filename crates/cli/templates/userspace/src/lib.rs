//! {{name}}: its BPF object, the same policy as native code, and its user-space half.

pub mod policy;
pub mod user;

/// The object, for any loader.
pub const OBJECT: &[u8] = include_bytes!(env!("OBJECT"));

/// The same policy natively: for tests and a debugger.
pub static NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
