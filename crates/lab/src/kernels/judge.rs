//! Whether a kernel can run sched_ext schedulers, and what its class can do. By its BTF and configuration, never by its
//! version: distributions break and mend things within a series.

use serde::{Deserialize, Serialize};

use scxr_bpf::btf::{KernelBtf, Kind};

/// What the kernel calls the last parameter of a kfunc that it passes by itself (KF_IMPLICIT_ARGS). BTF of a sound build
/// shows a kfunc without it, and with it under the kfunc's name and `_impl`; some distributions' builds leave a part of
/// the kfuncs as they are in the source, another part in each build.
const IMPLICIT_PARAM: &str = "aux";

/// What a kernel can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Why it cannot run a scheduler; empty: it can.
    pub problems: Vec<Problem>,
    /// It has the class.
    pub class: bool,
    /// The class has cgroup operations (CONFIG_EXT_GROUP_SCHED).
    pub group_sched: bool,
    /// The class has sub-schedulers (CONFIG_EXT_SUB_SCHED).
    pub sub_sched: bool,
    /// It has core scheduling (CONFIG_SCHED_CORE).
    pub core_sched: bool,
}

impl Judgement {
    /// Whether it can run a scheduler.
    pub fn usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Why a kernel cannot run a scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Problem {
    /// The class is not compiled in.
    #[error(
        "it is built without the class (CONFIG_SCHED_CLASS_EXT); take 6.12 or newer of a distribution that turns it on"
    )]
    NoClass,
    /// It has no BTF, which libbpf needs for struct_ops.
    #[error("it carries no BTF (CONFIG_DEBUG_INFO_BTF), which loading a scheduler needs")]
    NoBtf,
    /// Its BTF cannot be read.
    #[error("its BTF is corrupt: {reason}")]
    CorruptBtf {
        /// Why.
        reason: String,
    },
    /// The BTF shows kfuncs with a parameter that programs do not pass, so that libbpf refuses the schedulers that call
    /// them.
    #[error(
        "its BTF is broken: {} of the class's kfuncs, {} among them, show a parameter that no program passes, so that libbpf refuses \
         schedulers that call them (func_proto incompatible); take another build of this series, or another series",
        kfuncs.len(), telling(kfuncs)
    )]
    ImplicitParam {
        /// Those kfuncs, in order of names; at least one.
        kfuncs: Vec<String>,
    },
    /// The class is there, its kfuncs are not.
    #[error("its BTF lacks scx_bpf_create_dsq, which every scheduler calls")]
    NoCreateDsq,
}

/// The kfunc that tells most: the one that every scheduler calls, or else the first.
fn telling(kfuncs: &[String]) -> &str {
    let every = kfuncs.iter().find(|f| *f == "scx_bpf_create_dsq");
    every.or(kfuncs.first()).map_or("none", String::as_str)
}

/// Judge a kernel by its raw BTF and the text of its configuration.
pub fn judge(btf: Option<&[u8]>, config: Option<&str>) -> Judgement {
    let set = |name: &str| config.is_some_and(|text| text.lines().any(|l| l.strip_prefix(name) == Some("=y")));
    let mut of = Judgement {
        class: set("CONFIG_SCHED_CLASS_EXT"),
        group_sched: set("CONFIG_EXT_GROUP_SCHED"),
        sub_sched: set("CONFIG_EXT_SUB_SCHED"),
        core_sched: set("CONFIG_SCHED_CORE"),
        problems: Vec::new(),
    };
    let btf = match btf.map(KernelBtf::parse) {
        Some(Ok(btf)) => Some(btf),
        Some(Err(error)) => {
            of.problems.push(Problem::CorruptBtf { reason: error.to_string() });
            None
        }
        None => {
            of.problems.push(Problem::NoBtf);
            None
        }
    };
    if let Some(btf) = &btf {
        by_btf(&mut of, btf);
    }
    // Without BTF and configuration nothing is known of the class; without the class nothing else matters.
    if !of.class && (btf.is_some() || config.is_some()) {
        of.problems = vec![Problem::NoClass];
    }
    of
}

/// What BTF alone shows: each option that matters adds a member or a function.
fn by_btf(of: &mut Judgement, btf: &KernelBtf) {
    of.class |= btf.struct_id("sched_ext_ops").is_some();
    of.group_sched |= btf.field("sched_ext_ops", "cgroup_init").is_some();
    of.sub_sched |= btf.func("scx_bpf_sub_dispatch").is_some();
    of.core_sched |= btf.field("rq", "core_enabled").is_some();
    if !of.class {
        return;
    }
    if btf.func("scx_bpf_create_dsq").is_none() {
        of.problems.push(Problem::NoCreateDsq);
    }
    let kfuncs = broken_kfuncs(btf);
    if !kfuncs.is_empty() {
        of.problems.push(Problem::ImplicitParam { kfuncs });
    }
}

/// Kfuncs of the class that show their implicit parameter, in order of names.
fn broken_kfuncs(btf: &KernelBtf) -> Vec<String> {
    let types = btf.btf();
    let mut found = Vec::new();
    for (_, ty) in types.iter() {
        let (Kind::Func { proto, .. }, name) = (&ty.kind, types.string(ty.name)) else { continue };
        if !name.starts_with("scx_bpf_") || name.ends_with("_impl") {
            continue;
        }
        let Kind::FuncProto { params, .. } = &types.ty(*proto).kind else { continue };
        if params.last().is_some_and(|p| types.string(p.name) == IMPLICIT_PARAM) {
            found.push(name.to_owned());
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with a struct `sched_ext_ops` (where asked for) and functions, each with the name of its one parameter.
    fn btf(class: bool, functions: &[(&str, &str)]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let mut types: Vec<u32> = Vec::new();
        let mut next = 1;
        if class {
            types.extend([string("sched_ext_ops"), 4 << 24, 8]);
            next += 1;
        }
        for (name, param) in functions {
            types.extend([0, 13 << 24 | 1, 0, string(param), 0]);
            types.extend([string(name), 12 << 24 | 1, next]);
            next += 2;
        }
        let bytes: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut raw = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, bytes.len() as u32, bytes.len() as u32, strings.len() as u32] {
            raw.extend(word.to_le_bytes());
        }
        raw.extend(bytes);
        raw.extend(strings);
        raw
    }

    #[test]
    fn kernels_are_judged() {
        let on = Some("CONFIG_SMP=y\nCONFIG_SCHED_CLASS_EXT=y\nCONFIG_EXT_SUB_SCHED=y\n");
        let off = Some("# CONFIG_SCHED_CLASS_EXT is not set\n");
        let sound = btf(
            true,
            &[
                ("scx_bpf_create_dsq", "node"),
                ("scx_bpf_create_dsq_impl", "aux"),
                ("scx_bpf_old", "aux__prog"),
                ("bpf_x", "aux"),
            ],
        );
        let broken =
            btf(true, &[("scx_bpf_kick_cpu", "aux"), ("scx_bpf_create_dsq", "node"), ("scx_bpf_error_bstr", "aux")]);
        let implicit = Problem::ImplicitParam { kfuncs: vec!["scx_bpf_error_bstr".into(), "scx_bpf_kick_cpu".into()] };
        for (name, btf, config, problems) in [
            ("sound", Some(sound.clone()), on, vec![]),
            ("sound, configuration not known", Some(sound), None, vec![]),
            ("implicit parameter", Some(broken), on, vec![implicit]),
            ("no kfunc", Some(btf(true, &[])), on, vec![Problem::NoCreateDsq]),
            ("no class", Some(btf(false, &[])), None, vec![Problem::NoClass]),
            ("no class, no BTF", None, off, vec![Problem::NoClass]),
            ("no BTF", None, on, vec![Problem::NoBtf]),
            ("nothing known", None, None, vec![Problem::NoBtf]),
        ] {
            let of = judge(btf.as_deref(), config);
            assert_eq!(of.problems, problems, "{name}");
            assert_eq!(of.usable(), problems.is_empty(), "{name}");
            assert_eq!(of.sub_sched, config == on, "{name}");
        }
        let corrupt = judge(Some(b"\x9f\xeb\x01"), on);
        assert!(matches!(corrupt.problems[..], [Problem::CorruptBtf { .. }]), "{corrupt:?}");
    }

    #[test]
    fn problems_survive_the_cache() {
        let of = Judgement {
            problems: vec![Problem::ImplicitParam { kfuncs: vec!["f".into()] }, Problem::NoBtf],
            ..Judgement::default()
        };
        let text = serde_json::to_string(&of).unwrap();
        assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), of);
    }
}
