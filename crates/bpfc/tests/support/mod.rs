//! A second reader of what the driver writes: sections, symbols, BTF and CO-RE records, independent of the driver's own code.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use object::read::elf::{ElfFile64, FileHeader, SectionHeader, Sym};
use object::{Endianness, elf};
use scxr_bpfc::{Built, Compiler, Options, Result};

/// The compiler of this machine, made once.
pub fn compiler() -> &'static Compiler {
    static COMPILER: OnceLock<Compiler> = OnceLock::new();
    COMPILER.get_or_init(|| Compiler::new().expect("tests need the Rust toolchain that they are built with"))
}

/// Compiles the text as the policy `NAME/policy.rs` in a folder of its own.
pub fn compile(name: &str, text: &str) -> Result<Built> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join(name).join("policy.rs");
    std::fs::create_dir_all(source.parent().expect("a parent")).expect("a folder");
    std::fs::write(&source, text).expect("a file");
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    compiler().compile(&source, &Options { cache, ..Options::default() })
}

/// The bundled scheduler `simple`.
pub fn simple() -> Built {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schedulers/simple/policy.rs");
    compiler().compile(&source, &Options::default()).expect("simple compiles")
}

/// A policy with `body` as its enqueue and `items` before it.
pub fn policy(items: &str, body: &str) -> String {
    format!(
        "use scxr_policy::prelude::*;\n{items}\nstate! {{ static NR as \"nr\": Global<u64> = 0; }}\nscheduler! {{\n    pub struct T {{ name: \"t\" }}\n    impl Ops for T {{\n        \
         fn enqueue(cx: &Enqueue, p: Task<'_>, enq_flags: EnqFlags) {{\n{body}\n        }}\n    }}\n}}\n"
    )
}

/// An integer's name in C, shortly.
fn short(name: &str) -> &str {
    const SHORT: [(&str, &str); 7] = [
        ("int", "i32"),
        ("unsigned int", "u32"),
        ("long long", "i64"),
        ("unsigned long long", "u64"),
        ("unsigned char", "u8"),
        ("char", "i8"),
        ("_Bool", "bool"),
    ];
    SHORT.iter().find(|(c, _)| *c == name).map_or(name, |(_, short)| short)
}

/// An object, read.
pub struct Object {
    pub sections: BTreeMap<String, Vec<u8>>,
    /// Name, and whether it is weak, of each undefined symbol.
    pub undefined: BTreeMap<String, bool>,
    pub btf: Btf,
}

impl Object {
    pub fn read(data: &[u8]) -> Self {
        let header = elf::FileHeader64::<Endianness>::parse(data).expect("an ELF header");
        let endian = header.endian().expect("an endianness");
        assert_eq!(header.e_machine(endian), elf::EM_BPF);
        assert!(ElfFile64::<Endianness>::parse(data).is_ok());
        let table = header.sections(endian, data).expect("sections");
        let mut sections = BTreeMap::new();
        for section in table.iter() {
            let name = String::from_utf8(table.section_name(endian, section).expect("a name").to_vec()).expect("text");
            sections.insert(name, section.data(endian, data).unwrap_or_default().to_vec());
        }
        let symbols = table.symbols(endian, data, elf::SHT_SYMTAB).expect("symbols");
        let mut undefined = BTreeMap::new();
        for symbol in symbols.iter().filter(|s| s.st_shndx(endian) == elf::SHN_UNDEF) {
            let name = symbol.name(endian, symbols.strings()).expect("a name");
            let name = String::from_utf8(name.to_vec()).expect("text");
            if !name.is_empty() {
                undefined.insert(name, symbol.st_bind() == elf::STB_WEAK);
            }
        }
        let btf = Btf::read(&sections[".BTF"]);
        Self { sections, undefined, btf }
    }

    /// All CO-RE records as `kind type.field.field` or `kind type=access`.
    pub fn relocations(&self) -> BTreeSet<String> {
        let ext = &self.sections[".BTF.ext"];
        let header = word(ext, 4);
        let (start, len) = (header + word(ext, 24), word(ext, 28));
        let data = &ext[start as usize..(start + len) as usize];
        let (size, mut at, mut found) = (word(data, 0) as usize, 4, BTreeSet::new());
        assert_eq!(size, 16);
        while at < data.len() {
            let nr = word(data, at + 4) as usize;
            at += 8;
            for record in data[at..at + nr * size].chunks(size) {
                let (id, access, kind) = (word(record, 4), self.btf.text(word(record, 8)), word(record, 12));
                found.insert(format!("{} {}", kind_name(kind), self.btf.path(id, &access, kind)));
            }
            at += nr * size;
        }
        found
    }
}

fn kind_name(kind: u32) -> &'static str {
    [
        "byte_off",
        "byte_sz",
        "field_exists",
        "signed",
        "lshift",
        "rshift",
        "local_id",
        "target_id",
        "type_exists",
        "type_size",
        "enum_exists",
        "enum_value",
        "type_matches",
    ][kind as usize]
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

/// A BTF type.
pub struct Type {
    pub name: String,
    pub kind: u32,
    pub linkage: u32,
    pub size_or_type: u32,
    /// Name and type of members, parameters, enumerators (value), section entries (offset).
    pub members: Vec<(String, u32)>,
    /// Third words of a section's entries: sizes; of an array its length.
    pub third: Vec<u32>,
}

/// All BTF types, from id 1.
pub struct Btf {
    pub types: Vec<Type>,
    strings: Vec<u8>,
}

impl Btf {
    fn read(data: &[u8]) -> Self {
        assert_eq!(data[..2], [0x9f, 0xeb]);
        let header = word(data, 4) as usize;
        let types = &data[header + word(data, 8) as usize..][..word(data, 12) as usize];
        let strings = data[header + word(data, 16) as usize..][..word(data, 20) as usize].to_vec();
        let mut btf = Self { types: Vec::new(), strings };
        let mut at = 0;
        while at < types.len() {
            let info = word(types, at + 4);
            let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let (fixed, each) = match kind {
                1 | 14 | 17 => (4, 0),
                3 => (12, 0),
                4 | 5 | 15 | 19 => (0, 12),
                6 | 13 => (0, 8),
                _ => (0, 0),
            };
            let mut ty = Type {
                name: btf.text(word(types, at)),
                kind,
                linkage: if kind == 14 { word(types, at + 12) } else { info & 0xffff },
                size_or_type: word(types, at + 8),
                members: Vec::new(),
                third: Vec::new(),
            };
            if kind == 3 {
                ty.third.push(word(types, at + 20));
            }
            for i in 0..if each > 0 { vlen } else { 0 } {
                let member = at + 12 + each * i;
                let name = if kind == 15 { String::new() } else { btf.text(word(types, member)) };
                let value = if kind == 15 { word(types, member) } else { word(types, member + 4) };
                ty.members.push((name, value));
                ty.third.push(if each == 12 { word(types, member + 8) } else { 0 });
            }
            btf.types.push(ty);
            at += 12 + fixed + each * vlen;
        }
        btf
    }

    pub fn text(&self, at: u32) -> String {
        let rest = &self.strings[at as usize..];
        let end = rest.iter().position(|&b| b == 0).expect("a NUL");
        String::from_utf8(rest[..end].to_vec()).expect("text")
    }

    pub fn get(&self, id: u32) -> &Type {
        &self.types[id as usize - 1]
    }

    pub fn find(&self, kind: u32, name: &str) -> &Type {
        self.types.iter().find(|t| t.kind == kind && t.name == name).unwrap_or_else(|| panic!("no type {name}"))
    }

    /// What is behind `const`.
    pub fn constant(&self, id: u32) -> u32 {
        let ty = self.get(id);
        assert_eq!(ty.kind, 10, "{} is no constant", ty.name);
        ty.size_or_type
    }

    /// The declaration of a map: its numbers, and the sizes of its types.
    pub fn map(&self, name: &str) -> String {
        let map = self.get(self.find(14, name).size_or_type);
        let part = |(name, pointer): &(String, u32)| {
            let ty = self.get(*pointer);
            let target = self.get(if ty.kind == 2 { ty.size_or_type } else { *pointer });
            match target.kind {
                3 => format!("{name}={}", target.third[0]),
                _ => format!("{name}:{}", target.size_or_type),
            }
        };
        map.members.iter().map(part).collect::<Vec<_>>().join(" ")
    }

    /// A type as C writes it.
    pub fn spell(&self, id: u32) -> String {
        if id == 0 {
            return "void".to_owned();
        }
        let ty = self.get(id);
        match ty.kind {
            2 => format!("{}*", self.spell(ty.size_or_type)),
            3 => "array".to_owned(),
            _ => short(&ty.name).to_owned(),
        }
    }

    /// A function's prototype with its parameters' names.
    pub fn prototype(&self, function: &str) -> String {
        let proto = self.get(self.find(12, function).size_or_type);
        let params: Vec<String> =
            proto.members.iter().map(|(name, ty)| format!("{} {name}", self.spell(*ty))).collect();
        format!("{} {function}({})", self.spell(proto.size_or_type), params.join(", "))
    }

    fn path(&self, id: u32, access: &str, kind: u32) -> String {
        let (mut ty, mut path) = (self.get(id), self.get(id).name.clone());
        if kind >= 6 {
            let index: usize = access.parse().expect("an index");
            return if (10..12).contains(&kind) { format!("{path}.{}", ty.members[index].0) } else { path };
        }
        for index in access.split(':').skip(1) {
            let (name, member) = &ty.members[index.parse::<usize>().expect("an index")];
            path = format!("{path}.{name}");
            ty = self.get(*member);
        }
        path
    }
}
