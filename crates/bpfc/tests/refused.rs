//! Bad policies, one for each thing that BPF cannot have, and what is said about them.
//!
//! `refused/NAME.rs` is the policy, `refused/NAME.txt` the message. `BLESS=1 cargo test -p scxr-bpfc --test refused` writes the
//! messages anew.

mod support;

use std::path::{Path, PathBuf};

use scxr_bpfc::{Error, Options};

fn policies() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let entries = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "rs")).collect();
    found.sort();
    found
}

#[test]
fn each_is_refused_by_its_line() {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    let mut wrong = String::new();
    for policy in policies() {
        let options = Options { cache: cache.clone(), ..Options::default() };
        let said = match support::compiler().compile(&policy, &options) {
            Ok(_) => "it was accepted\n".to_owned(),
            // rustc's own words change with its version; what is said is checked in part
            Err(error @ Error::Compile { .. }) => rustc_says(&error.to_string()),
            Err(error) => format!("{error}\n"),
        };
        let golden = policy.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &said).expect("a file");
        }
        let expect = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expect {
            wrong += &format!("{}:\n{said}instead of\n{expect}\n", policy.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What a policy may not have, and the bad policy that has it.
const LIST: &[(&str, &[&str])] = &[
    ("an index", &["index"]),
    ("unwrap", &["unwrap", "expect_err"]),
    ("a division", &["division", "remainder", "signed", "logarithm"]),
    ("overflow that is checked", &["overflow", "product"]),
    ("a slice", &["slice"]),
    ("a comparison", &["comparison", "comparison_of_slices"]),
    ("floating point", &["float", "float_function"]),
    ("128 bits", &["wide", "wide_division"]),
    ("too much stack", &["stack", "chain", "large_copy"]),
    ("recursion", &["recursion", "mutual"]),
    ("an unsupported atomic", &["atomic_kind", "atomic_width", "compiler_fence"]),
    ("a call of what is not inlined", &["undefined", "not_inlined", "formatting", "function_pointer", "trait_object"]),
    ("an insertion from running", &["from_running"]),
    ("an allocation", &["allocation"]),
    ("too many arguments or results", &["arguments", "pair"]),
    ("a loop without end", &["endless"]),
    (
        "a field that its map does not take",
        &["timer_of_task", "lock_of_cpu", "two_locks", "too_many_slots", "slot_in_object"],
    ),
];

/// Every refusal of the driver's says `FILE:LINE:COLUMN: WHAT (HINT)`, with a line of that policy; rustc's name the line.
#[test]
fn each_has_a_line_and_a_hint() {
    for (what, names) in LIST {
        for name in *names {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/refused/{name}.txt"));
            let text = std::fs::read_to_string(&golden).unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
            let place = |line: &str| {
                let mut parts = line.strip_prefix(&format!("{name}.rs:"))?.splitn(3, ':');
                let number = |part: &str| part.parse::<u32>().ok().filter(|n| *n > 0);
                number(parts.next()?)?;
                number(parts.next()?)?;
                Some(parts.next().unwrap_or_default().to_owned())
            };
            let by_driver = text.contains("cannot run as BPF");
            let said: Vec<String> = text.lines().filter_map(place).collect();
            assert!(!said.is_empty(), "{what}: {name}: no place: {text}");
            if by_driver {
                assert_eq!(said.len(), text.lines().count() - 1, "{what}: {name}: a line without a place: {text}");
                let hinted =
                    |s: &&String| s.ends_with(')') && s.contains(" (") && !s.contains("BPF has no code for it");
                assert_eq!(said.iter().filter(hinted).count(), said.len(), "{what}: {name}: {text}");
            }
        }
    }
}

/// Error codes and lines of rustc's diagnostics, and what is ours of its words.
fn rustc_says(diagnostics: &str) -> String {
    let code = |line: &str| line.strip_prefix("error[").and_then(|l| l.split(']').next()).map(str::to_owned);
    let place = |line: &str| {
        let place = line.trim_start().strip_prefix("--> ")?;
        place.contains("refused/").then(|| place.rsplit('/').next().unwrap_or(place).to_owned())
    };
    let ours = |line: &str| {
        let is_ours = line.starts_with("error: there is no operation") || line.starts_with("hint: ");
        let asserted =
            line.split_once("the name of ").map(|(_, what)| what.split(['\'', '"', '`']).next().unwrap_or(what));
        is_ours
            .then(|| line.to_owned())
            .or(asserted.filter(|_| line.contains("evaluation")).map(|w| format!("the name of {w}")))
    };
    // what a map does not take
    let held = |line: &str| {
        let what = line.split_once("evaluation panicked: ")?.1;
        [" can only be in ", " at most"].iter().any(|w| what.contains(w)).then(|| what.to_owned())
    };
    let words = diagnostics.lines().flat_map(|line| {
        let first = code(line).or_else(|| place(line)).or_else(|| ours(line));
        [first, held(line)].into_iter().flatten()
    });
    words.map(|word| format!("{word}\n")).collect()
}
