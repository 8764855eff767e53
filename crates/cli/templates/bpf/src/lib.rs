//! {{name}}: its BPF object, and the same policy as native code.

pub mod policy;

/// The object, for any loader.
pub const OBJECT: &[u8] = include_bytes!(env!("OBJECT"));

/// The same policy natively: for tests and a debugger.
pub static NATIVE: &scxr_policy::native::PolicyDef = &policy::POLICY;
