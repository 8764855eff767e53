//! Objects of the policy's own that outlive an operation: made one by one, owned by whoever holds them, kept in trees, lists and slots.

use crate::MapCell;
use crate::backend::objects::Make;

/// A structure made by [`object!`](crate::object).
pub trait Object: MapCell + Make {
    /// What it can be put into: [`InTree`], [`InList`] or [`InSlot`].
    type Place;
}

/// Of objects that a [`Tree`](crate::Tree) holds.
#[derive(Debug)]
pub struct InTree(());
/// Of objects that a [`List`](crate::List) holds.
#[derive(Debug)]
pub struct InList(());
/// Of objects that only an [`ObjectSlot`](crate::ObjectSlot) holds.
#[derive(Debug)]
pub struct InSlot(());

/// Objects that can be held more than once ([`Owned::share`](crate::Owned::share)): those declared `in PLACE, Counted`.
pub trait Counted: Object {}

/// Declares a structure whose values are made one by one ([`Owned::new`](crate::Owned::new)), as [`shared!`](crate::shared) declares one that
/// maps hold. `in` says what can hold it: `InTree`, `InList`; every object also fits an [`ObjectSlot`](crate::ObjectSlot), `InSlot` is for those that
/// need nothing else. `in InTree, Counted` declares objects that count who holds them, so that a slot can hold one that is in a tree, too.
///
/// ```
/// use scxr_policy::prelude::*;
/// object! {
///     /// A task that waits.
///     pub struct Waiter in InList {
///         /// Which.
///         pub pid: i32,
///     }
/// }
/// state! { static WAITERS as "waiters": List<Waiter>; }
/// scheduler! {
///     struct Keeping { name: "keeping" }
///     impl Ops for Keeping {
///         fn enqueue(_cx: &Enqueue, p: Task<'_>, _enq_flags: EnqFlags) {
///             if let Some(waiter) = Owned::<Waiter>::new() {
///                 waiter.pid.set(p.pid());
///                 if let Some(mut waiters) = WAITERS.lock() {
///                     waiters.push_back(waiter);
///                 }
///             }
///         }
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! object {
    ($($(#[$meta:meta])* $vis:vis struct $S:ident in $Place:ident $(, $counted:ident)? { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $t:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        $vis struct $S {
            __node: $crate::backend::objects::$Place,
            $(__refs: $crate::backend::objects::$counted,)?
            $($(#[$field_meta])* $field_vis $field: <$t as $crate::MapValue>::Cell,)*
        }
        $(impl $crate::$counted for $S {})?
        const _: () = $crate::Holds::NOTHING$(.and(<<$t as $crate::MapValue>::Cell as $crate::MapCell>::HOLDS))*
            .must_fit($crate::Takes::NOTHING);
        $crate::__object! { $S $Place [$($counted)?] { $($field: $t),* } }
    )*};
}
