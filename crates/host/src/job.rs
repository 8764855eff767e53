//! What is to be done. It is written as JSON where another process, or a guest, does it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::exec::Exec;
use crate::half::HalfJob;
use crate::inject::Injected;

/// Bytes that are written into a map of the object before it is loaded: a global variable, a member of an operations table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The data section (`.rodata`), or the name of the struct_ops variable.
    pub map: String,
    /// Where, bytes.
    pub offset: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// An array of maps whose slots are filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Its name.
    pub map: String,
    /// What each map is: `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes of its keys.
    pub key_size: u32,
    /// Bytes of its values.
    pub value_size: u32,
    /// Its entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Slots of the array.
    pub slots: u32,
}

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// The map's name.
    pub map: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; of per-CPU maps it is every CPU's.
    pub value: Vec<u8>,
}

/// A `syscall` program that is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Which.
    pub program: String,
    /// When, ns from the start of the workload; `None`: before the scheduler is attached.
    pub at_ns: Option<u64>,
    /// The CPU that it is to run on.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// Its context.
    #[serde(default)]
    pub input: Vec<u8>,
    /// What is written into the arena after it.
    #[serde(default)]
    pub store: Option<Store>,
    /// What is called after it.
    #[serde(default)]
    pub then: Option<Box<Then>>,
}

/// What is written where a pointer in the context points to after a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Where in the context the pointer is, bytes.
    pub pointer: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// A call after a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// Which.
    pub call: Call,
    /// What it finds of the context that the one before left: from where, to where, and how much, bytes.
    pub take: Vec<(u32, u32, u32)>,
}

impl Call {
    /// What is said of a program that did not return 0.
    pub fn returned(&self, result: i32) -> String {
        format!("the program {}, which the loader calls, returned {result}", self.program)
    }

    /// What is said of a program that could not be run.
    pub fn failed(&self, why: &dyn std::fmt::Display) -> String {
        format!("the program {}, which the loader calls: {why}", self.program)
    }

    /// What is said of a program that gave no address in an arena, though its loader writes there.
    pub fn no_arena(&self, address: u64) -> String {
        format!(
            "the program {}, which the loader calls, answered {address:#x}, which is no address in an arena",
            self.program
        )
    }
}

impl Store {
    /// The address in a context.
    pub fn address(&self, context: &[u8]) -> u64 {
        let at = self.pointer as usize;
        context.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }
}

impl Then {
    /// The context of the call, given the one that the call before left.
    pub fn input(&self, before: &[u8]) -> Vec<u8> {
        let mut input = self.call.input.clone();
        for &(from, to, len) in &self.take {
            let (from, to, len) = (from as usize, to as usize, len as usize);
            if let (Some(part), Some(place)) = (before.get(from..from + len), input.get_mut(to..to + len)) {
                place.copy_from_slice(part);
            }
        }
        input
    }
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the scheduler.
    pub name: String,
    /// Its object; `None`: it is a program, or the fair class alone.
    pub object: Option<PathBuf>,
    /// The program that loads and attaches it, and decides for it.
    #[serde(default)]
    pub program: Option<Exec>,
    /// Changes before it is loaded.
    pub edits: Vec<Edit>,
    /// Maps whose number of entries is to be set.
    pub resize: Vec<(String, u32)>,
    /// Data sections whose size, bytes, is to be set.
    pub resize_data: Vec<(String, u32)>,
    /// Programs that are not loaded, because no operation of this kernel uses them.
    pub leave_out: Vec<String>,
    /// Programs that are loaded, or not, whatever their sections' names say.
    #[serde(default)]
    pub autoload: Vec<(String, bool)>,
    /// Arrays of maps that get a map in each slot.
    #[serde(default)]
    pub fill: Vec<Fill>,
    /// What is written into maps before the scheduler is attached.
    #[serde(default)]
    pub elements: Vec<Element>,
    /// `syscall` programs that are run.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// Where in the operations table, bytes, the number of hotplug events goes, where this kernel wants it.
    pub hotplug_seq: Option<u32>,
    /// Where in `.data` or another section the exit record (`struct user_exit_info`) is.
    pub uei: Option<Uei>,
    /// The workload: a preset or the path of a file; `None`: none, the system is scheduled as it is.
    pub workload: Option<String>,
    /// A program instead of a workload of ours.
    pub exec: Option<Exec>,
    /// What else happens.
    pub inject: Vec<Injected>,
    /// The user-space half that takes part in scheduling.
    #[serde(default)]
    pub half: Option<HalfJob>,
    /// Seed of the workload.
    pub seed: u64,
    /// How long, ns; 0: until somebody stops it, or the program ends.
    pub duration_ns: u64,
    /// How often the scheduler is to give figures: its user-space half, or else its data sections and per-CPU arrays, ns; 0: never.
    #[serde(default)]
    pub stats_every_ns: u64,
    /// Data sections and per-CPU arrays are wanted.
    pub globals: bool,
}

/// Where an object's exit record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uei {
    /// Its section.
    pub section: String,
    /// Offset there.
    pub offset: u32,
    /// Offsets of its fields in it, as its type says: kind, exit_code, reason, msg.
    pub fields: [Option<u32>; 4],
}
