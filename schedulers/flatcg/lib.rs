//! flatcg: cgroups by weight, their hierarchy flattened.

#![forbid(unsafe_code)]

pub mod policy;
pub mod user;

scxr_runtime::bundle!("flatcg", "cgroups by weight, their hierarchy flattened into one tree", options: user::OPTIONS);
