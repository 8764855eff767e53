//! Options of a scheduler: its table becomes a `clap` command, which reads what stands behind `--` and shows help.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use scxr_runtime::{Args, Opt, Takes};

use crate::failure::{Failure, Result};

/// What is said below the options where one of them takes a time.
const TIMES: &str = "A TIME is a whole number and its unit: 500us, 20ms, 1s.";

fn argument(o: &Opt) -> Arg {
    let arg = Arg::new(o.long).long(o.long).help(o.explained());
    let arg = match o.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    if o.takes == Takes::Nothing {
        return arg.action(ArgAction::SetTrue);
    }
    let option = *o;
    let read = ValueParser::new(move |text: &str| option.read(text));
    let name = if o.takes == Takes::Time { "TIME" } else { "N" };
    arg.value_name(name).value_parser(read).allow_hyphen_values(true)
}

fn command(sched: &str, about: &str, options: &[Opt]) -> Command {
    let command = Command::new("options").no_binary_name(true).args_override_self(true).max_term_width(120);
    let command = command.about(about.to_owned()).override_usage(format!("scxr run {sched} -- [OPTIONS]"));
    let command = command.args(options.iter().map(argument));
    let command = if options.is_empty() { command.after_help("It has no options of its own.") } else { command };
    if options.iter().any(|o| o.takes == Takes::Time) { command.after_help(TIMES) } else { command }
}

/// The options as help lists them, a line or more each.
pub(crate) fn help(options: &[Opt]) -> String {
    let command = command("", "", options).help_template("{options}").disable_help_flag(true);
    let command = command.term_width(120).max_term_width(120);
    let text = command.clone().render_help().to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Reads the options of the scheduler `sched`, on a machine with so many CPUs.
pub(super) fn read(sched: &str, about: &str, options: &[Opt], args: &[String], nr_cpus: Option<usize>) -> Result<Args> {
    let found = command(sched, about, options).try_get_matches_from(args).map_err(|e| match e.kind() {
        ErrorKind::DisplayHelp => Failure::Help(format!("{}\n", e.render().to_string().trim_end())),
        _ => {
            let text = e.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).replace("try '--help'", "try '-- --help'");
            Failure::input(format_args!("{sched}: {}", text.trim_end()))
        }
    })?;
    let value = |o: &Opt| match o.takes {
        Takes::Nothing => u64::from(found.get_flag(o.long)),
        _ => found.get_one::<u64>(o.long).copied().unwrap_or(o.default),
    };
    let given: Vec<(&str, u64)> = options.iter().map(|o| (o.long, value(o))).collect();
    let too_far = options
        .iter()
        .zip(&given)
        .find(|(o, (_, n))| o.takes == Takes::Cpu && nr_cpus.is_some_and(|nr_cpus| *n >= nr_cpus as u64));
    if let (Some((o, (_, n))), Some(nr_cpus)) = (too_far, nr_cpus) {
        let last = nr_cpus.saturating_sub(1);
        return Err(Failure::input(format_args!(
            "{sched}: invalid value '{n}' for '--{} <N>': the machine has {nr_cpus} CPUs, so it is from 0 to {last}",
            o.long
        )));
    }
    Args::of(options, &given).map_err(|e| Failure::input(format_args!("{sched}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scxr_runtime::Ns;

    const OPTIONS: &[Opt] = &[
        Opt::flag("fifo", "first in, first out").short('f'),
        Opt::time("slice", Ns::from_ms(20), "length of a slice").short('s'),
        Opt::number("batch", 8, "tasks at a time").within(1, 64),
        Opt::cpu("cpu", 0, "who decides"),
    ];

    #[test]
    fn options_are_read() {
        for (args, expect) in [
            ("", Ok([0, 20_000_000, 8, 0])),
            ("-f --slice 500us", Ok([1, 500_000, 8, 0])),
            ("-s5ms --batch=3", Ok([0, 5_000_000, 3, 0])),
            ("--fifo --slice=1s --batch 1 --cpu 3", Ok([1, 1_000_000_000, 1, 3])),
            ("--batch 2 --batch 3", Ok([0, 20_000_000, 3, 0])),
            ("--slice 5", Err(["'--slice <TIME>'", "a time has a unit"])),
            ("--slice 2s", Err(["'--slice <TIME>'", "from 10us to 1s"])),
            ("--slice", Err(["'--slice <TIME>'", "value is required"])),
            ("--fifo=1", Err(["'--fifo'", "unexpected value"])),
            ("--batch x", Err(["'--batch <N>'", "a whole number"])),
            ("--batch -1", Err(["'--batch <N>'", "a whole number"])),
            ("--batch 65", Err(["'--batch <N>'", "from 1 to 64"])),
            ("--bach 3", Err(["'--bach'", "'--batch'"])),
            ("--cpu 4", Err(["'--cpu <N>'", "the machine has 4 CPUs"])),
            ("5", Err(["x: ", "unexpected argument '5'"])),
        ] {
            let words: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
            match (read("x", "a scheduler", OPTIONS, &words, Some(4)), expect) {
                (Ok(a), Ok(e)) => assert_eq!(["fifo", "slice", "batch", "cpu"].map(|n| a.number(n)), e, "{args}"),
                (Err(e), Err(parts)) => {
                    let text = e.to_string();
                    assert!(e.code() == 2 && parts.iter().all(|part| text.contains(part)), "{args}: {text}");
                }
                (got, _) => panic!("{args}: {got:?}"),
            }
        }
    }

    #[test]
    fn help_names_units_and_defaults() {
        let text = help(OPTIONS);
        assert!(
            text.contains("-s, --slice <TIME>") && text.contains("length of a slice [10us to 1s; default: 20ms]"),
            "{text}"
        );
        assert!(
            text.contains("    --batch <N>") && text.contains("[1 to 64; default: 8]") && !text.contains("help"),
            "{text}"
        );
        let shown = read("x", "a scheduler", OPTIONS, &["--help".to_owned()], None).unwrap_err();
        let text = shown.to_string();
        assert!(shown.code() == 0 && text.starts_with("a scheduler\n\nUsage: scxr run x -- [OPTIONS]"), "{text}");
        assert!(text.contains(TIMES), "{text}");
    }
}
