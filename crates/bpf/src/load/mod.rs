//! From an object file to an [`Image`](crate::image::Image).
