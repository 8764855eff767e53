//! What an object, or a native policy, has for a user-space half to open.

use scxr_bpf::btf::Kind;
use scxr_bpf::load::Object;
use scxr_policy::native::{ItemKind, PolicyDef};
use scxr_runtime::{Field, GlobalDesc, MapDesc, MapKind, Schema, StructDesc, Uei};

/// Structure that the kernel's tools keep why a scheduler ended in.
const UEI: &str = "user_exit_info";

/// What an object has, from its BTF.
pub fn schema(object: &Object) -> Schema {
    let btf = object.btf();
    let bare = |name: &str| name.trim_start_matches("struct ").to_owned();
    let globals = object.globals();
    let uei = globals.iter().find(|g| bare(&g.type_name) == UEI).map(|g| {
        let id = btf.resolve(g.type_id);
        let fields = ["kind", "exit_code", "reason", "msg"].map(|f| btf.field(id, f).map(|f| f.offset));
        Uei { section: g.section.clone(), offset: g.offset, fields }
    });
    let maps = object.maps().into_iter().filter(|m| !m.global_data).map(|m| MapDesc {
        name: m.name,
        kind: MapKind::of(m.map_type),
        key_size: m.key_size,
        value_size: m.value_size,
        max_entries: m.max_entries,
        value_type: m.value_type.map(|t| bare(&t)).unwrap_or_default(),
    });
    Schema {
        maps: maps.collect(),
        structs: structs(object),
        uei,
        globals: globals
            .into_iter()
            .map(|g| GlobalDesc {
                name: g.name,
                section: g.section,
                offset: g.offset,
                size: g.size,
                type_name: g.type_name,
            })
            .collect(),
    }
}

/// All structures with a name whose fields are whole bytes.
fn structs(object: &Object) -> Vec<StructDesc> {
    let btf = object.btf();
    let mut found: Vec<StructDesc> = Vec::new();
    for (id, ty) in btf.iter() {
        let Kind::Struct { size, members } = &ty.kind else { continue };
        let name = btf.name(id).to_owned();
        if name.is_empty() || found.iter().any(|s| s.name == name) {
            continue;
        }
        let fields = members.iter().map(|m| Field {
            name: btf.string(m.name).to_owned(),
            offset: m.bit_offset / 8,
            size: btf.size(m.type_id).unwrap_or(0),
        });
        found.push(StructDesc { name, size: *size, fields: fields.collect() });
    }
    found
}

/// What a native policy has: its variables, each in a section of its own name, and maps.
pub fn native_schema(policy: &PolicyDef) -> Schema {
    let mut schema = Schema::default();
    for item in policy.state() {
        let def = item.def();
        let kind = match def.kind {
            ItemKind::Tunable | ItemKind::Global => {
                schema.globals.push(GlobalDesc {
                    name: def.name.into(),
                    section: def.name.into(),
                    offset: 0,
                    size: def.size as u32,
                    type_name: item.ty.into(),
                });
                continue;
            }
            ItemKind::PerCpu => MapKind::PerCpuArray,
            ItemKind::Ring => MapKind::RingBuf,
            ItemKind::UserRing => MapKind::UserRingBuf,
            _ => MapKind::Other,
        };
        schema.maps.push(MapDesc {
            name: def.name.into(),
            kind,
            key_size: 4,
            value_size: def.size as u32,
            max_entries: def.len as u32,
            value_type: String::new(),
        });
    }
    schema
}
