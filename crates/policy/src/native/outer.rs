//! Maps in which the values are maps.

use super::state::{Item, ItemDef, ItemKind};

macro_rules! outer {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<M: Sync + 'static, const N: usize> {
            name: &'static str,
            maps: [&'static M; N],
        }

        impl<M: Sync, const N: usize> $name<M, N> {
            #[doc(hidden)]
            pub const fn __new(_slot: usize, name: &'static str, maps: [&'static M; N]) -> Self {
                Self { name, maps }
            }

            /// The map at `index`; `None` past the end.
            pub fn get(&self, index: u32) -> Option<&M> {
                self.maps.get(index as usize).copied()
            }
        }

        impl<M: Sync, const N: usize> Item for $name<M, N> {
            fn def(&self) -> ItemDef {
                ItemDef { name: self.name, kind: ItemKind::OfMaps, len: N, size: 0, signed: false, initial: 0 }
            }
        }
    )*};
}

outer! {
    /// `N` maps by index, of one kind and size.
    ArrayOfMaps;
    /// Maps by number, at most `N`, of one kind and size.
    HashOfMaps;
}
