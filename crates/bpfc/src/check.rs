//! What may be left in an optimised module: calls of kernel functions and helpers, and nothing that panics.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Refusal, Site};
use crate::llvm::{Module, Value};
use crate::lower::Kfuncs;

/// Where the policy's own files are.
pub(crate) struct Places<'a> {
    /// Folder of the policy's source.
    pub(crate) policy: &'a Path,
}

impl Places<'_> {
    /// Where a call is in the policy's own files: what a panic function is told of its caller, else the innermost position
    /// in debug information.
    fn site(&self, module: &Module<'_>, call: Value) -> Option<Site> {
        let arguments = module.arguments(call).into_iter().rev();
        let told = arguments.filter_map(|argument| module.panic_location(argument)).find_map(|site| self.own(site));
        told.or_else(|| module.sites(call).into_iter().find_map(|site| self.own(site)))
    }

    fn own(&self, site: Site) -> Option<Site> {
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
    let path = format!("{:#}", rustc_demangle::demangle(name));
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
    ("option::unwrap_failed", "unwrap of None", "use if let, let else, or unwrap_or"),
    ("option::expect_failed", "expect of None", "use if let, let else, or unwrap_or"),
    ("result::unwrap_failed", "unwrap of an Err", "use if let, let else, or unwrap_or"),
    ("slice", "a slice out of bounds", "use .get(range) or a bounded iterator"),
    ("panicking", "a panic", "return, or report with scx_error!"),
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
        check("_ZN4core9panicking5panic17h0123456789abcdefE", Some("a panic can be reached: a panic"));
        check("memcmp", Some("a call of `memcmp`, which is not inlined and has no BPF code"));
    }
}
