//! What only the kernel's functions touch of a value in a map, and which maps take such values.

/// How many locks, timers and places for counted objects a value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    locks: usize,
    timers: usize,
    counted: usize,
}

/// What the values of a kind of map may hold. (`map_check_btf` of the kernel)
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    locks: bool,
    timers: bool,
    counted: bool,
}

impl Takes {
    /// ARRAY and HASH.
    pub const ALL: Self = Self { locks: true, timers: true, counted: true };
    /// LRU_HASH.
    pub const LRU: Self = Self { locks: false, timers: true, counted: true };
    /// TASK_STORAGE and CGRP_STORAGE.
    pub const STORAGE: Self = Self { locks: true, timers: false, counted: true };
    /// PERCPU_ARRAY and PERCPU_HASH.
    pub const PER_CPU: Self = Self { locks: false, timers: false, counted: true };
    /// Arenas and objects of the policy's own.
    pub const NOTHING: Self = Self { locks: false, timers: false, counted: false };
}

/// Fields of one value that the kernel looks after, at most. [BTF_FIELDS_MAX]
const MAX: usize = 11;

impl Holds {
    /// Plain fields alone.
    pub const NOTHING: Self = Self { locks: 0, timers: 0, counted: 0 };
    /// A lock.
    pub const LOCK: Self = Self { locks: 1, ..Self::NOTHING };
    /// A timer.
    pub const TIMER: Self = Self { timers: 1, ..Self::NOTHING };
    /// A place for an object that is counted.
    pub const COUNTED: Self = Self { counted: 1, ..Self::NOTHING };

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self {
            locks: self.locks + other.locks,
            timers: self.timers + other.timers,
            counted: self.counted + other.counted,
        }
    }

    /// As many times.
    pub const fn times(self, n: usize) -> Self {
        Self { locks: self.locks * n, timers: self.timers * n, counted: self.counted * n }
    }

    /// Fails, when the policy is compiled, where a map does not take such values.
    pub const fn must_fit(self, takes: Takes) {
        assert!(self.locks <= 1, "a value has one lock at most");
        assert!(self.timers <= 1, "a value has one Timer at most");
        assert!(self.locks + self.timers + self.counted <= MAX, "a value has eleven locks, timers and slots at most");
        assert!(
            takes.locks || self.locks == 0,
            "a lock can only be in values of Array, HashMap, TaskStorage and CgroupStorage"
        );
        assert!(takes.timers || self.timers == 0, "a Timer can only be in values of Array, HashMap and LruHashMap");
        assert!(takes.counted || self.counted == 0, "slots can only be in values of maps and of storage");
    }
}
