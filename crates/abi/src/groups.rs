//! Kfunc groups and who may call them (E-28 to E-30).

use std::fmt;
use std::ops::BitOr;

use crate::table::TableError;

/// A set of kfunc groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups(u16);

impl Groups {
    /// No group.
    pub const NONE: Self = Self(0);
    /// Callers that hold no rq lock: sleepable operations, syscall programs.
    pub const UNLOCKED: Self = Self(1 << 0);
    /// `init` of the root scheduler.
    pub const INIT: Self = Self(1 << 1);
    /// `cpu_release`.
    pub const CPU_RELEASE: Self = Self(1 << 2);
    /// `dispatch`.
    pub const DISPATCH: Self = Self(1 << 3);
    /// Where a task may be inserted: `select_cpu`, `enqueue`, `dispatch`.
    pub const ENQUEUE: Self = Self(1 << 4);
    /// `select_cpu`, `enqueue`.
    pub const SELECT_CPU: Self = Self(1 << 5);
    /// Idle masks; every sched_ext operation, and other program types.
    pub const IDLE: Self = Self(1 << 6);
    /// The other sched_ext kfuncs; callable from where [`Groups::IDLE`] is.
    pub const ANY: Self = Self(1 << 7);
    /// Kfuncs of other parts of the kernel (`bpf_*`).
    pub const CORE: Self = Self(1 << 8);

    const NAMES: [(&'static str, Self); 9] = [
        ("UNLOCKED", Self::UNLOCKED),
        ("INIT", Self::INIT),
        ("CPU_RELEASE", Self::CPU_RELEASE),
        ("DISPATCH", Self::DISPATCH),
        ("ENQUEUE", Self::ENQUEUE),
        ("SELECT_CPU", Self::SELECT_CPU),
        ("IDLE", Self::IDLE),
        ("ANY", Self::ANY),
        ("CORE", Self::CORE),
    ];

    /// The union of the groups named.
    pub(crate) fn parse(names: &[&'static str]) -> Result<Self, TableError> {
        names.iter().try_fold(Self::NONE, |set, name| {
            let found = Self::NAMES.iter().find(|(known, _)| known == name);
            found.map(|(_, group)| set | *group).ok_or(TableError::UnknownGroup { name })
        })
    }

    /// Whether the sets have a group in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Groups {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            Self::NAMES.iter().filter(|(_, group)| self.intersects(*group)).map(|(name, _)| *name).collect();
        f.write_str(&names.join("+"))
    }
}
