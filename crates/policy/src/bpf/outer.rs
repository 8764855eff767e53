//! Maps in which the values are maps.

use core::ffi::c_void;

use super::maps::{kind, lookup};

macro_rules! outer {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(C)]
        pub struct $name<M: Sync + 'static, const N: usize> {
            r#type: *const [i32; kind::$kind],
            key: *const u32,
            max_entries: *const [i32; N],
            values: [&'static M; N],
        }

        // SAFETY: the pointers are types for the loader and never followed.
        unsafe impl<M: Sync, const N: usize> Sync for $name<M, N> {}

        impl<M: Sync, const N: usize> $name<M, N> {
            #[doc(hidden)]
            pub const fn __new(values: [&'static M; N]) -> Self {
                use core::ptr::null;
                Self { r#type: null(), key: null(), max_entries: null(), values }
            }

            /// The map at `index`; `None` past the end, or where user space took it away.
            #[inline(always)]
            pub fn get(&self, index: u32) -> Option<&M> {
                let map: *mut c_void = lookup((&raw const *self).cast(), &index);
                // SAFETY: the kernel gave a map of the declared kind, which is only passed back to it.
                unsafe { map.cast::<M>().as_ref() }
            }
        }
    )*};
}

outer! {
    /// `N` maps by index, of one kind and size: a map of the kind ARRAY_OF_MAPS.
    ArrayOfMaps = ARRAY_OF_MAPS;
    /// Maps by number, at most `N`, of one kind and size: a map of the kind HASH_OF_MAPS.
    HashOfMaps = HASH_OF_MAPS;
}
