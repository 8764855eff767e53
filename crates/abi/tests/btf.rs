//! The BTF of every version is well-formed, checked by a walker of its own, and says what the model says.

use std::collections::BTreeMap;

use scxr_abi::{KernelModel, KernelVersion, Type, TypeId};

struct Entry {
    name: String,
    kind: u32,
    vlen: u32,
    flag: bool,
    size_or_type: u32,
    extra: Vec<u32>,
}

struct Btf {
    types: Vec<Entry>,
    strings: Vec<u8>,
}

impl Btf {
    fn string(&self, offset: u32) -> String {
        let tail = &self.strings[offset as usize..];
        let len = tail.iter().position(|&b| b == 0).expect("terminated string");
        String::from_utf8(tail[..len].to_vec()).expect("UTF-8")
    }

    fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(&bytes[..4], [0x9f, 0xeb, 1, 0], "magic, version, flags");
        let (header, type_off, type_len) = (word(4) as usize, word(8) as usize, word(12) as usize);
        let (str_off, str_len) = (word(16) as usize, word(20) as usize);
        assert_eq!((header, type_off, str_off), (24, 0, type_len));
        assert_eq!(bytes.len(), header + str_off + str_len);
        let mut btf = Self { types: Vec::new(), strings: bytes[header + str_off..].to_vec() };
        assert_eq!((btf.strings[0], btf.strings[str_len - 1]), (0, 0));
        let (mut at, end) = (header, header + type_len);
        while at < end {
            let info = word(at + 4);
            let (kind, vlen) = (info >> 24 & 0x1f, info & 0xffff);
            let words = match kind {
                1 | 14 | 17 => 1,
                3 => 3,
                4 | 5 | 15 | 19 => 3 * vlen as usize,
                6 | 13 => 2 * vlen as usize,
                2 | 7 | 8 | 10 | 12 => 0,
                other => panic!("kind {other}"),
            };
            let extra = (0..words).map(|i| word(at + 12 + 4 * i)).collect();
            let name = btf.string(word(at));
            btf.types.push(Entry { name, kind, vlen, flag: info >> 31 == 1, size_or_type: word(at + 8), extra });
            at += 12 + 4 * words;
        }
        assert_eq!(at, end, "types end where the header says");
        btf
    }

    fn entry(&self, id: u32) -> &Entry {
        &self.types[id as usize - 1]
    }

    /// Ids that `entry` refers to.
    fn references(entry: &Entry) -> Vec<u32> {
        let every = |step: usize, at: usize| entry.extra.chunks(step).map(|chunk| chunk[at]).collect();
        match entry.kind {
            2 | 8 | 10 | 12 | 14 | 17 => vec![entry.size_or_type],
            3 => vec![entry.extra[0], entry.extra[1]],
            4 | 5 => every(3, 1),
            13 => entry.extra.chunks(2).map(|chunk| chunk[1]).chain([entry.size_or_type]).collect(),
            15 => every(3, 0),
            _ => Vec::new(),
        }
    }
}

fn models() -> impl Iterator<Item = KernelModel> {
    KernelVersion::ALL.into_iter().map(KernelModel::new)
}

#[test]
fn every_reference_is_in_range_and_of_a_fitting_kind() {
    for model in models() {
        let btf = Btf::parse(&model.btf());
        assert_eq!(btf.types.len() + 1, model.types().len());
        for entry in &btf.types {
            for id in Btf::references(entry) {
                assert!(id as usize <= btf.types.len(), "{}: id {id}", entry.name);
            }
            match entry.kind {
                12 => assert_eq!(btf.entry(entry.size_or_type).kind, 13, "{} has a prototype", entry.name),
                17 => assert_eq!((btf.entry(entry.size_or_type).kind, entry.name.as_str()), (12, "bpf_kfunc")),
                7 => assert_eq!((entry.vlen, entry.size_or_type), (0, 0)),
                _ => {}
            }
        }
    }
}

#[test]
fn names_are_unique_within_their_kind() {
    for model in models() {
        let btf = Btf::parse(&model.btf());
        let mut seen = BTreeMap::new();
        for (index, entry) in btf.types.iter().enumerate() {
            if !entry.name.is_empty() && entry.kind != 17 {
                // A typedef and a struct may share a name, as in C.
                let space = matches!(entry.kind, 4..=7 | 19);
                let other = seen.insert((space, entry.kind == 14, entry.name.clone()), index + 1);
                assert_eq!(other, None, "{} {}", model.version(), entry.name);
            }
        }
    }
}

#[test]
fn structs_and_enums_say_what_the_model_says() {
    for model in models() {
        let btf = Btf::parse(&model.btf());
        for (TypeId(id), ty) in model.types().iter().skip(1) {
            let entry = btf.entry(id);
            match ty {
                Type::Composite(c) => {
                    assert_eq!((entry.name.as_str(), entry.size_or_type), (c.name, c.size));
                    assert_eq!(entry.kind, if c.union { 5 } else { 4 });
                    for (member, words) in c.members.iter().zip(entry.extra.chunks(3)) {
                        assert_eq!(btf.string(words[0]), member.name);
                        assert_eq!((words[1], words[2]), (member.ty.0, member.offset * 8), "{}", member.name);
                    }
                }
                Type::Enum(e) => {
                    assert_eq!((entry.kind, entry.flag), (if e.size == 8 { 19 } else { 6 }, e.signed), "{}", e.name);
                    let step = if e.size == 8 { 3 } else { 2 };
                    for ((name, value), words) in e.values.iter().zip(entry.extra.chunks(step)) {
                        assert_eq!(btf.string(words[0]), *name);
                        assert_eq!(words[1], *value as u32, "{name}");
                        assert!(step == 2 || u64::from(words[2]) == value >> 32, "{name}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn wide_enums_are_enum64_and_cursor_is_signed() {
    let model = KernelModel::new(KernelVersion::NEWEST);
    let btf = Btf::parse(&model.btf());
    let kind = |name: &str| btf.types.iter().find(|e| e.name == name).map(|e| (e.kind, e.flag));
    assert_eq!(kind("scx_dsq_id_flags"), Some((19, false)));
    assert_eq!(kind("scx_enq_flags"), Some((19, false)));
    assert_eq!(kind("scx_kick_flags"), Some((6, false)));
    assert_eq!(kind("scx_ent_flags"), Some((6, true)));
    assert_eq!(model.constant("SCX_TASK_CURSOR"), Some(0xffff_ffff_8000_0000));
}
