//! Values that user space hands over whole: elements of maps, inputs of `syscall` programs.

use super::edit::GlobalValue;
use super::object::Object;
use crate::btf::{Kind, TypeId};

/// Bytes of a value at most.
const SIZE_MAX: u32 = 1 << 20;

impl Object {
    /// The type of a map's values, where the object says it.
    pub fn map_value(&self, map: &str) -> Option<TypeId> {
        self.maps.iter().find(|m| m.name == map)?.value_type
    }

    /// The type that the first parameter of a program points to: of a `syscall` program, its input.
    pub fn input(&self, program: &str) -> Option<TypeId> {
        let func = self.btf.find(program, |k| matches!(k, Kind::Func { .. }))?;
        let Kind::Func { proto, .. } = self.btf.ty(func).kind else { return None };
        let Kind::FuncProto { params, .. } = &self.btf.ty(proto).kind else { return None };
        match self.btf.resolved(params.first()?.type_id) {
            Kind::Ptr(to) => self.btf.size(*to).map(|_| *to),
            _ => None,
        }
    }

    /// A value of a type, little-endian: the members that are named (`limits[1].max`), and 0 elsewhere.
    ///
    /// # Errors
    /// No such member, or a number that does not fit it.
    pub fn value_of(&self, type_id: TypeId, members: &[(String, GlobalValue)]) -> Result<Vec<u8>, String> {
        let ty = || self.btf.type_name(type_id);
        let size = self.btf.size(type_id).filter(|&s| s <= SIZE_MAX).ok_or_else(|| format!("{} is too large", ty()))?;
        let mut bytes = vec![0; size as usize];
        for (path, value) in members {
            let field = self.btf.field(type_id, path).filter(|f| f.bit_size == 0);
            let field = field.ok_or_else(|| format!("{} has no member {path} that can be set", ty()))?;
            let part = self.encode(field.type_id, field.size, value).map_err(|e| format!("{path}: {e}"))?;
            let at = field.offset as usize..(field.offset + field.size) as usize;
            bytes.get_mut(at).ok_or_else(|| format!("{path} lies outside {}", ty()))?.copy_from_slice(&part);
        }
        Ok(bytes)
    }
}
