//! Options of a scheduler, as data: whoever runs it reads them from a command line and shows them as help.

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
    /// A whole number below that of the machine's CPUs.
    Cpu,
}

/// An option.
///
/// ```
/// use scxr_runtime::{Ns, Opt};
///
/// const SLICE: Opt = Opt::time("slice", Ns::from_ms(20), "length of a slice").short('s').sets("slice");
/// assert_eq!(SLICE.read("5ms"), Ok(5_000_000));
/// assert_eq!(SLICE.read("5"), Err("a time has a unit, such as 500us or 20ms".into()));
/// assert_eq!(SLICE.read("1h"), Err("a time has a unit, such as 500us or 20ms".into()));
/// assert_eq!(SLICE.read("9s"), Err("from 10us to 1s".into()));
/// ```
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
    /// The least value that it may have.
    pub min: u64,
    /// The greatest one.
    pub max: u64,
    /// The variable (`Tunable` or `Global`) of the BPF half that gets its value before load.
    pub variable: Option<&'static str>,
    /// What it does, in a line.
    pub help: &'static str,
}

impl Opt {
    const fn new(long: &'static str, takes: Takes, default: u64, min: u64, max: u64, help: &'static str) -> Opt {
        Opt { long, short: None, takes, default, min, max, variable: None, help }
    }

    /// One that takes nothing.
    pub const fn flag(long: &'static str, help: &'static str) -> Opt {
        Opt::new(long, Takes::Nothing, 0, 0, 1, help)
    }

    /// One that takes a time, from 10 us to 1 s unless [`Opt::within`] says something else.
    pub const fn time(long: &'static str, default: Ns, help: &'static str) -> Opt {
        Opt::new(long, Takes::Time, default.0, 10_000, 1_000_000_000, help)
    }

    /// One that takes a whole number, up to 2^32 - 1 unless [`Opt::within`] says something else.
    pub const fn number(long: &'static str, default: u64, help: &'static str) -> Opt {
        Opt::new(long, Takes::Number, default, 0, NUMBER_MAX, help)
    }

    /// One that takes the number of a CPU, or how many CPUs something is away.
    pub const fn cpu(long: &'static str, default: u64, help: &'static str) -> Opt {
        Opt::new(long, Takes::Cpu, default, 0, i32::MAX as u64, help)
    }

    /// With a short name.
    #[must_use]
    pub const fn short(mut self, short: char) -> Opt {
        self.short = Some(short);
        self
    }

    /// With other limits; of a time, ns.
    #[must_use]
    pub const fn within(mut self, min: u64, max: u64) -> Opt {
        self.min = min;
        self.max = max;
        self
    }

    /// Sets a variable of the BPF half before that is loaded.
    #[must_use]
    pub const fn sets(mut self, variable: &'static str) -> Opt {
        self.variable = Some(variable);
        self
    }

    /// The value that a text means; why it means none.
    pub fn read(&self, text: &str) -> Result<u64, String> {
        let value = match self.takes {
            Takes::Time => time(text).ok_or("a time has a unit, such as 500us or 20ms")?,
            _ => text.parse().map_err(|_| "it takes a whole number")?,
        };
        self.check(value)
    }

    /// The value, if it is one that the option may have.
    pub fn check(&self, value: u64) -> Result<u64, String> {
        match value {
            v if v >= self.min && v <= self.max => Ok(v),
            _ => Err(format!("from {} to {}", self.show(self.min), self.show(self.max))),
        }
    }

    /// A value as a user would write it.
    fn show(&self, value: u64) -> String {
        if self.takes == Takes::Time { show_time(value) } else { value.to_string() }
    }

    /// What it does, with its limits, if it has some, and its default.
    pub fn explained(&self) -> String {
        let limits = match self.takes {
            Takes::Nothing => return self.help.to_owned(),
            Takes::Cpu => String::new(),
            Takes::Number if self.max == NUMBER_MAX => String::new(),
            Takes::Number | Takes::Time => format!("{} to {}; ", self.show(self.min), self.show(self.max)),
        };
        format!("{} [{limits}default: {}]", self.help, self.show(self.default))
    }
}

/// Where a number has no limit of its own.
const NUMBER_MAX: u64 = u32::MAX as u64;

/// Options as they were given, or their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    values: Vec<(&'static str, u64)>,
}

impl Args {
    /// Options of which some were given, by their long names.
    pub fn of<S: AsRef<str>>(options: &[Opt], given: &[(S, u64)]) -> Result<Args, Error> {
        let mut values: Vec<(&'static str, u64)> = options.iter().map(|o| (o.long, o.default)).collect();
        for (name, value) in given {
            let name = name.as_ref();
            let wrong = |why: &str| Error::Options(format!("--{name}: {why}"));
            let at = options.iter().position(|o| o.long == name).ok_or_else(|| wrong("there is no such option"))?;
            values[at].1 = options[at].check(*value).map_err(|why| wrong(&why))?;
        }
        Ok(Args { values })
    }

    /// The variables that are set before load, and their values.
    pub fn variables(&self, options: &[Opt]) -> Vec<(&'static str, u64)> {
        options.iter().filter_map(|o| Some((o.variable?, self.number(o.long)))).collect()
    }

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

    /// All of them, by their long names.
    pub fn values(&self) -> &[(&'static str, u64)] {
        &self.values
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Opt = Opt::time("slice", Ns::from_ms(20), "length of a slice").sets("slice_ns");
    const BATCH: Opt = Opt::number("batch", 8, "tasks at a time").within(1, 4096);

    #[test]
    fn values_are_read() {
        for (option, text, expect) in [
            (SLICE, "500us", Ok(500_000)),
            (SLICE, "1s", Ok(1_000_000_000)),
            (SLICE, "12345678ns", Ok(12_345_678)),
            (SLICE, "5", Err("a time has a unit")),
            (SLICE, "-5ms", Err("a time has a unit")),
            (SLICE, "5m", Err("a time has a unit")),
            (SLICE, "", Err("a time has a unit")),
            (SLICE, "99999999999999s", Err("a time has a unit")),
            (SLICE, "0ms", Err("from 10us to 1s")),
            (SLICE, "1001ms", Err("from 10us to 1s")),
            (BATCH, "4096", Ok(4096)),
            (BATCH, "0", Err("from 1 to 4096")),
            (BATCH, "x", Err("a whole number")),
            (BATCH, "1.5", Err("a whole number")),
        ] {
            match (option.read(text), expect) {
                (Ok(n), Ok(e)) => assert_eq!(n, e, "{text}"),
                (Err(e), Err(why)) => assert!(e.contains(why), "{text}: {e}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn values_that_were_given_replace_defaults() {
        let options = [SLICE, BATCH, Opt::flag("fifo", "first in, first out")];
        let args = Args::of(&options, &[("batch", 3), ("fifo", 1)]).unwrap();
        assert_eq!((args.time("slice"), args.number("batch"), args.flag("fifo")), (Ns::from_ms(20), 3, true));
        assert_eq!(args.variables(&options), [("slice_ns", 20_000_000)]);
        for (name, value, why) in [("bach", 1, "no such option"), ("batch", 0, "--batch: from 1 to"), ("fifo", 2, "1")]
        {
            let error = Args::of(&options, &[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
