//! What the tasks of a workload do, seen on a fake machine.

mod fake;
mod presets;
mod rtapp;
