//! The command that repeats a run.

use crate::args::MachineArgs;
use crate::resolve::Request;

/// A complete `scxr run …`, with everything that the run depends on.
pub(crate) fn command(q: &Request, sched: &str, sched_args: &[String], args: &MachineArgs, seed: u64) -> String {
    let mut words = vec!["scxr".to_string(), "run".into(), sched.into()];
    let mut option = |name: &str, value: String| words.extend([name.to_string(), value]);
    option("--kernel", q.kernel.to_string());
    option("--machine", q.topology.spec.clone());
    option("--workload", q.workload.clone());
    option("--duration", format!("{}ns", q.duration));
    option("--seed", seed.to_string());
    option("--hz", q.config.hz.to_string());
    if let Some(table) = &args.cost {
        option("--cost", table.clone());
    }
    if let Some(list) = &args.nohz_full {
        option("--nohz-full", list.clone());
    }
    let interleave = format!("{:?}", q.config.interleave).to_lowercase();
    option("--interleave", interleave);
    args.set.iter().for_each(|v| option("--set", v.clone()));
    args.resize.iter().for_each(|v| option("--resize", v.clone()));
    args.loader.iter().for_each(|v| option("--loader", v.display().to_string()));
    args.sub.iter().for_each(|v| option("--sub", v.clone()));
    args.inject.iter().for_each(|v| option("--inject", v.clone()));
    args.include.iter().for_each(|v| option("-I", v.display().to_string()));
    if args.native {
        words.push("--native".into());
    }
    if args.direct {
        words.push("--direct".into());
    }
    if !sched_args.is_empty() {
        words.push("--".into());
        words.extend(sched_args.iter().cloned());
    }
    words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_matters_is_in_it() {
        let args = MachineArgs {
            machine: Some("2x4x2".into()),
            inject: vec!["1ms nice it's 3".into()],
            duration: Some("5ms".into()),
            ..MachineArgs::default()
        };
        let q = crate::resolve::request(&args).unwrap();
        let version = q.kernel;
        assert_eq!(
            command(&q, "simple", &["-f".into()], &args, 7),
            format!(
                "scxr run simple --kernel {version} --machine 2x4x2 --workload mixed --duration 5000000ns --seed 7 --hz 250 \
                 --interleave callback --inject '1ms nice it'\\''s 3' -- -f"
            )
        );
    }
}
