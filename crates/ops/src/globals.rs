//! Global variables and per-CPU maps of a scheduler, as a user reads them after a run.

use scxr_bpf::btf::{Btf, Kind, TypeId};
use scxr_bpf::vm::{Machine, map_type};
use scxr_policy::native::{Instance, ItemKind};

/// A value by its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer, enum, bool or pointer.
    Int(i128),
    /// An array of characters, up to its NUL.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A struct: fields by name.
    Struct(Vec<(String, Value)>),
    /// A per-CPU array map: for each key its sum over the CPUs, and each CPU's value.
    PerCpu {
        /// Sums by key.
        sum: Vec<i128>,
        /// For each key, the values by CPU.
        by_cpu: Vec<Vec<i128>>,
    },
}

/// Arrays longer than this are cut.
const ARRAY_MAX: u32 = 4096;

/// What the names of format strings begin with, which are no variables of a policy's.
const FORMAT: &str = "__format_";

/// Is a global of that name a variable that a user wants to see?
pub fn is_variable(name: &str) -> bool {
    !name.starts_with(FORMAT)
}

/// All globals of writable and read-only data sections, and all per-CPU array maps of integers, in order of the object.
pub(crate) fn read_bpf(machine: &Machine) -> Vec<(String, Value)> {
    let image = machine.image();
    let own = image.globals.iter().filter(|g| is_variable(&g.name));
    let globals = own.filter_map(|g| {
        let base = machine.map_value_addr(g.map, &0u32.to_le_bytes(), 0)?;
        let bytes = machine.read_bytes(base + u64::from(g.offset), g.size as usize)?;
        Some((g.name.clone(), decode(&image.btf, g.type_id, &bytes)?))
    });
    let mut out: Vec<_> = globals.collect();
    for (index, map) in image.maps.iter().enumerate() {
        if map.map_type != map_type::PERCPU_ARRAY || !matches!(map.value_size, 4 | 8) {
            continue;
        }
        let keys = 0..map.max_entries.min(ARRAY_MAX);
        let by_cpu: Vec<Vec<i128>> = keys
            .filter_map(|key| machine.map_lookup_percpu(index, &key.to_le_bytes()))
            .map(|cpus| cpus.iter().map(|v| i128::from(little_endian(v))).collect())
            .collect();
        let sum = by_cpu.iter().map(|cpus| cpus.iter().sum()).collect();
        out.push((map.name.clone(), Value::PerCpu { sum, by_cpu }));
    }
    out
}

/// The same of a native policy.
pub(crate) fn read_native(instance: &Instance) -> Vec<(String, Value)> {
    let int = |word: u64, size: usize, signed: bool| {
        let unused = 64 - 8 * size as u32;
        match signed {
            true => i128::from(((word << unused) as i64) >> unused),
            false => i128::from((word << unused) >> unused),
        }
    };
    let globals = instance.globals().into_iter().map(|g| {
        let ints = |values: &Vec<u64>| values.iter().map(|&v| int(v, g.size, g.signed)).collect::<Vec<_>>();
        let by_cpu: Vec<Vec<i128>> = g.values.iter().map(ints).collect();
        let value = match g.kind {
            ItemKind::PerCpu => Value::PerCpu { sum: by_cpu.iter().map(|c| c.iter().sum()).collect(), by_cpu },
            _ if by_cpu.len() == 1 => Value::Int(by_cpu[0].first().copied().unwrap_or(0)),
            _ => Value::Array(by_cpu.into_iter().flatten().map(Value::Int).collect()),
        };
        (g.name.to_string(), value)
    });
    globals.collect()
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |acc, b| acc << 8 | u64::from(*b))
}

/// A value of BTF type `ty`; `None` for what has no readable form.
pub fn decode(btf: &Btf, ty: TypeId, bytes: &[u8]) -> Option<Value> {
    match btf.resolved(ty) {
        Kind::Int { size, encoding } => {
            let word = little_endian(bytes.get(..*size as usize)?);
            let unused = 64 - 8 * (*size).min(8);
            let signed = encoding.signed;
            let value = if signed { i128::from(((word << unused) as i64) >> unused) } else { i128::from(word) };
            Some(Value::Int(value))
        }
        Kind::Ptr(_) => Some(Value::Int(little_endian(bytes.get(..8)?).into())),
        Kind::Enum { size, .. } | Kind::Enum64 { size, .. } => {
            Some(Value::Int(little_endian(bytes.get(..*size as usize)?).into()))
        }
        Kind::Array { elem, .. } => decode_array(btf, *elem, bytes),
        Kind::Struct { members, .. } => {
            let fields = members.iter().filter_map(|m| {
                let at = (m.bit_offset / 8) as usize;
                Some((btf.string(m.name).to_string(), decode(btf, m.type_id, bytes.get(at..)?)?))
            });
            Some(Value::Struct(fields.collect()))
        }
        _ => None,
    }
}

fn decode_array(btf: &Btf, elem: TypeId, bytes: &[u8]) -> Option<Value> {
    let size = btf.size(elem)? as usize;
    let is_char = size == 1 && matches!(btf.name(btf.resolve(elem)), "char" | "u8" | "i8");
    if is_char {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        return Some(Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned()));
    }
    let elements = bytes.chunks_exact(size.max(1)).take(ARRAY_MAX as usize);
    elements.map(|chunk| decode(btf, elem, chunk)).collect::<Option<_>>().map(Value::Array)
}
