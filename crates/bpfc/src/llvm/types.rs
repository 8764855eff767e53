//! Debug information made by hand: the kernel's types and functions, which rustc says nothing about.

use super::api::{DiBuilder, Metadata, Value};
use super::module::Module;

const DW_ATE_BOOLEAN: u32 = 2;
const DW_ATE_SIGNED: u32 = 5;
const DW_ATE_UNSIGNED: u32 = 7;
const DW_TAG_STRUCTURE_TYPE: u32 = 0x13;
const DW_TAG_CONST_TYPE: u32 = 0x26;

/// A member of a structure: name, type, bits and offset in bits.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) ty: Metadata,
    pub(crate) bits: u64,
    pub(crate) offset: u64,
}

impl Module<'_> {
    /// The file that made-up declarations are said to be in. It gets a unit of its own: without one LLVM leaves types
    /// that name themselves unresolved.
    pub(crate) fn di_file(&self, di: DiBuilder) -> Metadata {
        let (name, none, c, full) = ("kernel", c"".as_ptr(), 1, 1);
        let file = self.api().di_file(di, name.as_ptr().cast(), name.len(), none, 0);
        self.api().di_unit(di, c, file, none, 0, 1, none, 0, 0, none, 0, full, 0, 0, 0, none, 0, none, 0);
        file
    }

    /// An integer.
    pub(crate) fn di_int(&self, di: DiBuilder, name: &str, bits: u64, signed: bool) -> Metadata {
        let encoding = if signed { DW_ATE_SIGNED } else { DW_ATE_UNSIGNED };
        self.api().di_basic(di, name.as_ptr().cast(), name.len(), bits, encoding, 0)
    }

    /// `bool`.
    pub(crate) fn di_bool(&self, di: DiBuilder) -> Metadata {
        let name = "bool";
        self.api().di_basic(di, name.as_ptr().cast(), name.len(), 8, DW_ATE_BOOLEAN, 0)
    }

    /// A pointer; `pointee` null for `void *`.
    pub(crate) fn di_pointer(&self, di: DiBuilder, pointee: Metadata) -> Metadata {
        self.api().di_pointer(di, pointee, 64, 64, 0, c"".as_ptr(), 0)
    }

    /// A pointer to a function; `types` begins with its result.
    pub(crate) fn di_function_pointer(&self, di: DiBuilder, file: Metadata, types: &[Metadata]) -> Metadata {
        let function = self.api().di_subroutine(di, file, types.as_ptr(), types.len() as u32, 0);
        self.di_pointer(di, function)
    }

    /// An array of `count` elements, `bits` in all.
    pub(crate) fn di_array(&self, di: DiBuilder, element: Metadata, bits: u64, count: u64) -> Metadata {
        let subrange = self.api().di_subrange(di, 0, count.cast_signed());
        self.api().di_array(di, bits, 0, element, &subrange, 1)
    }

    /// A stand-in for a structure that is being made, so that it can name itself.
    pub(crate) fn di_placeholder(&self, di: DiBuilder, name: &str, file: Metadata) -> Metadata {
        let none = Metadata::NULL;
        self.api().di_replaceable(
            di,
            DW_TAG_STRUCTURE_TYPE,
            name.as_ptr().cast(),
            name.len(),
            none,
            file,
            0,
            0,
            0,
            0,
            0,
            c"".as_ptr(),
            0,
        )
    }

    /// A structure, which takes the place of `placeholder`.
    pub(crate) fn di_struct(
        &self,
        di: DiBuilder,
        name: &str,
        file: Metadata,
        placeholder: Metadata,
        members: &[Member<'_>],
        bits: u64,
    ) -> Metadata {
        let (api, none) = (self.api(), Metadata::NULL);
        let members: Vec<Metadata> = members
            .iter()
            .map(|m| {
                api.di_member(
                    di,
                    placeholder,
                    m.name.as_ptr().cast(),
                    m.name.len(),
                    file,
                    0,
                    m.bits,
                    0,
                    m.offset,
                    0,
                    m.ty,
                )
            })
            .collect();
        let (start, n) = (members.as_ptr(), members.len() as u32);
        let made = api.di_struct(
            di,
            none,
            name.as_ptr().cast(),
            name.len(),
            file,
            0,
            bits,
            0,
            0,
            none,
            start,
            n,
            0,
            none,
            c"".as_ptr(),
            0,
        );
        api.metadata_replace(placeholder, made);
        made
    }

    /// An enumeration whose values have `bits` bits.
    pub(crate) fn di_enum(
        &self,
        di: DiBuilder,
        name: &str,
        file: Metadata,
        bits: u64,
        values: &[(String, u64)],
    ) -> Metadata {
        let (api, none) = (self.api(), Metadata::NULL);
        let of = |(n, v): &(String, u64)| api.di_enumerator(di, n.as_ptr().cast(), n.len(), v.cast_signed(), 1);
        let values: Vec<Metadata> = values.iter().map(of).collect();
        let base = self.di_int(di, if bits == 64 { "u64" } else { "u32" }, bits, false);
        let (start, n) = (values.as_ptr(), values.len() as u32);
        api.di_enumeration(di, none, name.as_ptr().cast(), name.len(), file, 0, bits, 0, start, n, base)
    }

    /// The declaration of a function: `types` holds the result (null for none) and then the parameters.
    pub(crate) fn di_declaration(&self, di: DiBuilder, name: &str, file: Metadata, types: &[Metadata]) -> Metadata {
        let api = self.api();
        let ty = api.di_subroutine(di, file, types.as_ptr(), types.len() as u32, 0);
        let (name, len) = (name.as_ptr().cast(), name.len());
        api.di_function(di, file, name, len, c"".as_ptr(), 0, file, 0, ty, 0, 0, 0, 0, 1)
    }

    /// Says of a variable that is defined elsewhere that it is a constant of type `ty`, null for one without a type.
    pub(crate) fn di_variable(&self, di: DiBuilder, file: Metadata, global: Value, name: &str, ty: Metadata) {
        let (api, none) = (self.api(), Metadata::NULL);
        let ty = api.di_qualified(di, DW_TAG_CONST_TYPE, ty);
        let expression = api.di_expression(di, std::ptr::null(), 0);
        let (start, len, empty) = (name.as_ptr().cast(), name.len(), c"".as_ptr());
        let made = api.di_global(di, file, start, len, empty, 0, file, 0, ty, 0, expression, none, 0);
        let kind = "dbg";
        let kind = api.metadata_kind(self.context(), kind.as_ptr().cast(), kind.len() as u32);
        api.set_global_metadata(global, kind, made);
    }
}
