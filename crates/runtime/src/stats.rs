//! What a half says of itself now and then.

use scxr_policy::Ns;

/// A figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stat {
    /// A count or another number.
    Number(i64),
    /// A time.
    Time(Ns),
    /// Words.
    Text(String),
}

/// Figures at a point in time, in the order in which they are to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// When, in the time of the run's clock.
    pub at: Ns,
    /// Names and values.
    pub values: Vec<(String, Stat)>,
}

impl Stats {
    /// Adds a count.
    pub fn number(&mut self, name: &str, value: impl TryInto<i64>) {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.values.push((name.to_owned(), Stat::Number(value)));
    }

    /// Adds a time.
    pub fn time(&mut self, name: &str, value: Ns) {
        self.values.push((name.to_owned(), Stat::Time(value)));
    }

    /// Adds words.
    pub fn text(&mut self, name: &str, value: impl Into<String>) {
        self.values.push((name.to_owned(), Stat::Text(value.into())));
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Stat> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

impl std::fmt::Display for Stat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stat::Number(n) => write!(f, "{n}"),
            Stat::Time(Ns(ns)) if *ns >= 10_000_000 => write!(f, "{} ms", ns / 1_000_000),
            Stat::Time(Ns(ns)) if *ns >= 10_000 => write!(f, "{} us", ns / 1_000),
            Stat::Time(Ns(ns)) => write!(f, "{ns} ns"),
            Stat::Text(text) => f.write_str(text),
        }
    }
}
