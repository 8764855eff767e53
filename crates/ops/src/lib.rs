//! The adapter: a loaded BPF object, or a native policy, as the operations of the class.
