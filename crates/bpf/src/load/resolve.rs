//! Loading: an object against a kernel.

use std::collections::BTreeMap;

use super::error::LoadError;
use super::externs::{ExternDecl, KconfigValue, kconfig_bytes};
use super::link::Linker;
use super::maps::{MapDecl, map_type};
use super::object::{DataKind, Object};
use super::{ops, reach};
use crate::btf::{Btf, DEPTH_MAX, KernelBtf, Kind, TypeId, types_compatible};
use crate::image::{Global, Image, MapDef, ProgramKind};

/// Pages of ring buffers.
const PAGE_SIZE: u32 = 4096;

/// What loading needs beside the kernel's BTF.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Possible CPUs: the size of per-CPU arrays that the object leaves open.
    pub nr_cpus: u32,
    /// The kernel's configuration, with `LINUX_KERNEL_VERSION` and what else libbpf makes up.
    pub kconfig: BTreeMap<String, KconfigValue>,
    /// Name of the kernel, for messages.
    pub kernel: String,
    /// Programs (by function name) to load or not, against what their section says.
    pub autoload: BTreeMap<String, bool>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            nr_cpus: 1,
            kconfig: BTreeMap::new(),
            kernel: "this kernel".to_owned(),
            autoload: BTreeMap::new(),
        }
    }
}

/// What an extern became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// Kernel function; `None`: absent and weak.
    Kfunc(Option<u32>),
    /// Kernel variable; `None`: absent and weak.
    Ksym(Option<u32>),
    /// Byte offset in `.kconfig`.
    Kconfig(u32),
}

impl Object {
    /// Resolve against a kernel. The object is not changed and can be loaded again, edited or against another kernel.
    ///
    /// # Errors
    /// What libbpf or the kernel's verifier would refuse by BTF alone: missing or mismatched strong externs, unresolvable
    /// CO-RE relocations in code that is certainly reached, struct_ops members that the kernel lacks.
    pub fn load(&self, kernel: &KernelBtf, options: &LoadOptions) -> Result<Image, LoadError> {
        let mut object = self.clone();
        object.fill_enumerators(kernel);
        for decl in object.ops.iter().filter(|o| !o.optional) {
            ops::kernel_type(&object, decl, kernel, &options.kernel)?;
        }
        let (resolved, kconfig) = object.resolve_externs(kernel, options)?;
        let (maps, data_map, globals) = object.image_maps(kconfig, options);
        let loaded = object.loaded_programs(options);
        let mut image = Image {
            name: object.name.clone(),
            maps,
            globals,
            license: object.license.clone(),
            btf: object.btf.clone(),
            ..Image::default()
        };
        Linker::new(&object, kernel, options, resolved, data_map, &mut image).link(&loaded)?;
        for decl in object.ops.iter().filter(|o| !o.optional) {
            let program = |func: usize| loaded.iter().position(|p| object.programs[*p].func == func);
            image.struct_ops.push(ops::resolve(&object, decl, kernel, &options.kernel, program)?);
        }
        reach::check(&image).map_err(|message| LoadError::Unguarded { message })?;
        Ok(image)
    }

    /// Fill `const volatile __X` that are still 0 with the kernel's enumerator X, as loaders of sched_ext objects do.
    fn fill_enumerators(&mut self, kernel: &KernelBtf) {
        for data in self.data.iter_mut().filter(|d| d.kind == DataKind::ReadOnly) {
            for v in data.vars.iter().filter(|v| v.size <= 8) {
                let Some(value) = v.name.strip_prefix("__").and_then(|n| kernel.enumerator(n)) else { continue };
                let range = v.offset as usize..v.offset as usize + v.size as usize;
                let Some(slot) = data.bytes.get_mut(range) else { continue };
                if slot.iter().all(|b| *b == 0) {
                    slot.copy_from_slice(&value.to_le_bytes()[..v.size as usize]);
                }
            }
        }
    }

    /// What every extern is on this kernel, and the contents of `.kconfig`.
    fn resolve_externs(
        &self,
        kernel: &KernelBtf,
        options: &LoadOptions,
    ) -> Result<(Vec<Resolved>, Vec<u8>), LoadError> {
        let mut kconfig: Vec<u8> = Vec::new();
        let mut out = Vec::new();
        for e in &self.externs {
            let own = || (self.name.clone(), e.name.clone(), options.kernel.clone());
            out.push(match e.decl {
                ExternDecl::Func { proto } => {
                    Resolved::Kfunc(self.resolve_kfunc(e.kernel_name(), &e.name, proto, e.weak, kernel, options)?)
                }
                ExternDecl::Var { type_id } => {
                    let typeless = self.btf.resolve(type_id) == 0;
                    let name = e.kernel_name();
                    let var = kernel.var(name).filter(|id| {
                        typeless || types_compatible(&self.btf, type_id, kernel.btf(), var_type(kernel, *id))
                    });
                    let var = var.or_else(|| if typeless { kernel.func(name).map(|f| f.id) } else { None });
                    if var.is_none() && !e.weak {
                        let (object, name, kernel) = own();
                        return Err(LoadError::MissingKsym { object, name, kernel });
                    }
                    Resolved::Ksym(var)
                }
                ExternDecl::Kconfig { kind, size, align } => {
                    let offset = kconfig.len().next_multiple_of(align as usize);
                    kconfig.resize(offset + size as usize, 0);
                    match options.kconfig.get(&e.name) {
                        Some(value) => {
                            let bytes = kconfig_bytes(kind, size, value).map_err(|what| LoadError::Extern {
                                object: self.name.clone(),
                                name: e.name.clone(),
                                what,
                            })?;
                            kconfig[offset..offset + size as usize].copy_from_slice(&bytes);
                        }
                        None if e.weak => {}
                        None => {
                            let (object, name, kernel) = own();
                            return Err(LoadError::MissingKconfig { object, name, kernel });
                        }
                    }
                    Resolved::Kconfig(offset as u32)
                }
            });
        }
        Ok((out, kconfig))
    }

    /// Rule: libbpf [bpf_object__resolve_ksym_func_btf_id].
    fn resolve_kfunc(
        &self,
        kernel_name: &str,
        symbol: &str,
        proto: u32,
        weak: bool,
        kernel: &KernelBtf,
        options: &LoadOptions,
    ) -> Result<Option<u32>, LoadError> {
        let Some(func) = kernel.func(kernel_name) else {
            if weak {
                return Ok(None);
            }
            let (object, name) = (self.name.clone(), symbol.to_owned());
            return Err(LoadError::MissingKfunc { object, name, kernel: options.kernel.clone() });
        };
        if types_compatible(&self.btf, proto, kernel.btf(), func.proto) {
            return Ok(Some(func.id));
        }
        if weak {
            return Ok(None);
        }
        let (object, name, kernel_name) = (self.name.clone(), symbol.to_owned(), options.kernel.clone());
        Err(match declared_only(&self.btf, proto) {
            Some(type_name) => LoadError::KfuncDeclaredOnly { object, name, kernel: kernel_name, type_name },
            None => {
                let (ours, theirs) = (self.btf.type_name(proto), kernel.btf().type_name(func.proto));
                LoadError::KfuncPrototype { object, name, kernel: kernel_name, ours, theirs }
            }
        })
    }

    /// Maps of the image; for each data section its map; the globals. `.kconfig` is last, where there is one.
    fn image_maps(&self, kconfig: Vec<u8>, options: &LoadOptions) -> (Vec<MapDef>, Vec<Option<usize>>, Vec<Global>) {
        let mut maps: Vec<MapDef> = self.maps.iter().map(|m| map_def(m, options)).collect();
        let mut globals = Vec::new();
        let mut data_map = Vec::new();
        for d in &self.data {
            let arena = maps.iter().position(|m| m.map_type == map_type::ARENA);
            let map = match d.kind {
                _ if d.bytes.is_empty() => None,
                DataKind::Arena => arena,
                _ => Some(maps.len()),
            };
            data_map.push(map);
            let Some(map) = map else { continue };
            globals.extend(d.vars.iter().map(|v| Global {
                name: v.name.clone(),
                map,
                offset: v.offset,
                size: v.size,
                type_id: v.type_id,
            }));
            if d.kind == DataKind::Arena {
                maps[map].initial = Some(d.bytes.clone());
                continue;
            }
            maps.push(data_def(&d.name, d.bytes.clone(), d.kind == DataKind::ReadOnly, d.datasec));
        }
        if !kconfig.is_empty() {
            data_map.push(Some(maps.len()));
            maps.push(data_def(".kconfig", kconfig, true, None));
        }
        (maps, data_map, globals)
    }

    /// Indices of the programs to load: struct_ops programs that a variable uses, and all others that are not switched
    /// off.
    fn loaded_programs(&self, options: &LoadOptions) -> Vec<usize> {
        let used = |func: usize| self.ops.iter().filter(|o| !o.optional).any(|o| o.funcs.values().any(|f| *f == func));
        let mut out = Vec::new();
        for (i, p) in self.programs.iter().enumerate() {
            let wanted = options.autoload.get(&self.funcs[p.func].name).copied().unwrap_or(p.autoload);
            let is_ops = p.kind == ProgramKind::StructOps;
            if if is_ops { used(p.func) } else { wanted } {
                out.push(i);
            }
        }
        out
    }
}

fn var_type(kernel: &KernelBtf, id: u32) -> u32 {
    match kernel.btf().ty(id).kind {
        crate::btf::Kind::Var { type_id, .. } => type_id,
        _ => 0,
    }
}

fn data_def(name: &str, bytes: Vec<u8>, read_only: bool, value_type: Option<u32>) -> MapDef {
    MapDef {
        name: name.to_owned(),
        map_type: map_type::ARRAY,
        key_size: 4,
        value_size: bytes.len() as u32,
        max_entries: 1,
        flags: 0,
        initial: Some(bytes),
        read_only,
        value_type,
        inner: None,
        inner_values: Vec::new(),
    }
}

fn map_def(m: &MapDecl, options: &LoadOptions) -> MapDef {
    let max_entries = match m.map_type {
        map_type::PERF_EVENT_ARRAY if m.max_entries == 0 => options.nr_cpus,
        map_type::RINGBUF | map_type::USER_RINGBUF if m.max_entries != 0 => {
            let pages = m.max_entries.div_ceil(PAGE_SIZE).checked_next_power_of_two();
            pages.and_then(|p| p.checked_mul(PAGE_SIZE)).unwrap_or(m.max_entries)
        }
        _ => m.max_entries,
    };
    MapDef {
        name: m.name.clone(),
        map_type: m.map_type,
        key_size: m.key_size,
        value_size: m.value_size,
        max_entries,
        flags: m.flags,
        initial: None,
        read_only: false,
        value_type: m.value_type,
        inner: m.inner.as_ref().map(|i| Box::new(map_def(i, options))),
        inner_values: m.inner_values.clone(),
    }
}

/// The first type of a prototype, behind pointers too, that is declared and not defined.
fn declared_only(btf: &Btf, proto: TypeId) -> Option<String> {
    let Kind::FuncProto { ret, params } = &btf.ty(btf.resolve(proto)).kind else { return None };
    std::iter::once(*ret).chain(params.iter().map(|p| p.type_id)).find_map(|mut id| {
        // A pointer may point to itself in types that no compiler made.
        for _ in 0..DEPTH_MAX {
            id = btf.resolve(id);
            match &btf.ty(id).kind {
                Kind::Ptr(to) => id = *to,
                Kind::Fwd { .. } => return Some(btf.type_name(id)),
                _ => return None,
            }
        }
        None
    })
}
