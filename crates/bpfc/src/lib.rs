//! Rust to BPF with the installed stable toolchain and its own LLVM.
