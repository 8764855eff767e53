//! pair: two CPUs that share a core run tasks of one cgroup alone.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

scxr_runtime::bundle!("pair", "two CPUs that share a core run tasks of one cgroup alone", options: user::OPTIONS);
