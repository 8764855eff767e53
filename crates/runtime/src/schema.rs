//! What an object has, as far as a half can open it: made from its BTF by whoever can read that.

/// What an object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Variables.
    pub globals: Vec<GlobalDesc>,
    /// Maps. A [`World`](crate::World) knows them by their place here.
    pub maps: Vec<MapDesc>,
    /// Structures.
    pub structs: Vec<StructDesc>,
    /// The exit record, if there is one.
    pub uei: Option<Uei>,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalDesc {
    /// Name.
    pub name: String,
    /// Section, such as `.bss`.
    pub section: String,
    /// Offset there, bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Its type as C names it; empty where that is not known.
    pub type_name: String,
}

/// What kind of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// By index.
    Array,
    /// By key.
    Hash,
    /// By index, one value for each CPU.
    PerCpuArray,
    /// By key, one value for each CPU.
    PerCpuHash,
    /// A queue or a stack.
    Queue,
    /// Messages to user space.
    RingBuf,
    /// Messages from user space.
    UserRingBuf,
    /// Something that a half cannot open.
    Other,
}

impl MapKind {
    /// The kind of a `BPF_MAP_TYPE_*`.
    pub fn of(map_type: u32) -> MapKind {
        match map_type {
            1 | 9 => MapKind::Hash,
            2 => MapKind::Array,
            5 | 10 => MapKind::PerCpuHash,
            6 => MapKind::PerCpuArray,
            22 | 23 => MapKind::Queue,
            27 => MapKind::RingBuf,
            31 => MapKind::UserRingBuf,
            _ => MapKind::Other,
        }
    }
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDesc {
    /// Name.
    pub name: String,
    /// What kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries; of ring buffers, bytes.
    pub max_entries: u32,
    /// Structure that values are, by name; empty where that is not known.
    pub value_type: String,
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructDesc {
    /// Name, without `struct`.
    pub name: String,
    /// Bytes.
    pub size: u32,
    /// Fields.
    pub fields: Vec<Field>,
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Offset, bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Where an exit record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uei {
    /// Its section.
    pub section: String,
    /// Offset there.
    pub offset: u32,
    /// Offsets in it of kind (i32), exit_code (i64), reason (128 characters), msg (1024); `None`: it has no such field.
    pub fields: [Option<u32>; 4],
}

impl Schema {
    /// The variable of that name.
    pub fn global(&self, name: &str) -> Option<&GlobalDesc> {
        self.globals.iter().find(|g| g.name == name)
    }

    /// The structure of that name.
    pub fn structure(&self, name: &str) -> Option<&StructDesc> {
        self.structs.iter().find(|s| s.name == name)
    }
}
