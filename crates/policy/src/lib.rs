//! What the BPF half of a scheduler is written against, in Rust; two back ends behind one API.
