//! ARRAY_OF_MAPS and HASH_OF_MAPS: maps of the object, by key, as the object or user space put them in.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{MapResult, errno, map_type};
use crate::image::MapDef;

/// A map in which the values are maps: indices into [`Image::maps`](crate::image::Image::maps).
pub(in crate::vm) struct OfMaps {
    key_size: usize,
    max: u32,
    is_array: bool,
    inner: RefCell<BTreeMap<Vec<u8>, usize>>,
}

impl OfMaps {
    pub(super) fn new(def: &MapDef) -> OfMaps {
        let map = OfMaps {
            key_size: def.key_size as usize,
            max: def.max_entries,
            is_array: def.map_type == map_type::ARRAY_OF_MAPS,
            inner: RefCell::default(),
        };
        for (slot, inner) in def.inner_values.iter().enumerate() {
            let mut key = (slot as u32).to_le_bytes().to_vec();
            key.resize(map.key_size, 0);
            if let Some(inner) = inner {
                // What does not fit is as if it were not there: the loader refuses such an object.
                let _ = map.set(&key, Some(*inner));
            }
        }
        map
    }

    /// The map at `key`.
    pub(in crate::vm) fn get(&self, key: &[u8]) -> Option<usize> {
        self.inner.borrow().get(key).copied()
    }

    /// Puts a map in at `key`, or takes the one that is there away.
    pub(in crate::vm) fn set(&self, key: &[u8], map: Option<usize>) -> MapResult {
        let mut inner = self.inner.borrow_mut();
        if key.len() != self.key_size {
            return Err(errno::EINVAL);
        }
        if self.is_array && key.first_chunk().is_none_or(|index| u32::from_le_bytes(*index) >= self.max) {
            return Err(errno::E2BIG);
        }
        match map {
            Some(_) if inner.len() >= self.max as usize && !inner.contains_key(key) => return Err(errno::E2BIG),
            Some(map) => _ = inner.insert(key.to_vec(), map),
            None => _ = inner.remove(key).ok_or(errno::ENOENT)?,
        }
        Ok(())
    }

    /// All keys, in order.
    pub(in crate::vm) fn keys(&self) -> Vec<Vec<u8>> {
        self.inner.borrow().keys().cloned().collect()
    }
}
