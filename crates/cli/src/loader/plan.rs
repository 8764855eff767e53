//! From a loader file, an object and a machine to what is done.

use evalexpr::HashMapContext;
use indexmap::IndexMap;
use scxr_bpf::btf::Kind;
use scxr_bpf::load::{Changes, Object, StructOpsInfo};
use scxr_kernel::ids::Ns;
use scxr_kernel::topology::Topology;
use scxr_ops::Element;
use scxr_workload::params::parse_duration;
use toml::Value;

use super::LoaderFile;
use super::expr::{Names, Worth, worth};
use crate::failure::{Failure, Result};

/// What a file may speak of.
pub(crate) struct Surroundings<'a> {
    /// The machine.
    pub(crate) topology: &'a Topology,
    /// Ticks a second.
    pub(crate) hz: u32,
    /// Values of the kernel's enumerators.
    pub(crate) enumerator: &'a dyn Fn(&str) -> Option<u64>,
}

/// What is done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Before the object is loaded.
    pub(crate) changes: Changes,
    /// Before it is attached.
    pub(crate) elements: Vec<Element>,
    /// Before it is attached, or while it schedules.
    pub(crate) calls: Vec<Call>,
}

/// A `syscall` program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which.
    pub(crate) program: String,
    /// When, ns from the start; `None`: before the scheduler is attached.
    pub(crate) at: Option<Ns>,
}

/// Evaluates values of one file.
struct Evaluator<'a> {
    names: Names<'a>,
    context: HashMapContext,
}

impl Evaluator<'_> {
    fn worth(&mut self, value: &Value, i: i64) -> Result<Worth, String> {
        match value {
            Value::Integer(n) => Ok(Worth::Int(*n)),
            Value::Boolean(b) => Ok(Worth::Int((*b).into())),
            Value::String(text) => {
                let node = self.names.read(text, &mut self.context)?;
                worth(&node, text, i, &mut self.context)
            }
            other => Err(format!("{} is neither a number nor an expression", other.type_str())),
        }
    }

    fn int(&mut self, value: &Value, i: i64) -> Result<i64, String> {
        match self.worth(value, i)? {
            Worth::Int(n) => Ok(n),
            Worth::Text(text) => Err(format!("'{text}' is no number")),
        }
    }

    fn count(&mut self, value: &Value) -> Result<u32, String> {
        let n = self.int(value, 0)?;
        u32::try_from(n).map_err(|_| format!("{n} does not fit 32 bits"))
    }

    /// An integer, or a list of such, as `size` bytes.
    fn bytes(&mut self, value: &Value, size: u32) -> Result<Vec<u8>, String> {
        if let Value::Array(list) = value {
            let each = size.checked_div(list.len() as u32).filter(|each| each * list.len() as u32 == size);
            let each = each.ok_or_else(|| format!("{} values do not fill {size} bytes evenly", list.len()))?;
            let parts = list.iter().map(|v| self.bytes(v, each)).collect::<Result<Vec<_>, _>>()?;
            return Ok(parts.concat());
        }
        let n = self.int(value, 0)?;
        let fits = size >= 8 || (0..1i64 << (8 * size)).contains(&n) || (-(1i64 << (8 * size - 1))..0).contains(&n);
        if size == 0 || !fits {
            return Err(format!("{n} does not fit {size} bytes"));
        }
        let mut bytes = n.to_le_bytes().to_vec();
        bytes.resize(size as usize, 0);
        Ok(bytes)
    }
}

impl LoaderFile {
    /// What is done to `object`.
    pub(crate) fn plan(&self, object: &Object, around: &Surroundings<'_>) -> Result<Plan> {
        let bad = |what: &str, e: &dyn std::fmt::Display| Failure::input(format_args!("{}: {what}: {e}", self.from));
        let names = Names { topology: around.topology, hz: around.hz, enumerator: around.enumerator };
        let context = names.context().map_err(|e| bad("the machine", &e))?;
        let mut eval = Evaluator { names, context };
        let mut changes = Changes { fill: self.fill.clone(), ..Changes::default() };
        let known = |map: &str| object.maps().iter().any(|m| m.name == map) || object.global(map).is_ok();
        for (map, value) in wanted(&self.entries, known) {
            let what = format!("entries.{map}");
            changes.resize.push((map.to_owned(), eval.count(value).map_err(|e| bad(&what, &e))?));
        }
        // Arrays have as many elements as the sizes above say.
        let mut sized = object.clone();
        sized.change(&changes).map_err(|e| bad("entries", &e))?;
        for (name, value) in wanted(&self.globals, |name| object.global(root(name)).is_ok()) {
            let set = globals(&mut eval, &sized, name, value).map_err(|e| bad(&format!("globals.{name}"), &e))?;
            changes.set.extend(set);
        }
        for (member, value) in wanted(&self.members, |member| has_member(object, member)) {
            let what = format!("members.{member}");
            let value = match value {
                Value::Boolean(false) => None,
                value => Some(eval.int(value, 0).map_err(|e| bad(&what, &e))? as u64),
            };
            changes.members.push((member.to_owned(), value));
        }
        let known = |name: &str| object.programs().iter().any(|p| p.name == name);
        changes.programs = wanted(&self.programs, known).map(|(name, load)| (name.to_owned(), *load)).collect();
        object.clone().change(&changes).map_err(|e| Failure::input(format_args!("{}: {e}", self.from)))?;
        let elements = self.element.iter().map(|e| element(&mut eval, &sized, e).map_err(|why| bad(&e.map, &why)));
        let elements = elements.collect::<Result<_>>()?;
        let calls = self.call.iter().map(|c| {
            let known = object.programs().iter().any(|p| p.name == c.program && p.section == "syscall");
            if !known {
                return Err(bad(&c.program, &"the object has no program of that name in section `syscall`"));
            }
            let at = c.at.as_deref().map(parse_duration).transpose();
            Ok(Call { program: c.program.clone(), at: at.map_err(|e| bad(&format!("call of {}", c.program), &e))? })
        });
        Ok(Plan { changes, elements, calls: calls.collect::<Result<_>>()? })
    }
}

/// What is to be done of a table. A name that ends in `?` is left out where the object has nothing of that name.
fn wanted<V>(table: &IndexMap<String, V>, known: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &V)> {
    table.iter().filter_map(move |(name, value)| match name.strip_suffix('?') {
        Some(name) => known(name).then_some((name, value)),
        None => Some((name.as_str(), value)),
    })
}

/// `var` of `var.field[2]`.
fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

fn has_member(object: &Object, member: &str) -> bool {
    let btf = object.btf();
    let has = |o: &StructOpsInfo| {
        let table = btf.find(&o.type_name, |k| matches!(k, Kind::Struct { .. }));
        table.is_some_and(|id| btf.field(id, member).is_some())
    };
    object.struct_ops().iter().any(has)
}

/// Values of a global: one, or one of each element of an array.
fn globals(
    eval: &mut Evaluator<'_>,
    object: &Object,
    name: &str,
    value: &Value,
) -> Result<Vec<(String, String)>, String> {
    let text = |worth: Worth| match worth {
        Worth::Int(n) => n.to_string(),
        Worth::Text(text) => format!("\"{text}\""),
    };
    let plain = root(name) == name;
    let info = object.global(root(name)).map_err(|e| e.to_string())?;
    let btf = object.btf();
    let elements = match btf.resolved(info.type_id) {
        Kind::Array { elem, .. } if plain => btf.size(*elem).filter(|&s| s > 0).map(|size| info.size / size),
        _ => None,
    };
    match (elements, value) {
        (None, value) => Ok(vec![(name.to_owned(), text(eval.worth(value, 0)?))]),
        (Some(n), Value::Array(list)) if list.len() > n as usize => {
            Err(format!("{} values for {n} elements", list.len()))
        }
        (Some(_), Value::Array(list)) => {
            let each = |(i, v): (usize, &Value)| Ok((format!("{name}[{i}]"), text(eval.worth(v, i as i64)?)));
            list.iter().enumerate().map(each).collect()
        }
        (Some(n), value) => {
            if let Worth::Text(t) = eval.worth(value, 0)? {
                return Ok(vec![(name.to_owned(), format!("\"{t}\""))]);
            }
            (0..n).map(|i| Ok((format!("{name}[{i}]"), text(eval.worth(value, i.into())?)))).collect()
        }
    }
}

/// An element of a map.
fn element(eval: &mut Evaluator<'_>, object: &Object, e: &super::Element) -> Result<Element, String> {
    let maps = object.maps();
    let map = maps.iter().find(|m| m.name == e.map).ok_or_else(|| {
        let known: Vec<&str> = maps.iter().map(|m| m.name.as_str()).collect();
        format!("there is no such map; there are {}", known.join(", "))
    })?;
    let key = match (&e.key, map.key_size) {
        (None, 0) => Vec::new(),
        (None, _) => return Err("an element needs a `key`".to_owned()),
        (Some(_), 0) => return Err("it has no keys; leave `key` out".to_owned()),
        (Some(key), size) => eval.bytes(key, size).map_err(|e| format!("key: {e}"))?,
    };
    let value = eval.bytes(&e.value, map.value_size).map_err(|e| format!("value: {e}"))?;
    Ok(Element { map: e.map.clone(), key, value })
}
