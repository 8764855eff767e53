//! All that a loader changes before load, in one: what [`Object::set_global`] and the like do, which programs are loaded, and
//! arrays of maps that are filled.

use super::edit::GlobalValue;
use super::error::LoadError;
use super::maps::map_type;
use super::object::Object;

/// What a loader changes in an object before it is loaded, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries of maps, and elements of the arrays at the end of data sections: as for [`Object::resize_map`].
    pub resize: Vec<(String, u32)>,
    /// Globals and their values: as for [`Object::set_global`] and [`GlobalValue::parse`].
    pub set: Vec<(String, String)>,
    /// Members of the operations table: a number, or `None` to leave an operation out.
    pub members: Vec<(String, Option<u64>)>,
    /// Programs that are loaded though their section's name says no, or not loaded though it says yes.
    pub programs: Vec<(String, bool)>,
    /// Arrays of maps that get a map of the declared shape in each slot.
    pub fill: Vec<String>,
}

/// The shape of the maps in a map of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerShape {
    /// `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries of each.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Slots of the outer map.
    pub slots: u32,
}

/// Slots that are filled at most.
const SLOTS_MAX: u32 = 1 << 16;

impl Object {
    /// Makes all changes of a loader. Members are those of the only operations table.
    pub fn change(&mut self, changes: &Changes) -> Result<(), LoadError> {
        for (map, entries) in &changes.resize {
            self.resize_map(map, *entries)?;
        }
        for (path, value) in &changes.set {
            self.set_global(path, &GlobalValue::parse(value))?;
        }
        for (member, value) in &changes.members {
            let ops = self.only_struct_ops()?.to_owned();
            match value {
                Some(value) => self.set_struct_ops_member(&ops, member, *value)?,
                None => self.drop_struct_ops_member(&ops, member)?,
            }
        }
        for (program, load) in &changes.programs {
            self.set_autoload(program, *load)?;
        }
        changes.fill.iter().try_for_each(|map| self.fill_map(map))
    }

    /// Says whether a program is loaded, whatever its section's name says.
    pub fn set_autoload(&mut self, program: &str, load: bool) -> Result<(), LoadError> {
        let at = self.programs.iter().position(|p| self.funcs[p.func].name == program).ok_or_else(|| {
            let known: Vec<&str> = self.programs.iter().map(|p| self.funcs[p.func].name.as_str()).collect();
            LoadError::NotFound {
                object: self.name.clone(),
                kind: "program",
                name: program.to_owned(),
                hint: Some(format!("there are {}", known.join(", "))),
            }
        })?;
        self.programs[at].autoload = load;
        Ok(())
    }

    /// The shape of the maps in `map`, an array of maps.
    pub fn inner_shape(&self, map: &str) -> Result<InnerShape, LoadError> {
        let bad = |what: &str| LoadError::Map { object: self.name.clone(), map: map.to_owned(), what: what.to_owned() };
        let outer = self.maps.iter().find(|m| m.name == map).ok_or_else(|| bad("there is no such map"))?;
        if outer.map_type != map_type::ARRAY_OF_MAPS {
            return Err(bad("it is no array of maps, so it cannot be filled"));
        }
        let inner = outer.inner.as_ref().ok_or_else(|| bad("it does not say of what shape its maps are"))?;
        if outer.max_entries > SLOTS_MAX {
            return Err(bad("it has more than 65,536 slots"));
        }
        Ok(InnerShape {
            map_type: inner.map_type,
            key_size: inner.key_size,
            value_size: inner.value_size,
            max_entries: inner.max_entries,
            flags: inner.flags,
            slots: outer.max_entries,
        })
    }

    /// Puts a map of the declared shape into each free slot of an array of maps.
    pub fn fill_map(&mut self, map: &str) -> Result<(), LoadError> {
        let shape = self.inner_shape(map)?;
        let Some(at) = self.maps.iter().position(|m| m.name == map) else { return Ok(()) };
        let Some(template) = self.maps[at].inner.clone() else { return Ok(()) };
        let mut values = std::mem::take(&mut self.maps[at].inner_values);
        values.resize((shape.slots as usize).max(values.len()), None);
        for (slot, value) in values.iter_mut().enumerate().filter(|(_, v)| v.is_none()) {
            *value = Some(self.maps.len());
            let mut inner = (*template).clone();
            // No relocation speaks of it.
            (inner.name, inner.offset) = (format!("{map}[{slot}]"), u32::MAX);
            self.maps.push(inner);
        }
        self.maps[at].inner_values = values;
        Ok(())
    }
}
