//! Options of a scheduler, as data: whoever runs it parses them and shows them as help.

use scxr_policy::Ns;

use crate::error::Error;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// A time with its unit: `500us`, `20ms`, `1s`.
    Time,
    /// A whole number.
    Number,
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Long name, without `--`.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// What it takes.
    pub takes: Takes,
    /// Its value where it is not given: ns, or a number; 0 and 1 for what takes nothing.
    pub default: u64,
    /// What it does, in a line.
    pub help: &'static str,
}

/// Options as they were given, or their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    values: Vec<(&'static str, u64)>,
}

impl Args {
    /// The value of the option with that long name; 0 if there is none.
    pub fn number(&self, long: &str) -> u64 {
        self.values.iter().find(|(name, _)| *name == long).map_or(0, |(_, value)| *value)
    }

    /// The same as a time.
    pub fn time(&self, long: &str) -> Ns {
        Ns(self.number(long))
    }

    /// Is it there?
    pub fn flag(&self, long: &str) -> bool {
        self.number(long) != 0
    }
}

/// Options as help shows them, a line each; with their units and defaults.
pub fn usage(options: &[Opt]) -> String {
    let mut out = String::new();
    for o in options {
        let short = o.short.map_or("    ".to_owned(), |c| format!("-{c}, "));
        let (value, default) = match o.takes {
            Takes::Nothing => ("", String::new()),
            Takes::Time => (" TIME", format!(" [default: {}]", show_time(o.default))),
            Takes::Number => (" N", format!(" [default: {}]", o.default)),
        };
        let name = format!("--{}{value}", o.long);
        out += &format!("  {short}{name:<20} {}{default}\n", o.help);
    }
    out
}

fn show_time(ns: u64) -> String {
    match ns {
        n if n != 0 && n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
        n if n != 0 && n.is_multiple_of(1_000_000) => format!("{}ms", n / 1_000_000),
        n if n != 0 && n.is_multiple_of(1_000) => format!("{}us", n / 1_000),
        n => format!("{n}ns"),
    }
}

/// `20ms` in ns; `None`: not a time, or one without a unit.
fn time(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[digits..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// Reads arguments: `--long value`, `--long=value`, `-s value`, `-svalue`, `-s`.
pub fn parse<S: AsRef<str>>(name: &str, options: &[Opt], args: &[S]) -> Result<Args, Error> {
    let mut values: Vec<(&'static str, u64)> = options.iter().map(|o| (o.long, o.default)).collect();
    let mut args = args.iter().map(AsRef::as_ref);
    while let Some(arg) = args.next() {
        let wrong = |why: &str| Error::Options(format!("{name}: {arg}: {why}; options are:\n{}", usage(options)));
        let (found, given) = match (arg.strip_prefix("--"), arg.strip_prefix('-')) {
            (Some(long), _) => {
                let (long, given) = long.split_once('=').map_or((long, None), |(l, v)| (l, Some(v)));
                (options.iter().find(|o| o.long == long), given)
            }
            (None, Some(short)) => {
                let mut rest = short.chars();
                let first = rest.next();
                let given = Some(rest.as_str()).filter(|r| !r.is_empty());
                (options.iter().find(|o| first.is_some() && o.short == first), given)
            }
            (None, None) => (None, None),
        };
        let Some(option) = found else { return Err(wrong("there is no such option")) };
        let value = match (option.takes, given) {
            (Takes::Nothing, Some(_)) => return Err(wrong("it takes no value")),
            (Takes::Nothing, None) => 1,
            (takes, given) => {
                let text = given.or_else(|| args.next()).ok_or_else(|| wrong("its value is missing"))?;
                match takes {
                    Takes::Time => {
                        time(text).ok_or_else(|| wrong("it takes a time with a unit, such as 500us or 20ms"))?
                    }
                    _ => text.parse().map_err(|_| wrong("it takes a whole number"))?,
                }
            }
        };
        values.iter_mut().filter(|(n, _)| *n == option.long).for_each(|(_, v)| *v = value);
    }
    Ok(Args { values })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[Opt] = &[
        Opt { long: "fifo", short: Some('f'), takes: Takes::Nothing, default: 0, help: "first in, first out" },
        Opt { long: "slice", short: Some('s'), takes: Takes::Time, default: 20_000_000, help: "length of a slice" },
        Opt { long: "batch", short: None, takes: Takes::Number, default: 8, help: "tasks at a time" },
    ];

    #[test]
    fn options_are_read() {
        for (args, expect) in [
            ("", Ok([0, 20_000_000, 8])),
            ("-f --slice 500us", Ok([1, 500_000, 8])),
            ("-s5ms --batch=3", Ok([0, 5_000_000, 3])),
            ("--fifo --slice=1s --batch 0", Ok([1, 1_000_000_000, 0])),
            ("--slice 5", Err("a time with a unit")),
            ("--slice", Err("its value is missing")),
            ("--fifo=1", Err("takes no value")),
            ("--batch x", Err("a whole number")),
            ("--bach 3", Err("no such option")),
            ("5", Err("no such option")),
            ("-", Err("no such option")),
            ("--slice 99999999999999s", Err("a time with a unit")),
        ] {
            let words: Vec<&str> = args.split_whitespace().collect();
            match (parse("x", OPTIONS, &words), expect) {
                (Ok(a), Ok(e)) => assert_eq!(["fifo", "slice", "batch"].map(|n| a.number(n)), e, "{args}"),
                (Err(e), Err(why)) => assert!(e.to_string().contains(why), "{args}: {e}"),
                (got, _) => panic!("{args}: {got:?}"),
            }
        }
    }

    #[test]
    fn help_names_units() {
        let text = usage(OPTIONS);
        assert!(text.contains("-s, --slice TIME") && text.contains("[default: 20ms]"), "{text}");
        assert!(text.contains("    --batch N") && text.contains("[default: 8]"), "{text}");
    }
}
