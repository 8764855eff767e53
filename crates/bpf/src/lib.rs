//! BPF objects: ELF, BTF, CO-RE, maps, helpers and the interpreter. Knows no scheduler.
