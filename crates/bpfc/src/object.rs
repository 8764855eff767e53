//! The last step: the ELF that LLVM wrote, with its BTF completed and without what no BPF loader reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use object::build::elf::{Builder, SectionData};
use object::elf;

use crate::btf::{Btf, Function, sanitized};
use crate::error::{Error, Refusal, Result};
use crate::lower::{Lowered, STAND_IN};

/// Folders whose names are replaced in the object's strings, with their replacements.
pub(crate) type Remaps<'a> = [(&'a Path, &'a str)];

/// Completes the object in `data`.
pub(crate) fn finish(name: &str, data: &[u8], lowered: &Lowered, remaps: &Remaps<'_>) -> Result<Vec<u8>> {
    let fail = |why: String| Error::Object { name: name.to_owned(), why };
    let mut builder = Builder::read(data).map_err(|e| fail(e.to_string()))?;
    let externs = complete_btf(&mut builder, lowered, remaps).map_err(|why| fail(why.to_owned()))?;
    refuse_undefined(name, &builder, &externs)?;
    for section in &mut builder.sections {
        section.delete = is_dropped(&section.name.to_string());
    }
    for section in &mut builder.sections {
        if let Some(target) = section.name.to_string().strip_prefix(".rel").map(str::to_owned) {
            section.delete |= is_dropped(&target) || target.starts_with(".BTF");
        }
    }
    // LLVM keeps all names in one table, the writer wants one of its own for those of sections
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    builder.delete_orphans();
    builder.delete_unused_versions();
    let mut out = Vec::new();
    builder.write(&mut out).map_err(|e| fail(e.to_string()))?;
    Ok(out)
}

fn is_dropped(section: &str) -> bool {
    section.starts_with(".debug") || [".llvm_addrsig", ".comment", ".note.GNU-stack", ".eh_frame"].contains(&section)
}

/// A `.BTF.ext` with nothing in it: the length of its header, and no records.
const NO_RECORDS: [u8; 24] = {
    let mut header = [0; 24];
    header[4] = 24;
    header
};

fn complete_btf(
    builder: &mut Builder<'_>,
    lowered: &Lowered,
    remaps: &Remaps<'_>,
) -> Result<BTreeSet<String>, &'static str> {
    let content = |name: &str| {
        let section = builder.sections.iter().find(|s| s.name.to_string() == name);
        match section.map(|s| &s.data) {
            Some(SectionData::Data(data)) => Some(data.to_vec()),
            _ => None,
        }
    };
    let mut btf = Btf::parse(&content(".BTF").ok_or("there is no scheduler in it: write one with scheduler! { … }")?)?;
    // A policy without operations has no code, and so no records about code.
    let mut ext = content(".BTF.ext").unwrap_or_else(|| NO_RECORDS.to_vec());
    btf.cut_session();
    btf.sanitize_names();
    btf.order_members();
    btf.name_integers();
    let places = Places::new(builder);
    btf.place_variables(&places.sections, &places.variables);
    btf.match_functions(&ext, &places.functions, &lowered.parameters).ok_or(".BTF.ext ends early")?;
    btf.name_parameters(&lowered.kfuncs);
    btf.name_own_types(&mut ext)?;
    btf.tag_collections();
    btf.open_inner_maps();
    let own = lowered.structs.iter().map(|name| name.strip_prefix(STAND_IN).unwrap_or(name).to_owned());
    btf.peel_wrappers(&own.collect::<Vec<_>>());
    btf.tag_kptrs();
    btf.describe(&lowered.descriptions);
    btf.name_operations();
    btf.rewrite_strings(&mut ext, remaps).ok_or(".BTF.ext ends early")?;
    if !lowered.kfuncs.is_empty() && !btf.sections().contains(".ksyms") {
        return Err("LLVM wrote no .ksyms section into BTF");
    }
    for section in &mut builder.sections {
        match section.name.as_slice() {
            b".BTF" => section.data = SectionData::Data(btf.write().into()),
            b".BTF.ext" => section.data = SectionData::Data(ext.clone().into()),
            _ => {}
        }
    }
    Ok(btf.externs())
}

/// Where the ELF file says that things are.
struct Places {
    /// Size of each section of data.
    sections: BTreeMap<String, u64>,
    /// Offset of each variable in its section.
    variables: BTreeMap<String, u64>,
    /// Functions by section and offset.
    functions: BTreeMap<(String, u64), Function>,
}

impl Places {
    fn new(builder: &Builder<'_>) -> Self {
        let mut places = Self { sections: BTreeMap::new(), variables: BTreeMap::new(), functions: BTreeMap::new() };
        for section in &builder.sections {
            let size = match &section.data {
                SectionData::Data(data) => data.len() as u64,
                SectionData::UninitializedData(len) => *len,
                _ => continue,
            };
            places.sections.insert(section.name.to_string(), size);
        }
        for symbol in &builder.symbols {
            let Some(section) = symbol.section.map(|id| builder.sections.get(id).name.to_string()) else { continue };
            match symbol.st_type() {
                elf::STT_OBJECT => {
                    places.variables.insert(sanitized(&symbol.name.to_string()), symbol.st_value);
                }
                elf::STT_FUNC => {
                    let function =
                        Function { name: symbol.name.to_string(), is_local: symbol.st_bind() == elf::STB_LOCAL };
                    places.functions.insert((section, symbol.st_value), function);
                }
                _ => {}
            }
        }
        places
    }
}

/// Every undefined symbol has to be a kernel function or variable, or a configuration value, that BTF describes.
fn refuse_undefined(name: &str, builder: &Builder<'_>, externs: &BTreeSet<String>) -> Result<()> {
    let undefined = builder.symbols.iter().filter(|s| s.section.is_none() && s.st_shndx == elf::SHN_UNDEF);
    let names = undefined.map(|s| s.name.to_string()).filter(|s| !s.is_empty() && (s == TRAP || !externs.contains(s)));
    let refusals: Vec<Refusal> = names.map(|symbol| explain(&symbol)).collect();
    if refusals.is_empty() { Ok(()) } else { Err(Error::Refused { name: name.to_owned(), refusals }) }
}

/// What LLVM calls where control must not come.
const TRAP: &str = "__bpf_trap";

fn explain(symbol: &str) -> Refusal {
    let (what, hint) = match symbol {
        TRAP => {
            ("a place that must not be reached can be".to_owned(), "look for endless loops and unreachable_unchecked")
        }
        "memcpy" | "memset" | "memmove" | "memcmp" | "bcmp" => (
            format!("a call of `{symbol}`: a value is too large to be copied or compared in line"),
            "work on a part of it",
        ),
        _ if symbol.starts_with("__") && symbol.ends_with("ti3") => {
            (format!("`{symbol}`: arithmetic of 128 bits"), "use 64 bits")
        }
        _ => (
            format!("`{symbol}` is not defined"),
            "BPF programs call kernel functions, helpers and their own functions",
        ),
    };
    Refusal { site: None, what, hint }
}
