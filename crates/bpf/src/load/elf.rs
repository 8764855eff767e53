//! ELF: sections, symbols and relocations of a relocatable BPF object, checked and copied out.

use std::collections::BTreeMap;

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _, Sym as _};

use super::error::LoadError;

/// Bytes of all `.bss`-like sections together: the file does not pay for them.
const NOBITS_MAX: u64 = 256 << 20;

pub(super) struct Section {
    pub(super) name: String,
    /// Contents; zeros for NOBITS.
    pub(super) data: Vec<u8>,
    pub(super) exec: bool,
    pub(super) relocs: Vec<Reloc>,
}

#[derive(Clone, Copy)]
pub(super) struct Reloc {
    /// Byte offset in the section.
    pub(super) offset: u64,
    /// Index into [`Elf::symbols`].
    pub(super) symbol: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SymbolKind {
    Func,
    Section,
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Symbol {
    pub(super) name: String,
    /// Index into [`Elf::sections`]; `None`: undefined, absolute or common.
    pub(super) section: Option<usize>,
    pub(super) undefined: bool,
    pub(super) value: u64,
    pub(super) size: u64,
    pub(super) kind: SymbolKind,
    pub(super) weak: bool,
    pub(super) local: bool,
}

pub(super) struct Elf {
    pub(super) sections: Vec<Section>,
    pub(super) symbols: Vec<Symbol>,
    /// Symbols by section and name.
    by_name: BTreeMap<(usize, String), usize>,
}

impl Elf {
    pub(super) fn parse(object: &str, bytes: &[u8]) -> Result<Elf, LoadError> {
        let own = || object.to_owned();
        if !bytes.starts_with(b"\x7fELF") {
            return Err(if b"\x7fELF".starts_with(bytes) && !bytes.is_empty() {
                LoadError::Truncated { object: own(), what: format!("{} bytes", bytes.len()) }
            } else {
                LoadError::NotElf { object: own() }
            });
        }
        if bytes.len() < 64 {
            return Err(LoadError::Truncated { object: own(), what: "the ELF header is cut".to_owned() });
        }
        let not_bpf = |what: String| LoadError::NotBpf { object: own(), what };
        if bytes[4] != elf::ELFCLASS64 || bytes[5] != elf::ELFDATA2LSB {
            return Err(not_bpf("it is 32-bit or big-endian".to_owned()));
        }
        let corrupt = |what: object::read::Error| {
            let end = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap_or_default());
            let what = what.to_string();
            if end >= bytes.len() as u64 {
                let what = format!("the section headers start at byte {end}, the file has {}", bytes.len());
                LoadError::Truncated { object: own(), what }
            } else {
                LoadError::Corrupt { object: own(), what }
            }
        };
        let e = LittleEndian;
        let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(corrupt)?;
        if header.e_machine(e) != elf::EM_BPF {
            return Err(not_bpf(format!("it is for machine {}", header.e_machine(e))));
        }
        if header.e_type(e) != elf::ET_REL {
            return Err(not_bpf("it is not relocatable".to_owned()));
        }
        let table = header.sections(e, bytes).map_err(corrupt)?;
        let mut sections = Vec::new();
        let mut zeros: u64 = 0;
        for s in table.iter() {
            let name = table.section_name(e, s).map_err(corrupt)?;
            let data = if s.sh_type(e) == elf::SHT_NOBITS {
                zeros = zeros.saturating_add(s.sh_size(e));
                if zeros > NOBITS_MAX {
                    let what = format!("more than {} MiB of zeroed data", NOBITS_MAX >> 20);
                    return Err(LoadError::Corrupt { object: own(), what });
                }
                vec![0; s.sh_size(e) as usize]
            } else if matches!(s.sh_type(e), elf::SHT_PROGBITS) {
                let cut = |_| {
                    let what = format!(
                        "section {} ends at byte {}, the file has {}",
                        String::from_utf8_lossy(name),
                        s.sh_offset(e).saturating_add(s.sh_size(e)),
                        bytes.len()
                    );
                    LoadError::Truncated { object: own(), what }
                };
                s.data(e, bytes).map_err(cut)?.to_vec()
            } else {
                Vec::new()
            };
            let exec = s.sh_flags(e) & u64::from(elf::SHF_EXECINSTR) != 0;
            sections.push(Section { name: String::from_utf8_lossy(name).into_owned(), data, exec, relocs: Vec::new() });
        }
        let symtab = table.symbols(e, bytes, elf::SHT_SYMTAB).map_err(corrupt)?;
        let mut symbols = Vec::new();
        for sym in symtab.iter() {
            let name = sym.name(e, symtab.strings()).map_err(corrupt)?;
            let index = usize::from(sym.st_shndx(e));
            symbols.push(Symbol {
                name: String::from_utf8_lossy(name).into_owned(),
                section: (index != 0 && index < sections.len()).then_some(index),
                undefined: index == 0,
                value: sym.st_value(e),
                size: sym.st_size(e),
                kind: match sym.st_type() {
                    elf::STT_FUNC => SymbolKind::Func,
                    elf::STT_SECTION => SymbolKind::Section,
                    _ => SymbolKind::Other,
                },
                weak: sym.st_bind() == elf::STB_WEAK,
                local: sym.st_bind() == elf::STB_LOCAL,
            });
        }
        for s in table.iter() {
            let Some((rels, _)) = s.rel(e, bytes).map_err(corrupt)? else { continue };
            let Some(target) = sections.get_mut(s.sh_info(e) as usize) else { continue };
            for r in rels {
                let symbol = r.r_sym(e) as usize;
                if symbol >= symbols.len() {
                    let what =
                        format!("a relocation of section {} names symbol {symbol}, which does not exist", target.name);
                    return Err(LoadError::Corrupt { object: own(), what });
                }
                target.relocs.push(Reloc { offset: r.r_offset(e), symbol });
            }
        }
        let mut by_name = BTreeMap::new();
        for (i, s) in symbols.iter().enumerate() {
            if let Some(section) = s.section {
                by_name.entry((section, s.name.clone())).or_insert(i);
            }
        }
        Ok(Elf { sections, symbols, by_name })
    }

    /// First section of this name.
    pub(super) fn section(&self, name: &str) -> Option<usize> {
        self.sections.iter().position(|s| s.name == name)
    }

    /// A symbol of this name defined in a section.
    pub(super) fn defined(&self, name: &str, section: usize) -> Option<&Symbol> {
        self.by_name.get(&(section, name.to_owned())).map(|i| &self.symbols[*i])
    }
}
