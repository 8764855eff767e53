//! The last step: the ELF that LLVM wrote, with its BTF completed and without what no BPF loader reads.

use std::path::Path;

use object::build::elf::{Builder, SectionData};
use object::elf;

use crate::btf::Btf;
use crate::error::{Error, Refusal, Result};
use crate::lower::Lowered;

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
            section.delete |= is_dropped(&target);
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

fn complete_btf(
    builder: &mut Builder<'_>,
    lowered: &Lowered,
    remaps: &Remaps<'_>,
) -> Result<std::collections::BTreeSet<String>, &'static str> {
    let section = builder.sections.iter_mut().find(|s| s.name.as_slice() == b".BTF").ok_or("LLVM wrote no BTF")?;
    let SectionData::Data(data) = &section.data else { return Err(".BTF has no data") };
    let mut btf = Btf::parse(data)?;
    btf.sanitize_names();
    btf.name_parameters(&lowered.kfuncs);
    btf.peel_wrappers(&lowered.structs);
    for (from, to) in remaps {
        btf.remap(from, to);
    }
    if !lowered.kfuncs.is_empty() && !btf.sections().contains(".ksyms") {
        return Err("LLVM wrote no .ksyms section into BTF");
    }
    section.data = SectionData::Data(btf.write().into());
    Ok(btf.externs())
}

/// Every undefined symbol has to be a kernel function that BTF describes.
fn refuse_undefined(name: &str, builder: &Builder<'_>, externs: &std::collections::BTreeSet<String>) -> Result<()> {
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
