//! The extensible class under native policies.

#[path = "ext/harness.rs"]
mod harness;
#[path = "ext/policies.rs"]
mod policies;
#[path = "ext/script.rs"]
mod script;

#[path = "ext/cgroups.rs"]
mod cgroups;
#[path = "ext/cids.rs"]
mod cids;
#[path = "ext/core_and_class.rs"]
mod core_and_class;
#[path = "ext/core_sched.rs"]
mod core_sched;
#[path = "ext/cpu_preempt.rs"]
mod cpu_preempt;
#[path = "ext/custody.rs"]
mod custody;
#[path = "ext/deadline.rs"]
mod deadline;
#[path = "ext/demands.rs"]
mod demands;
#[path = "ext/dump.rs"]
mod dump;
#[path = "ext/errors.rs"]
mod errors;
#[path = "ext/hotplug.rs"]
mod hotplug;
#[path = "ext/lifecycle.rs"]
mod lifecycle;
#[path = "ext/lifetime.rs"]
mod lifetime;
#[path = "ext/mechanics.rs"]
mod mechanics;
#[path = "ext/order.rs"]
mod order;
#[path = "ext/queues.rs"]
mod queues;
#[path = "ext/sharing.rs"]
mod sharing;
#[path = "ext/stress.rs"]
mod stress;
#[path = "ext/subs.rs"]
mod subs;
#[path = "ext/tick.rs"]
mod tick;
#[path = "ext/timers.rs"]
mod timers;
