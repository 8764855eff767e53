//! The BPF back end: programs, maps, kernel functions.
//!
//! `unsafe` is confined to here. What the compiler cannot know, the verifier checks when the object is loaded.

pub mod arena;
pub mod cell;
pub mod cmask;
pub mod iter;
pub mod kernel;
pub mod maps;
pub mod objects;
pub mod outer;
pub mod rings;
pub mod slots;
pub mod state;
mod sys;
pub mod timer;
pub mod variables;
pub mod walk;

use crate::Task;
use kernel::RawTask;

/// What the program of an operation returns. A program that returns nothing leaves r0 alone.
pub trait Return {
    /// From what the operation gave.
    fn of(ret: i64) -> Self;
}

impl Return for i32 {
    #[inline(always)]
    fn of(ret: i64) -> i32 {
        ret as i32
    }
}

impl Return for () {
    #[inline(always)]
    fn of(_ret: i64) {}
}

/// The context of a struct_ops program: the operation's arguments, one word each.
#[derive(Clone, Copy, Debug)]
pub struct Words(*const u64);

impl Words {
    #[inline(always)]
    pub fn new(context: *const u64) -> Self {
        Self(context)
    }

    #[inline(always)]
    pub fn word(self, i: usize) -> u64 {
        // SAFETY: the macro asks for arguments that the operation has.
        unsafe { *self.0.add(i) }
    }

    #[inline(always)]
    pub fn flag(self, i: usize) -> bool {
        self.word(i) & 0xff != 0
    }

    #[inline(always)]
    fn pointer<T>(self, i: usize) -> *mut T {
        // SAFETY: as in `word`; loading it as a pointer keeps its provenance and the verifier's type.
        unsafe { *self.0.add(i).cast::<*mut T>() }
    }

    #[inline(always)]
    pub fn task<'a>(self, i: usize) -> Task<'a> {
        Task::__new(self.pointer(i) as RawTask)
    }

    #[inline(always)]
    pub fn optional_task<'a>(self, i: usize) -> Option<Task<'a>> {
        let raw: RawTask = self.pointer(i);
        if raw.is_null() { None } else { Some(Task::__new(raw)) }
    }

    #[inline(always)]
    pub fn cpu(self, i: usize) -> crate::Cpu {
        crate::Cpu(self.word(i) as i32)
    }

    #[inline(always)]
    pub fn cid(self, i: usize) -> crate::Cid {
        crate::Cid(self.word(i) as i32)
    }

    #[inline(always)]
    pub fn cmask<'a>(self, i: usize) -> crate::CmaskArg<'a> {
        crate::CmaskArg::__new(self.word(i))
    }

    #[inline(always)]
    pub fn weight(self, i: usize) -> crate::Weight {
        crate::Weight(self.word(i) as u32)
    }

    #[inline(always)]
    pub fn wake(self, i: usize) -> crate::WakeFlags {
        crate::WakeFlags(self.word(i))
    }

    #[inline(always)]
    pub fn enq(self, i: usize) -> crate::EnqFlags {
        crate::EnqFlags(self.word(i))
    }
}

macro_rules! pointers {
    ($($n:ident: $t:ident),* $(,)?) => {
        impl Words {$(
            #[inline(always)]
            pub fn $n<'a>(self, i: usize) -> crate::$t<'a> {
                crate::$t::__new(self.pointer(i))
            }
        )*}
    };
}

pointers! {
    exit_info: ExitInfo, init_task: InitTask, exit_task: ExitTask, release: Release, cgroup_init: CgroupInit, cgroup: Cgroup,
    cpumask: CpuMask,
}

/// The name member of the table of operations.
pub const fn ops_name(name: &str) -> [u8; 128] {
    let (bytes, mut out, mut i) = (name.as_bytes(), [0; 128], 0);
    while i < bytes.len() && i < 127 {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// The programs and the table of a scheduler.
#[doc(hidden)]
#[macro_export]
macro_rules! __scheduler {
    ($Form:ident $table:ident $S:ident, $name:literal, [$flags:expr], [$timeout_ms:expr], $($op:ident)*) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        mod __programs {
            use super::*;

            $($crate::__program! { $op, $S, $name, $Form })*

            #[repr(C)]
            pub struct $table {
                $($op: extern "C" fn(*const u64) -> $crate::__program_return!($op),)*
                flags: u64,
                timeout_ms: u32,
                name: [u8; 128],
            }

            #[unsafe(export_name = concat!($name, "_ops"))]
            #[unsafe(link_section = ".struct_ops.link")]
            pub static OPS: $table = $table {
                $($op,)*
                flags: $flags.0,
                timeout_ms: $timeout_ms,
                name: $crate::backend::ops_name($name),
            };

            #[unsafe(export_name = "_license")]
            #[unsafe(link_section = "license")]
            pub static LICENSE: [u8; 4] = *b"GPL\0";
        }
    };
}

/// What the program of an operation returns: nothing where the kernel looks at nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __program_return {
    (select_cpu) => {
        i32
    };
    (select_cid) => {
        i32
    };
    (yield_) => {
        i32
    };
    (core_sched_before) => {
        i32
    };
    (init_task) => {
        i32
    };
    (cgroup_init) => {
        i32
    };
    (cgroup_prep_move) => {
        i32
    };
    (init) => {
        i32
    };
    ($op:ident) => {
        ()
    };
}

/// One program; those that may sleep are in a section of their own kind.
#[doc(hidden)]
#[macro_export]
macro_rules! __program {
    (init, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", init, $S, $name, $Form }
    };
    (init_task, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", init_task, $S, $name, $Form }
    };
    (cpu_online, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cpu_online, $S, $name, $Form }
    };
    (cpu_offline, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cpu_offline, $S, $name, $Form }
    };
    (cid_online, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cid_online, $S, $name, $Form }
    };
    (cid_offline, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cid_offline, $S, $name, $Form }
    };
    (cgroup_init, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cgroup_init, $S, $name, $Form }
    };
    (cgroup_exit, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cgroup_exit, $S, $name, $Form }
    };
    (cgroup_prep_move, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops.s/", cgroup_prep_move, $S, $name, $Form }
    };
    ($op:ident, $S:ident, $name:literal, $Form:ident) => {
        $crate::__program! { @ "struct_ops/", $op, $S, $name, $Form }
    };
    (@ $section:literal, $op:ident, $S:ident, $name:literal, $Form:ident) => {
        #[unsafe(export_name = concat!($name, "_", stringify!($op)))]
        #[unsafe(link_section = concat!($section, $name, "_", stringify!($op)))]
        pub extern "C" fn $op(ctx: *const u64) -> $crate::__program_return!($op) {
            let words = $crate::backend::Words::new(ctx);
            let ret: i64 = $crate::__operation_in_form!($Form, $op, $S, words);
            $crate::backend::Return::of(ret)
        }
    };
}
