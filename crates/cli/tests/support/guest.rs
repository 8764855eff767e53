//! Driving `scxr --on host` by a shell in a guest.

use serde_json::Value;

use crate::support::scxr;

/// Runs a script in a guest of two CPUs, with `scxr` as `$S`; what it printed.
pub(crate) fn in_guest(script: &str, take: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("drive.sh");
    let head = format!(
        "S={}\nstate() {{ echo \"$1: $(cat /sys/kernel/sched_ext/state) $(cat /sys/kernel/sched_ext/root/ops 2>/dev/null)\"; }}\n\
         up() {{ until [ \"$(cat /sys/kernel/sched_ext/state)\" = enabled ]; do sleep 0.1; done; }}\n",
        env!("CARGO_BIN_EXE_scxr")
    );
    std::fs::write(&path, head + script).expect("a script");
    let exec = format!("sh {}", path.display());
    let mut args = vec!["run", "eevdf", "--on", "vm", "--machine", "2", "--json", "-q", "--exec", &exec];
    take.iter().for_each(|t| args.extend(["--take", t]));
    let ran = scxr(&args);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stderr, ran.stdout);
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(value["exec"]["code"], 0, "{}", value["exec"]);
    value["exec"]["stdout"].as_str().expect("text").to_owned()
}

/// The text between a line that is `mark` and the next line that begins with `=`.
pub(crate) fn part<'a>(out: &'a str, mark: &str) -> &'a str {
    let at = out.find(&format!("={mark}\n")).unwrap_or_else(|| panic!("no {mark} in\n{out}"));
    let rest = &out[at + mark.len() + 2..];
    rest.find("\n=").map_or(rest, |end| &rest[..end])
}

pub(crate) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}
