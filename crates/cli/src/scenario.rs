//! Scenario files: a run and what is expected of it.
//!
//! ```toml
//! about = "what this shows"
//! scheduler = "simple"          # or a file, relative to this one
//! args = ["-f"]                 # options of the scheduler
//! machine = "2x4x2"             # and workload, duration, seed, hz, cost, nohz_full, kernel, interleave, set, resize, loader, sub, inject:
//! inject = ["5ms nice hog 3"]   # as the options of the same names
//!
//! [expect]                      # values of the report, by their place in the JSON
//! "exit.kind" = "none"                                # equal
//! "totals.idle_with_work_ns" = { max = 1_000_000 }    # min, max
//! "tasks.hog*.share" = { about = 0.5, within = 0.03 } # tasks by name, summed up; within is relative
//! "exit.msg" = { contains = "stall" }
//! ```

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{InterleaveArg, MachineArgs};
use crate::failure::{Failure, Result};

/// A scenario, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(default)]
    about: String,
    scheduler: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    native: bool,
    machine: Option<String>,
    workload: Option<String>,
    duration: Option<String>,
    seed: Option<u64>,
    hz: Option<u32>,
    nohz_full: Option<String>,
    cost: Option<String>,
    kernel: Option<String>,
    interleave: Option<String>,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    resize: Vec<String>,
    loader: Option<PathBuf>,
    #[serde(default)]
    sub: Vec<String>,
    #[serde(default)]
    inject: Vec<String>,
    #[serde(default)]
    expect: IndexMap<String, Expectation>,
    #[serde(skip)]
    file: PathBuf,
}

/// What a value must be.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Expectation {
    Text(String),
    Number(f64),
    Rule(Rule),
}

/// What a value must be, if not equal to something. All that is given must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    min: Option<f64>,
    max: Option<f64>,
    about: Option<f64>,
    within: Option<f64>,
    contains: Option<String>,
}

impl Scenario {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Scenario> {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))?;
        let scenario = Scenario::parse(&text);
        let mut scenario = scenario.map_err(|e| Failure::input(format_args!("{}: {e}", path.display())))?;
        scenario.file = path.to_path_buf();
        Ok(scenario)
    }

    fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_string())?;
        if let Some(i) = &scenario.interleave {
            InterleaveArg::from_str(i, false)
                .map_err(|_| format!("interleave = '{i}': write callback, kfunc or insn"))?;
        }
        for (place, expectation) in &scenario.expect {
            if matches!(expectation, Expectation::Rule(r) if r.about.is_some() != r.within.is_some()) {
                return Err(format!("[expect] '{place}': about and within belong together"));
            }
        }
        Ok(scenario)
    }

    /// Gives what the command line left open.
    pub(crate) fn fill(&self, m: &mut MachineArgs, sched: &mut Option<String>, sched_args: &mut Vec<String>) {
        let or = |given: &mut Option<String>, own: &Option<String>| {
            if given.is_none() {
                given.clone_from(own);
            }
        };
        let workload = self.workload.as_deref().map(|w| self.beside(w, ".json"));
        or(&mut m.machine, &self.machine);
        or(&mut m.workload, &workload);
        or(&mut m.duration, &self.duration);
        or(&mut m.nohz_full, &self.nohz_full);
        or(&mut m.cost, &self.cost.as_deref().map(|c| self.beside(c, ".toml")));
        or(&mut m.kernel, &self.kernel);
        m.seed = m.seed.or(self.seed);
        m.hz = m.hz.or(self.hz);
        let interleave = self.interleave.as_deref();
        m.interleave = m.interleave.or_else(|| InterleaveArg::from_str(interleave?, false).ok());
        m.set.splice(0..0, self.set.iter().cloned());
        m.resize.splice(0..0, self.resize.iter().cloned());
        let loader = self.loader.as_ref().map(|l| PathBuf::from(self.beside(&l.to_string_lossy(), ".toml")));
        m.loader = m.loader.take().or(loader);
        m.sub.splice(0..0, self.sub.iter().map(|s| self.sub_beside(s)));
        m.inject.splice(0..0, self.inject.iter().cloned());
        if sched.is_none() {
            *sched = self.scheduler.as_deref().map(|s| self.beside(s, ""));
            m.native |= self.native;
            if sched_args.is_empty() {
                sched_args.clone_from(&self.args);
            }
        }
    }

    /// A file that is named relative to the scenario, if there is one; else the name itself.
    fn beside(&self, name: &str, suffix: &str) -> String {
        let path = self.file.parent().unwrap_or(Path::new("")).join(name);
        match name.ends_with(suffix) && path.is_file() {
            true => path.display().to_string(),
            false => name.to_string(),
        }
    }

    /// The same for the scheduler in `CGROUP=SCHED …`.
    fn sub_beside(&self, sub: &str) -> String {
        let (words, more) = sub.split_once(' ').map_or((sub, String::new()), |(a, b)| (a, format!(" {b}")));
        match words.split_once('=') {
            Some((cgroup, sched)) => format!("{cgroup}={}{more}", self.beside(sched, "")),
            None => sub.to_string(),
        }
    }

    /// Compares a report with what is expected: what fails, a line each. `None` if nothing is expected.
    pub(crate) fn judge(&self, report: &Value) -> Result<Option<Vec<String>>> {
        let file = self.file.display();
        let mut failed = Vec::new();
        for (place, expectation) in &self.expect {
            let got = look_up(report, place);
            let got = got.map_err(|e| Failure::input(format_args!("{file}: [expect] '{place}': {e}")))?;
            if let Err(why) = expectation.check(&got) {
                failed.push(format!("{file}: {place} {why}"));
            }
        }
        if !failed.is_empty() {
            let about = if self.about.is_empty() { String::new() } else { format!(" ({})", self.about) };
            let last = format!("{file}: {} of {} expectations failed{about}", failed.len(), self.expect.len());
            failed.push(last);
        }
        Ok((!self.expect.is_empty()).then_some(failed))
    }
}

/// The value at a dotted place. In a list, a part is an index or the name (`comm`, `group`) of elements; with `*` at its
/// end, of all elements whose names begin so. Numbers of several elements are summed up.
fn look_up(value: &Value, place: &str) -> Result<Value, String> {
    let Some((part, rest)) = place.split_once('.').map_or((!place.is_empty()).then_some((place, "")), Some) else {
        return Ok(value.clone());
    };
    let missing = || format!("the report has no '{part}' there");
    let Value::Array(list) = value else {
        return look_up(value.get(part).ok_or_else(missing)?, rest);
    };
    if let Ok(i) = part.parse::<usize>() {
        return look_up(list.get(i).ok_or_else(missing)?, rest);
    }
    let matches = |v: &&Value| {
        let name = v.get("comm").or_else(|| v.get("group")).and_then(Value::as_str);
        name.is_some_and(|n| match part.strip_suffix('*') {
            Some(prefix) => n.starts_with(prefix),
            None => n == part,
        })
    };
    let found: Vec<Value> = list.iter().filter(matches).map(|v| look_up(v, rest)).collect::<Result<_, _>>()?;
    match &found[..] {
        [] => Err(missing()),
        [one] => Ok(one.clone()),
        many => {
            let sum: Option<f64> = many.iter().map(Value::as_f64).sum();
            sum.map(Value::from).ok_or_else(|| format!("'{part}' is several things that are no numbers"))
        }
    }
}

impl Expectation {
    /// Is `got` right? The error goes on after the value's name.
    fn check(&self, got: &Value) -> Result<(), String> {
        let number = got.as_f64();
        let fail = |what: String| Err(format!("is {got}, expected {what}"));
        match self {
            Expectation::Text(t) if got.as_str() != Some(t) => fail(format!("\"{t}\"")),
            Expectation::Number(n) if number != Some(*n) => fail(n.to_string()),
            Expectation::Text(_) | Expectation::Number(_) => Ok(()),
            Expectation::Rule(r) => {
                let holds = |bound: Option<f64>, ok: fn(f64, f64) -> bool| {
                    bound.is_none_or(|b| number.is_some_and(|n| ok(n, b)))
                };
                if !holds(r.min, |n, b| n >= b) {
                    return fail(format!("at least {}", r.min.unwrap_or_default()));
                }
                if !holds(r.max, |n, b| n <= b) {
                    return fail(format!("at most {}", r.max.unwrap_or_default()));
                }
                if let (Some(about), Some(within)) = (r.about, r.within)
                    && number.is_none_or(|n| (n - about).abs() > (within * about).abs())
                {
                    return fail(format!("{about} ± {} %", 100.0 * within));
                }
                match &r.contains {
                    Some(t) if !got.as_str().is_some_and(|g| g.contains(t)) => fail(format!("to contain \"{t}\"")),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        json!({
            "exit": {"kind": "none"},
            "totals": {"events": 10},
            "tasks": [{"comm": "a-0", "share": 0.25}, {"comm": "a-1", "share": 0.25}, {"comm": "b", "share": 0.5}],
        })
    }

    #[test]
    fn places() {
        for (place, expect) in [
            ("exit.kind", json!("none")),
            ("tasks.b.share", json!(0.5)),
            ("tasks.0.comm", json!("a-0")),
            ("tasks.a*.share", json!(0.5)),
        ] {
            assert_eq!(look_up(&report(), place), Ok(expect), "{place}");
        }
        assert!(look_up(&report(), "exit.knid").unwrap_err().contains("'knid'"));
        assert!(look_up(&report(), "tasks.c.share").unwrap_err().contains("'c'"));
        assert!(look_up(&report(), "tasks.a*.comm").unwrap_err().contains("no numbers"));
    }

    #[test]
    fn expectations() {
        let check = |text: &str, holds: bool| {
            let scenario = Scenario::parse(&format!("[expect]\n{text}")).expect(text);
            let failed = scenario.judge(&report()).expect(text).expect("something is expected");
            assert_eq!(failed.is_empty(), holds, "{text}: {failed:?}");
        };
        for good in [
            "'exit.kind' = 'none'",
            "'totals.events' = 10",
            "'totals.events' = { min = 10, max = 10 }",
            "'tasks.b.share' = { about = 0.49, within = 0.03 }",
            "'exit.kind' = { contains = 'on' }",
        ] {
            check(good, true);
        }
        for bad in [
            "'exit.kind' = 'error'",
            "'totals.events' = 11",
            "'totals.events' = { min = 11 }",
            "'totals.events' = { max = 9 }",
            "'tasks.b.share' = { about = 0.48, within = 0.03 }",
            "'exit.kind' = { min = 1 }",
            "'exit.kind' = { contains = 'x' }",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn mistakes_in_a_file() {
        for (text, why) in [
            ("machin = '8'", "unknown field `machin`"),
            ("seed = 'x'", "line 1"),
            ("interleave = 'x'", "write callback, kfunc or insn"),
            ("[expect]\n'a.b' = { about = 1 }", "belong together"),
        ] {
            let e = Scenario::parse(text).unwrap_err();
            assert!(e.contains(why), "{e}");
        }
    }
}
