//! Reading members of objects, with errors that say where and what instead.

use super::{Fault, Result2};
use crate::json::{Member, Node, Pos, Value};
use crate::suggest::hint;

/// An object of the file.
pub(super) struct Object<'a> {
    pub(super) pos: Pos,
    pub(super) members: &'a [Member],
}

/// A fault at a member.
pub(super) fn fault_at(m: &Member, why: impl Into<String>) -> Fault {
    Fault { pos: m.pos, key: Some(m.key.clone()), why: why.into() }
}

impl<'a> Object<'a> {
    pub(super) fn of(node: &'a Node, what: &str) -> Result2<Object<'a>> {
        match &node.value {
            Value::Object(members) => Ok(Object { pos: node.pos, members }),
            other => Err(Fault {
                pos: node.pos,
                key: None,
                why: format!("{what} must be an object, and is {}", other.kind()),
            }),
        }
    }

    pub(super) fn of_member(m: &'a Member) -> Result2<Object<'a>> {
        match &m.node.value {
            Value::Object(members) => Ok(Object { pos: m.node.pos, members }),
            other => Err(fault_at(m, format!("expected an object, found {}", other.kind()))),
        }
    }

    pub(super) fn fault(&self, key: Option<&str>, why: impl Into<String>) -> Fault {
        Fault { pos: self.pos, key: key.map(String::from), why: why.into() }
    }

    /// Fails at the first key that is in neither list.
    pub(super) fn only(&self, known: &[&str], more: &[&str]) -> Result2<()> {
        let all = || known.iter().chain(more).copied();
        match self.members.iter().find(|m| all().all(|k| k != m.key)) {
            None => Ok(()),
            Some(m) => {
                let list = all().collect::<Vec<_>>().join(", ");
                let why = format!("unknown key{}; known here are {list}", hint(&m.key, all()));
                Err(fault_at(m, why))
            }
        }
    }

    /// The member with this key; twice is an error.
    pub(super) fn get(&self, key: &str) -> Result2<Option<&'a Member>> {
        let mut found = self.members.iter().filter(|m| m.key == key);
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(again) => Err(fault_at(again, "this setting is given twice")),
        }
    }

    pub(super) fn string(&self, key: &str) -> Result2<Option<(Pos, &'a str)>> {
        let Some(m) = self.get(key)? else {
            return Ok(None);
        };
        string(m).map(|s| Some((m.node.pos, s)))
    }

    /// An integer from `low` to `high`.
    pub(super) fn integer(&self, key: &str, low: i64, high: i64) -> Result2<Option<i64>> {
        match self.get(key)? {
            Some(m) => integer(m, low, high).map(Some),
            None => Ok(None),
        }
    }

    /// `value` must be one of `all`.
    pub(super) fn one_of(&self, pos: Pos, key: &str, value: &str, all: &[&str]) -> Result2<usize> {
        all.iter().position(|a| *a == value).ok_or_else(|| {
            let hint = hint(value, all.iter().copied());
            let list = all.join(", ");
            Fault { pos, key: Some(key.into()), why: format!("'{value}' is not known{hint}; expected one of {list}") }
        })
    }
}

pub(super) fn string(m: &Member) -> Result2<&str> {
    match &m.node.value {
        Value::String(s) => Ok(s),
        other => Err(fault_at(m, format!("expected a string, found {}", other.kind()))),
    }
}

pub(super) fn integer(m: &Member, low: i64, high: i64) -> Result2<i64> {
    match m.node.value {
        Value::Int(n) if (low..=high).contains(&n) => Ok(n),
        Value::Int(n) if high == i64::MAX => Err(fault_at(m, format!("{n} is out of range: it must be {low} or more"))),
        Value::Int(n) => Err(fault_at(m, format!("{n} is out of range: it must be from {low} to {high}"))),
        ref other => Err(fault_at(m, format!("expected an integer, found {}", other.kind()))),
    }
}
