//! What a scheduler says of itself now and then: its user-space half, or else its variables.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use scxr_runtime::{Stat, Stats};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::report::units::count;

/// Elements of an array that are figures at most: longer ones are tables.
pub(crate) const FIGURES_MAX: usize = 12;

/// Figures at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StatsJson {
    /// When, since the start of the run.
    pub(crate) at_ns: u64,
    /// Values by name; times in ns.
    pub(crate) values: Map<String, Json>,
    /// For people: names, and values in words.
    #[serde(skip)]
    pub(crate) shown: Vec<(String, String)>,
}

impl StatsJson {
    /// Figures that a half gave.
    pub(crate) fn of(stats: &Stats) -> StatsJson {
        let json = |value: &Stat| match value {
            Stat::Number(n) => Json::from(*n),
            Stat::Time(ns) => Json::from(ns.0),
            Stat::Text(text) => Json::from(text.clone()),
        };
        StatsJson {
            at_ns: stats.at.0,
            values: stats.values.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
            shown: stats.values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        }
    }

    /// A scheduler's variables; for people those that changed since the look before, and by how much.
    pub(crate) fn of_variables(at_ns: u64, values: &IndexMap<String, Json>, before: Option<&StatsJson>) -> StatsJson {
        let now = numbers(values);
        let was = |name: &str| before.and_then(|b| b.values.get(name)?.as_number()?.as_i128()).unwrap_or(0);
        let words = |n: i128| {
            let size = count(u64::try_from(n.unsigned_abs()).unwrap_or(u64::MAX));
            format!("{}{size}", if n < 0 { "-" } else { "" })
        };
        let shown = now.iter().filter(|(name, value)| **value != was(name) && (before.is_some() || **value != 0));
        let shown = shown.map(|(name, value)| {
            let change = value - was(name);
            (name.clone(), format!("{} ({}{})", words(*value), if change > 0 { "+" } else { "" }, words(change)))
        });
        let json = |value: i128| i64::try_from(value).map_or_else(|_| Json::from(value.to_string()), Json::from);
        StatsJson { at_ns, shown: shown.collect(), values: now.into_iter().map(|(n, v)| (n, json(v))).collect() }
    }
}

/// All that counts something: integers, elements of short arrays, per-CPU arrays as their sums.
pub(crate) fn numbers(values: &IndexMap<String, Json>) -> BTreeMap<String, i128> {
    let mut out = BTreeMap::new();
    for (name, value) in values {
        add(&mut out, name.clone(), value.get("sum").unwrap_or(value));
    }
    out
}

fn add(out: &mut BTreeMap<String, i128>, name: String, value: &Json) {
    match value {
        Json::Number(n) => drop(out.insert(name, n.as_i128().unwrap_or(0))),
        Json::Array(list) if list.len() <= FIGURES_MAX => {
            list.iter().enumerate().for_each(|(i, v)| add(out, format!("{name}[{i}]"), v));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_is_shown() {
        let values = |n: i64| -> IndexMap<String, Json> {
            let of =
                [("slice", json!(20)), ("stats", json!({"sum": [n, 7], "by_cpu": []})), ("uei", json!({"kind": 0}))];
            of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let first = StatsJson::of_variables(1, &values(5), None);
        let then = StatsJson::of_variables(2, &values(4005), Some(&first));
        assert_eq!(then.shown, [("stats[0]".to_owned(), "4,005 (+4,000)".to_owned())]);
        assert_eq!(Json::from(then.values), json!({"slice": 20, "stats[0]": 4005, "stats[1]": 7}));
    }
}
