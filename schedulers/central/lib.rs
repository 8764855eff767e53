//! central: one CPU decides for all, the others run without ticks.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

scxr_runtime::bundle!("central", "one CPU decides for all, the others run without ticks", options: user::OPTIONS);
