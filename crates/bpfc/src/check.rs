//! What may be left in an optimised module: calls of kernel functions and helpers, and nothing that panics.
//!
//! What LLVM's back end would end the process for ([`code`]) is found before it runs.

pub(crate) mod code;
pub(crate) mod stack;

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Refusal, Site};
use crate::llvm::{Module, Value};
use crate::lower::Kfuncs;

/// Where the policy's own files are.
pub(crate) struct Places<'a> {
    /// Folder of the policy's source.
    pub(crate) policy: &'a Path,
    /// Folder of the policy crate's: it may be below the other, and is none of the policy's.
    pub(crate) policy_crate: &'a Path,
}

impl Places<'_> {
    /// Is this a file of the policy's own?
    pub(crate) fn owns(&self, file: &Path) -> bool {
        file.starts_with(self.policy) && !file.starts_with(self.policy_crate)
    }

    /// Where a call is in the policy's own files: what a panic function is told of its caller, else the innermost position
    /// in debug information.
    pub(super) fn site(&self, module: &Module<'_>, call: Value) -> Option<Site> {
        let arguments = module.arguments(call).into_iter().rev();
        let told = arguments.filter_map(|argument| module.panic_location(argument)).find_map(|site| self.own(site));
        told.or_else(|| module.sites(call).into_iter().find_map(|site| self.own(site)))
    }

    fn own(&self, site: Site) -> Option<Site> {
        if !self.owns(Path::new(&site.file)) {
            return None;
        }
        let file = Path::new(&site.file).strip_prefix(self.policy).ok()?.to_string_lossy().into_owned();
        (site.line != 0).then_some(Site { file, ..site })
    }
}

/// All calls that a BPF program cannot make, by position.
pub(crate) fn refusals(module: &Module<'_>, kfuncs: &Kfuncs, places: &Places<'_>) -> Vec<Refusal> {
    let mut found = BTreeSet::new();
    for function in module.functions().into_iter().filter(|&f| !module.is_declaration(f)) {
        for instruction in module.instructions(function) {
            let callee = module.as_call(instruction).and_then(|call| module.callee(call));
            let Some(name) = callee.filter(|&f| module.is_declaration(f)).map(|f| module.name(f)) else { continue };
            if let Some((what, hint)) = judge(&name, kfuncs) {
                found.insert(Refusal { site: places.site(module, instruction), what, hint });
            }
        }
    }
    found.into_iter().collect()
}

/// Calls that close a circle: BPF has no recursion.
pub(crate) fn recursion(module: &Module<'_>, places: &Places<'_>) -> Vec<Refusal> {
    let defined: Vec<Value> = module.functions().into_iter().filter(|&f| !module.is_declaration(f)).collect();
    let calls = |f: Value| {
        let call = |i| module.as_call(i).and_then(|call| Some((call, module.callee(call)?)));
        module.instructions(f).into_iter().filter_map(call).collect::<Vec<_>>()
    };
    let callees: Vec<Vec<(Value, usize)>> = defined
        .iter()
        .map(|&f| {
            calls(f).into_iter().filter_map(|(i, to)| Some((i, defined.iter().position(|&d| d == to)?))).collect()
        })
        .collect();
    let reaches = |from: usize, to: usize| {
        let (mut seen, mut todo) = (BTreeSet::from([from]), vec![from]);
        while let Some(next) = todo.pop() {
            if next == to {
                return true;
            }
            todo.extend(callees[next].iter().map(|&(_, callee)| callee).filter(|&callee| seen.insert(callee)));
        }
        false
    };
    let closing = callees.iter().enumerate().flat_map(|(from, calls)| calls.iter().map(move |call| (from, call)));
    let closing = closing.filter(|&(from, &(_, callee))| reaches(callee, from));
    let refusal = |(_, &(call, callee)): (usize, &(Value, usize))| Refusal {
        site: places.site(module, call),
        what: format!("a recursive call of `{:#}`", rustc_demangle::demangle(&module.name(defined[callee]))),
        hint: "use a loop with a bound",
    };
    closing.map(refusal).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What LLVM's back end says it cannot do, as refusals; what is not of that form comes back as the `Err`.
///
/// A diagnostic is `FILE:LINE:COLUMN: in function NAME TYPE: MESSAGE`.
pub(crate) fn from_diagnostics(text: &str, places: &Places<'_>) -> Result<Vec<Refusal>, String> {
    let messages = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let found: Option<BTreeSet<Refusal>> = messages.map(|line| diagnostic(line, places)).collect();
    let mut found = found.filter(|f| !f.is_empty()).ok_or_else(|| text.to_owned())?;
    // one that has a place says more than the same without
    let placed: BTreeSet<String> = found.iter().filter(|r| r.site.is_some()).map(|r| r.what.clone()).collect();
    found.retain(|r| r.site.is_some() || !placed.contains(&r.what));
    // arithmetic of 128 bits is done by functions that return them
    let wide: BTreeSet<Option<Site>> = found.iter().filter(|r| r.what == WIDE.0).map(|r| r.site.clone()).collect();
    found.retain(|r| r.what != WIDE_RETURN || !wide.contains(&r.site));
    Ok(found.into_iter().collect())
}

fn diagnostic(line: &str, places: &Places<'_>) -> Option<Refusal> {
    // some of LLVM's messages have the function's name in them, others an internal value
    let (place, message) = match line.split_once(": in function ") {
        Some((place, rest)) => (place, rest.split_once("): ").map_or(rest, |(_, message)| message)),
        None => line.split_once(": 0x")?,
    };
    let mut parts = place.rsplitn(3, ':');
    let (column, line, file) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    // rustc gives names relative to its working folder, which is ours
    let file = std::path::absolute(file).unwrap_or_default().to_string_lossy().into_owned();
    let site = places.own(Site { file, line, column });
    let known = DIAGNOSTICS.iter().find(|(words, _, _)| message.contains(words));
    let (what, hint) =
        known.map_or((message.trim_end_matches('.'), "BPF has no code for it"), |&(_, what, hint)| (what, hint));
    Some(Refusal { site, what: what.to_owned(), hint })
}

const WIDE: (&str, &str) = ("arithmetic of 128 bits", "use 64 bits");
const ARGUMENTS: (&str, &str) =
    ("a function of more than five words of arguments", "make it #[inline(always)], or pass a reference to a struct");
const COMPARED: (&str, &str) =
    ("a comparison of slices or large arrays", "compare element by element: a.iter().zip(b).all(|(a, b)| a == b)");
const WIDE_RETURN: &str = "a function that returns more than 64 bits";

/// Words of LLVM's messages, what they mean, and what to do.
const DIAGNOSTICS: &[(&str, &str, &str)] = &[
    ("stack limit", "more than 512 bytes on the stack of a function", "keep large values in a map or a global"),
    ("memcpy", "a value that is too large to be copied in line", "keep large values in a map or a global"),
    ("memset", "a value that is too large to be cleared in line", "keep large values in a map or a global"),
    ("memmove", "a value that is too large to be moved in line", "keep large values in a map or a global"),
    ("'fm", "floating-point arithmetic", "use integers, scaled"),
    ("memcmp", COMPARED.0, COMPARED.1),
    ("ti3'", WIDE.0, WIDE.1),
    ("small returns", WIDE_RETURN, "make it #[inline(always)]"),
    ("aggregate returns", WIDE_RETURN, "make it #[inline(always)]"),
    ("signed division", "a signed division", "divide the absolute values, or compile for v4"),
    ("arguments", ARGUMENTS.0, ARGUMENTS.1),
    ("df", "floating-point arithmetic", "use integers, scaled"),
    ("sf", "floating-point arithmetic", "use integers, scaled"),
];

/// What is wrong with a call of the undefined function `name`, and what to do.
fn judge(name: &str, kfuncs: &Kfuncs) -> Option<(String, &'static str)> {
    if kfuncs.contains_key(name) {
        return None;
    }
    match name {
        "llvm.trap" | "llvm.ubsantrap.p0" => {
            return Some((
                "an abort can be reached".to_owned(),
                "return instead; a BPF program cannot stop in the middle",
            ));
        }
        _ if name.starts_with("llvm.") => return None,
        _ => {}
    }
    if let "memcmp" | "bcmp" = name {
        return Some((COMPARED.0.to_owned(), COMPARED.1));
    }
    let path = format!("{:#}", rustc_demangle::demangle(name));
    if path.contains("__rust_alloc") || path.contains("__rust_no_alloc") {
        return Some(("an allocation".to_owned(), "keep values in maps, or make objects by object!"));
    }
    if path.starts_with("core::fmt::") || path.starts_with("<core::fmt::") {
        return Some((
            "formatting by core::fmt".to_owned(),
            "use scx_print!, scx_error! or scx_dump!, which the kernel formats",
        ));
    }
    for (function, what, hint) in PANICS {
        if path.contains(function) {
            return Some((format!("a panic can be reached: {what}"), hint));
        }
    }
    let what = format!("a call of `{path}`, which is not inlined and has no BPF code");
    Some((what, "make it generic or #[inline(always)], or write it in the policy"))
}

/// core's panic functions, from the particular to the general.
const PANICS: &[(&str, &str, &str)] = &[
    ("panic_bounds_check", "an index out of bounds", "use .get(), a mask, or a bounded iterator"),
    ("panic_const_div_by_zero", "a division by zero", "use checked_div or a NonZero divisor"),
    ("panic_const_rem_by_zero", "a remainder by zero", "use checked_rem or a NonZero divisor"),
    ("panic_const_div_overflow", "a division that overflows", "use wrapping_div or checked_div"),
    ("panic_const_rem_overflow", "a remainder that overflows", "use wrapping_rem or checked_rem"),
    ("panic_const_async", "an async function that is polled again", "BPF programs run to their end"),
    ("panic_const", "arithmetic that overflows", "use wrapping_*, saturating_* or checked_*"),
    ("panic_for_nonpositive_argument", "a logarithm of zero", "use checked_ilog2 and the like"),
    ("overflow_panic", "arithmetic that overflows", "use wrapping_*, saturating_* or checked_*"),
    ("option::unwrap_failed", "unwrap of None", "use if let, let else, or unwrap_or"),
    ("option::expect_failed", "expect of None", "use if let, let else, or unwrap_or"),
    ("result::unwrap_failed", "unwrap of an Err", "use if let, let else, or unwrap_or"),
    ("cell::panic_already", "a RefCell that is borrowed twice", "keep state in state!"),
    ("len_mismatch", "copying between slices of different lengths", "copy element by element with zip"),
    ("slice", "a slice out of bounds", "use .get(range) or a bounded iterator"),
    ("panicking", "panic!, assert! or the like", "return, or report with scx_error!"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Option<&str>) {
        let kfuncs = Kfuncs::from([("scx_bpf_kick_cpu".to_owned(), Vec::new())]);
        assert_eq!(judge(name, &kfuncs).map(|(what, _)| what).as_deref(), expect);
    }

    #[test]
    fn undefined_functions_are_judged_by_name() {
        check("scx_bpf_kick_cpu", None);
        check("llvm.smax.i32", None);
        check("llvm.trap", Some("an abort can be reached"));
        check(
            "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE",
            Some("a panic can be reached: an index out of bounds"),
        );
        check("_ZN4core6option13unwrap_failed17h0123456789abcdefE", Some("a panic can be reached: unwrap of None"));
        check(
            "_ZN4core9panicking5panic17h0123456789abcdefE",
            Some("a panic can be reached: panic!, assert! or the like"),
        );
        check(
            "_ZN4core3num14overflow_panic3add17h0123456789abcdefE",
            Some("a panic can be reached: arithmetic that overflows"),
        );
        check("memcmp", Some("a comparison of slices or large arrays"));
        check("__rust_alloc", Some("an allocation"));
        check("_ZN4core3fmt5write17h0123456789abcdefE", Some("formatting by core::fmt"));
        check("printf", Some("a call of `printf`, which is not inlined and has no BPF code"));
    }

    #[test]
    fn diagnostics_become_refusals() {
        let text = "a.rs:8:10: in function t_enqueue i32 (ptr): A call to built-in function '__multi3' is not supported.\n\n\
                    a.rs:0:0: in function t_enqueue i32 (ptr): Looks like the BPF stack limit is exceeded. Please move\n\
                    a.rs:9:1: in function t_enqueue i32 (ptr): Looks like the BPF stack limit is exceeded. Please move\n";
        let here = std::env::current_dir().unwrap();
        let places = Places { policy: &here, policy_crate: Path::new("/nowhere") };
        let found: Vec<String> = from_diagnostics(text, &places).unwrap().iter().map(Refusal::to_string).collect();
        let expect = [
            "a.rs:8:10: arithmetic of 128 bits (use 64 bits)",
            "a.rs:9:1: more than 512 bytes on the stack of a function (keep large values in a map or a global)",
        ];
        assert_eq!(found, expect);
        assert_eq!(from_diagnostics("something else", &places), Err("something else".to_owned()));
    }
}
