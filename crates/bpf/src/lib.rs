//! BPF objects: ELF, BTF, CO-RE, maps, helpers and the interpreter. Knows no scheduler.

pub mod btf;
pub mod image;
pub mod load;
pub mod vm;
