//! Replaces the calls that [`crate::marker`] describes by what LLVM's BPF back end makes relocation records,
//! external functions and helper calls of.
//!
//! Kernel fields become `llvm.preserve.struct.access.index`, existence and size `llvm.bpf.preserve.field.info` and
//! `llvm.bpf.preserve.type.info`, enumerators `llvm.bpf.preserve.enum.value`: what clang makes of C's
//! `preserve_access_index`. The local types are partial structures that hold the members in use, by name.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::llvm::{DiBuilder, Member, Metadata, Module, Type, Value, linkage};
use crate::marker::{CType, Enumerator, Field, Kfunc, Marker, PREFIX, Variable};
use crate::session::Session;

/// `FIELD_BYTE_SIZE` and `FIELD_EXISTENCE` of LLVM's field information.
const FIELD_SIZE: u64 = 1;
const FIELD_EXISTS: u64 = 2;
/// `PRESERVE_TYPE_INFO_EXISTENCE`, `PRESERVE_TYPE_INFO_SIZE`.
const TYPE_EXISTS: u64 = 0;
const TYPE_SIZE: u64 = 1;
/// `BTF_TYPE_ID_LOCAL_RELOC`.
const TYPE_ID_LOCAL: u64 = 0;
/// Before the name of a policy's structure: the structure that stands for it until BTF is complete.
pub(crate) const STAND_IN: &str = "scxr_type_id_";
/// `PRESERVE_ENUM_VALUE_EXISTENCE`, `PRESERVE_ENUM_VALUE`.
const ENUM_EXISTS: u64 = 0;
const ENUM_VALUE: u64 = 1;

/// The kernel functions that the module calls, by name, with their parameters' names.
pub(crate) type Kfuncs = BTreeMap<String, Vec<String>>;

/// What [`lower`] found.
pub(crate) struct Lowered {
    /// Kernel functions in use.
    pub(crate) kfuncs: Kfuncs,
    /// Kernel structures in use: their wrappers are not peeled in BTF.
    pub(crate) structs: Vec<String>,
    /// What is said of the policy's variables and maps, by name.
    pub(crate) descriptions: BTreeMap<String, Vec<String>>,
    /// Names of the parameters that the policy's functions have after optimisation, by symbol.
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
}

/// Replaces all markers of `module`.
pub(crate) fn lower(module: &Module<'_>, session: &Session) -> Result<Lowered> {
    let mut markers = Vec::new();
    for function in module.functions() {
        let name = module.name(function);
        if name.starts_with(PREFIX) {
            markers.push((function, name.clone(), Marker::parse(&name)?));
        }
    }
    // rustc's order of declarations is its own affair; ours is by name
    markers.sort_by(|a, b| a.1.cmp(&b.1));
    let di = module.debug_info();
    let types = Types::new(module, session, di, markers.iter().map(|(_, _, marker)| marker));
    let mut lowering =
        Lowering { module, di, types, kfuncs: Kfuncs::new(), variables: BTreeMap::new(), nr_sequences: 0 };
    for (function, name, marker) in &markers {
        lowering.replace(*function, marker).map_err(|why| Error::Declaration { declaration: name.clone(), why })?;
    }
    module.finish_debug_info(di);
    let structs = lowering.types.structs.keys().cloned().collect();
    Ok(Lowered { kfuncs: lowering.kfuncs, structs, descriptions: BTreeMap::new(), parameters: BTreeMap::new() })
}

/// Makes BPF's division of each division that was marked. After optimisation: to LLVM a division by 0 has no meaning, to BPF it is 0, and no code has to
/// ask.
pub(crate) fn divide(module: &Module<'_>) {
    let marked =
        |&f: &Value| module.is_declaration(f) && Marker::parse(&module.name(f)).is_ok_and(|m| m == Marker::Divide);
    let Some(function) = module.functions().into_iter().find(marked) else { return };
    for call in module.users(function).into_iter().filter_map(|user| module.as_call(user)) {
        let args = module.arguments(call);
        if let [number, by] = args[..] {
            module.replace_call(call, module.insert_division(call, number, by));
        }
    }
    module.delete_function(function);
}

struct Lowering<'m, 'l> {
    module: &'m Module<'l>,
    di: DiBuilder,
    types: Types<'m, 'l>,
    kfuncs: Kfuncs,
    variables: BTreeMap<String, (Variable, Value)>,
    nr_sequences: u64,
}

impl Lowering<'_, '_> {
    fn replace(&mut self, function: Value, marker: &Marker) -> Result<(), String> {
        if *marker == Marker::Divide {
            self.module.set_pure(function);
            return Ok(());
        }
        if let Marker::Kfunc { weak, kfunc } = marker {
            let target = self.kfunc(kfunc, Some(self.module.function_type(function)), *weak)?;
            // the kernel leaves what it likes above a `bool`: clang asks for the lowest bit, too
            for call in self.module.users(function).into_iter().filter_map(|user| self.module.as_call(user)) {
                self.module.unextend_result(call);
            }
            self.module.replace(function, target);
            self.module.delete_function(function);
            return Ok(());
        }
        for user in self.module.users(function) {
            let call = self.module.as_call(user).filter(|&call| self.module.callee(call) == Some(function));
            let call = call.ok_or("it is used otherwise than by a call")?;
            let value = self.value(call, marker)?;
            self.module.replace_call(call, value);
        }
        self.module.delete_function(function);
        Ok(())
    }

    fn value(&mut self, call: Value, marker: &Marker) -> Result<Value, String> {
        let module = self.module;
        match marker {
            Marker::FieldAddress(field) => {
                let base = *module.arguments(call).first().ok_or("it has no argument")?;
                self.access(call, base, field)
            }
            Marker::FieldExists(field) => self.field_info(call, field, FIELD_EXISTS),
            Marker::FieldSize(field) => self.field_info(call, field, FIELD_SIZE),
            Marker::TypeExists(name) => self.type_info(call, name, TYPE_EXISTS),
            Marker::TypeSize(name) => self.type_info(call, name, TYPE_SIZE),
            Marker::TypeId(name) => self.type_id(call, name),
            Marker::EnumExists(enumerator) => self.enum_value(call, enumerator, ENUM_EXISTS),
            Marker::EnumValue(enumerator) => self.enum_value(call, enumerator, ENUM_VALUE),
            Marker::KsymExists(kfunc) => {
                let target = self.kfunc(kfunc, None, true)?;
                Ok(module.insert_non_null(call, target))
            }
            Marker::Variable(variable) => self.variable(variable),
            Marker::VariableExists(variable) => {
                let global = self.variable(variable)?;
                Ok(module.insert_non_null(call, global))
            }
            Marker::Helper(number) => {
                let (ty, args) = (module.called_type(call), module.arguments(call));
                Ok(module.insert_call(call, ty, module.address(*number), &args))
            }
            Marker::ArenaCast => {
                let at = *module.arguments(call).first().ok_or("it has no argument")?;
                Ok(module.insert_arena_cast(call, at))
            }
            Marker::Kfunc { .. } | Marker::Divide => Err("it is replaced as a whole".to_owned()),
        }
    }

    /// The address of a field of `*base`.
    fn access(&mut self, call: Value, base: Value, field: &Field) -> Result<Value, String> {
        let module = self.module;
        let (index, nr_members) = self.types.index(field);
        let ptr = module.ptr();
        let intrinsic = module.intrinsic("llvm.preserve.struct.access.index", &[ptr, ptr])?;
        let index = module.constant(32, index);
        let access = module.insert_call(call, module.function_type(intrinsic), intrinsic, &[base, index, index]);
        module.set_element_type(access, 0, module.bytes_struct(nr_members));
        module.set_access_type(access, self.types.structs[&field.owner]);
        Ok(access)
    }

    fn field_info(&mut self, call: Value, field: &Field, what: u64) -> Result<Value, String> {
        let module = self.module;
        let address = self.access(call, module.null(), field)?;
        let intrinsic = module.intrinsic("llvm.bpf.preserve.field.info", &[module.ptr()])?;
        let args = [address, module.constant(64, what)];
        let info = module.insert_call(call, module.function_type(intrinsic), intrinsic, &args);
        Ok(self.truth(call, info, what == FIELD_EXISTS))
    }

    fn type_info(&mut self, call: Value, name: &str, what: u64) -> Result<Value, String> {
        let module = self.module;
        let intrinsic = module.intrinsic("llvm.bpf.preserve.type.info", &[])?;
        let args = [self.sequence(), module.constant(64, what)];
        let info = module.insert_call(call, module.function_type(intrinsic), intrinsic, &args);
        module.set_access_type(info, self.types.structs[name]);
        Ok(self.truth(call, info, what == TYPE_EXISTS))
    }

    /// The number of a structure of the policy's own: rustc's debug information of it cannot be reached from here, so that another one
    /// stands for it.
    fn type_id(&mut self, call: Value, name: &str) -> Result<Value, String> {
        let module = self.module;
        let intrinsic = module.intrinsic("llvm.bpf.btf.type.id", &[])?;
        let args = [self.sequence(), module.constant(64, TYPE_ID_LOCAL)];
        let id = module.insert_call(call, module.function_type(intrinsic), intrinsic, &args);
        module.set_access_type(id, self.types.structs[&format!("{STAND_IN}{name}")]);
        Ok(id)
    }

    fn enum_value(&mut self, call: Value, enumerator: &Enumerator, what: u64) -> Result<Value, String> {
        let module = self.module;
        let intrinsic = module.intrinsic("llvm.bpf.preserve.enum.value", &[])?;
        let name = module.string(&format!("{}:{}", enumerator.name, enumerator.value.cast_signed()));
        let args = [self.sequence(), name, module.constant(64, what)];
        let info = module.insert_call(call, module.function_type(intrinsic), intrinsic, &args);
        module.set_access_type(info, self.types.enums[&enumerator.owner]);
        Ok(self.truth(call, info, what == ENUM_EXISTS))
    }

    /// A number that keeps LLVM from merging two of these calls.
    fn sequence(&mut self) -> Value {
        self.nr_sequences += 1;
        self.module.constant(32, self.nr_sequences)
    }

    /// `info` itself, or whether it is not zero.
    fn truth(&self, call: Value, info: Value, is_bool: bool) -> Value {
        if is_bool { self.module.insert_non_zero(call, info) } else { info }
    }

    /// The declaration of a variable of the kernel's or the loader's; made on its first use.
    fn variable(&mut self, variable: &Variable) -> Result<Value, String> {
        let Variable { section, weak, name, ty } = variable;
        if let Some((known, global)) = self.variables.get(name) {
            return if known == variable {
                Ok(*global)
            } else {
                Err(format!("{name} is declared in another way, too"))
            };
        }
        if self.module.global(name).is_some() || self.module.function(name).is_some() {
            return Err(format!("{name} is also the name of a function or variable of this object"));
        }
        let global = self.module.declare_variable(name, self.types.bits(ty).div_ceil(8));
        self.module.set_linkage(global, if *weak { linkage::EXTERNAL_WEAK } else { linkage::EXTERNAL });
        self.module.set_section(global, section);
        let made = self.types.of(ty);
        self.module.di_variable(self.di, self.types.file, global, name, made);
        self.variables.insert(name.clone(), (variable.clone(), global));
        Ok(global)
    }

    /// The declaration of a kernel function; made on its first use.
    fn kfunc(&mut self, kfunc: &Kfunc, ty: Option<Type>, weak: bool) -> Result<Value, String> {
        let module = self.module;
        let known = module.function(&kfunc.name);
        let target = match (known, ty) {
            (Some(known), _) => known,
            (None, Some(ty)) => module.declare(&kfunc.name, ty),
            (None, None) => module.declare(&kfunc.name, module.void_function()),
        };
        if weak {
            module.set_linkage(target, linkage::EXTERNAL_WEAK);
        }
        if self.kfuncs.contains_key(&kfunc.name) {
            return Ok(target);
        }
        module.set_section(target, ".ksyms");
        let mut types = vec![self.types.of(&kfunc.ret)];
        types.extend(kfunc.params.iter().map(|(_, ty)| self.types.of(ty)));
        let declaration = module.di_declaration(self.di, &kfunc.name, self.types.file, &types);
        module.set_subprogram(target, declaration);
        self.kfuncs.insert(kfunc.name.clone(), kfunc.params.iter().map(|(name, _)| name.clone()).collect());
        Ok(target)
    }
}

/// Debug information of the kernel's types, made from the members in use.
struct Types<'m, 'l> {
    module: &'m Module<'l>,
    session: &'m Session,
    di: DiBuilder,
    file: Metadata,
    members: BTreeMap<String, BTreeMap<String, CType>>,
    structs: BTreeMap<String, Metadata>,
    enums: BTreeMap<String, Metadata>,
}

impl<'m, 'l> Types<'m, 'l> {
    fn new<'a>(
        module: &'m Module<'l>,
        session: &'m Session,
        di: DiBuilder,
        markers: impl Iterator<Item = &'a Marker>,
    ) -> Self {
        let mut members: BTreeMap<String, BTreeMap<String, CType>> = BTreeMap::new();
        let mut enumerators: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for marker in markers {
            match marker {
                Marker::FieldAddress(f) | Marker::FieldExists(f) | Marker::FieldSize(f) => {
                    members.entry(f.owner.clone()).or_default().insert(f.name.clone(), f.ty.clone());
                }
                Marker::TypeExists(name) | Marker::TypeSize(name) => {
                    members.entry(name.clone()).or_default();
                }
                Marker::TypeId(name) => {
                    members.entry(format!("{STAND_IN}{name}")).or_default();
                }
                Marker::EnumExists(e) | Marker::EnumValue(e) => {
                    enumerators.entry(e.owner.clone()).or_default().insert(e.name.clone(), e.value);
                }
                Marker::Kfunc { .. }
                | Marker::KsymExists(_)
                | Marker::Helper(_)
                | Marker::ArenaCast
                | Marker::Divide => {}
                Marker::Variable(_) | Marker::VariableExists(_) => {}
            }
        }
        let file = module.di_file(di);
        let enums = enumerators.into_iter().map(|(name, values)| {
            let values: Vec<_> = values.into_iter().collect();
            let made = module.di_enum(di, &session.unique(&name), file, 64, &values);
            (name, made)
        });
        let enums = enums.collect();
        let mut types = Self { module, session, di, file, members, structs: BTreeMap::new(), enums };
        let owners: Vec<String> = types.members.keys().cloned().collect();
        for owner in owners {
            types.structure(&owner);
        }
        types
    }

    /// Place of a field among the members of its structure, and their number.
    fn index(&self, field: &Field) -> (u64, usize) {
        let members = &self.members[&field.owner];
        let index = members.keys().position(|name| *name == field.name).unwrap_or_default();
        (index as u64, members.len())
    }

    fn of(&mut self, ty: &CType) -> Metadata {
        match ty {
            CType::Void => Metadata::NULL,
            CType::Bool => self.module.di_bool(self.di),
            CType::Int(name, bits, signed) => self.module.di_int(self.di, name, *bits, *signed),
            CType::Pointer(pointee) => {
                let pointee = self.of(pointee);
                self.module.di_pointer(self.di, pointee)
            }
            CType::Function(params, ret) => {
                let mut types = vec![self.of(ret)];
                types.extend(params.iter().map(|ty| self.of(ty)));
                self.module.di_function_pointer(self.di, self.file, &types)
            }
            CType::Array(element, count) => {
                let made = self.of(element);
                let bits = self.bits(element) * count;
                self.module.di_array(self.di, made, bits, *count)
            }
            CType::Struct(name) => self.structure(name),
            CType::Enum(name) => match self.enums.get(name) {
                Some(&made) => made,
                None => {
                    let made = self.module.di_enum(self.di, name, self.file, 32, &[]);
                    self.enums.insert(name.clone(), made);
                    made
                }
            },
        }
    }

    fn structure(&mut self, name: &str) -> Metadata {
        if let Some(&made) = self.structs.get(name) {
            return made;
        }
        let unique = self.session.unique(name);
        let placeholder = self.module.di_placeholder(self.di, &unique, self.file);
        self.structs.insert(name.to_owned(), placeholder);
        let layout = self.members.get(name).cloned().unwrap_or_default();
        let (mut members, mut offset) = (Vec::new(), 0u64);
        for (field, ty) in &layout {
            let (bits, made) = (self.bits(ty), self.of(ty));
            offset = offset.next_multiple_of(self.align(ty));
            members.push(Member { name: field, ty: made, bits, offset });
            offset += bits;
        }
        let bits = offset.next_multiple_of(64);
        let made = self.module.di_struct(self.di, &unique, self.file, placeholder, &members, bits);
        self.structs.insert(name.to_owned(), made);
        made
    }

    /// Size in bits. A structure that holds itself by value has none; the declaration macros cannot write one.
    fn bits(&self, ty: &CType) -> u64 {
        match ty {
            CType::Void => 0,
            CType::Bool => 8,
            CType::Int(_, bits, _) => *bits,
            CType::Enum(_) => 32,
            CType::Pointer(_) | CType::Function(..) => 64,
            CType::Array(element, count) => self.bits(element) * count,
            CType::Struct(name) => {
                let members = self.members.get(name);
                let sum = |sum: u64, ty| sum.next_multiple_of(self.align(ty)) + self.bits(ty);
                members.map_or(0, |m| m.values().fold(0, sum)).next_multiple_of(64)
            }
        }
    }

    fn align(&self, ty: &CType) -> u64 {
        match ty {
            CType::Array(element, _) => self.align(element),
            CType::Struct(_) => 64,
            other => self.bits(other).max(8),
        }
    }
}
