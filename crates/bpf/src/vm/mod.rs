//! The machine that executes an [`Image`](crate::image::Image).
