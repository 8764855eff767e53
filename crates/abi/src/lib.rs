//! What sched_ext is on each kernel version: operations, flags, enums, exit kinds, kfuncs, kernel types and fields.
