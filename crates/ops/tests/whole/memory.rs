//! An allocator that counts what each thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static HELD: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

/// Blocks and bytes that this thread has allocated and not freed.
pub(crate) fn held() -> (i64, i64) {
    HELD.with(Cell::get)
}

fn add(blocks: i64, bytes: i64) {
    // A thread that ends frees its last things after its counter is gone.
    let _ = HELD.try_with(|h| h.set((h.get().0 + blocks, h.get().1 + bytes)));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    // Memory that the system has zeroed already is not touched again.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(0, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        add(-1, -(layout.size() as i64));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.dealloc(ptr, layout) }
    }
}
