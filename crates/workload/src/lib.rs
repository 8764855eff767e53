//! Task behaviour: rt-app JSON and presets; run by simulated tasks or by real threads.
//!
//! A workload is read ([`load`]) into a form that says nothing about who will run it ([`ir`]); [`sim`] makes simulated
//! tasks of it ([`ir::Workload::tasks`]), [`threads`] real ones. It is a pure function of the text, the number of CPUs and the seed.

mod call;
mod error;
pub mod ir;
mod json;
pub mod params;
pub mod presets;
mod rng;
mod rtapp;
mod shared;
pub mod sim;
pub mod suggest;
pub mod threads;

pub use error::WorkloadError;
pub use ir::Workload;
pub use presets::{Preset, presets};

/// Reads a workload: the path of an rt-app JSON file (it ends in `.json`), or `PRESET` or `PRESET:key=value,…`.
pub fn load(spec: &str, nr_cpus: usize, seed: u64) -> Result<Workload, WorkloadError> {
    match spec.ends_with(".json") {
        true => rtapp::load(spec, nr_cpus, seed),
        false => presets::load(spec, nr_cpus, seed),
    }
}
