//! All scenarios of `scenarios/`: they meet their expectations, run twice in two processes with the same trace, and report
//! what was recorded beside them. `SCXR_BLESS=1 cargo test -p scxr --test scenarios` records anew.

mod support;

use std::path::{Path, PathBuf};

use support::{root, scxr};

fn scenarios() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("scenarios")).expect("the folder of scenarios");
    let paths = folder.map(|e| e.expect("a readable folder").path());
    let mut all: Vec<PathBuf> = paths.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    all.sort();
    all
}

/// Runs a scenario; the report, and the trace.
fn run(scenario: &Path, trace: &Path) -> Result<(String, Vec<u8>), String> {
    let name = format!("scenarios/{}", scenario.file_name().expect("a file").to_string_lossy());
    let ran = scxr(&["run", "--scenario", &name, "-q", "--trace", trace.to_str().expect("a UTF-8 path")]);
    match (ran.code, ran.stderr.as_str()) {
        (0, "") => Ok((ran.stdout, std::fs::read(trace).expect("the trace"))),
        (code, stderr) => Err(format!("{name}: exit code {code}\n{stderr}{}", ran.stdout)),
    }
}

fn check(scenario: &Path) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a folder");
    let (report, trace) = run(scenario, &dir.path().join("1"))?;
    let (report2, trace2) = run(scenario, &dir.path().join("2"))?;
    let name = scenario.display();
    if (&report, &trace) != (&report2, &trace2) {
        return Err(format!("{name}: two runs differ"));
    }
    let recorded = scenario.with_extension("txt");
    if std::env::var_os("SCXR_BLESS").is_some() {
        std::fs::write(&recorded, &report).expect("the record");
        return Ok(());
    }
    let expect = std::fs::read_to_string(&recorded).map_err(|e| format!("{}: {e}", recorded.display()))?;
    match expect == report {
        true => Ok(()),
        false => Err(format!("{name}: the report changed; now:\n{report}\nrecorded:\n{expect}")),
    }
}

#[test]
fn scenarios_do_what_they_expect() {
    let all = scenarios();
    assert!(all.len() >= 10, "{} scenarios", all.len());
    let failures: Vec<String> = all.iter().filter_map(|s| check(s).err()).collect();
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}
