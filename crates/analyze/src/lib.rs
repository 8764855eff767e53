//! Metrics and comparison, from traces alone.
