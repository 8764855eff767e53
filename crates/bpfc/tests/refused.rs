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
    let words = diagnostics.lines().filter_map(|line| code(line).or_else(|| place(line)).or_else(|| ours(line)));
    words.map(|word| format!("{word}\n")).collect()
}
