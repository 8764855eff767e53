//! From a loader file, an object and a machine to what is done.

use evalexpr::HashMapContext;
use indexmap::IndexMap;
use scxr_bpf::btf::Kind;
use scxr_bpf::load::{Changes, GlobalValue, Object, StructOpsInfo};
use scxr_host::{Call, Store, Then};
use scxr_kernel::topology::Topology;
use scxr_ops::Element;
use scxr_workload::params::parse_duration;
use toml::Value;

use super::expr::{Names, Worth, worth};
use super::{CallText, LoaderFile};
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

/// How often a part of a file is done at most.
const TIMES_MAX: i64 = 1 << 20;

/// Evaluates values of one file.
struct Evaluator<'a> {
    names: Names<'a>,
    context: HashMapContext,
    /// Where in a row of an array of arrays.
    j: i64,
}

impl Evaluator<'_> {
    fn worth(&mut self, value: &Value, i: i64) -> Result<Worth, String> {
        match value {
            Value::Integer(n) => Ok(Worth::Int(*n)),
            Value::Boolean(b) => Ok(Worth::Int((*b).into())),
            Value::String(text) => {
                let node = self.names.read(text, &mut self.context)?;
                worth(&node, text, (i, self.j), &mut self.context)
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

    /// The number of a CPU.
    fn cpu(&mut self, value: &Value, i: i64) -> Result<u32, String> {
        let n = self.int(value, i)?;
        let cpu = u32::try_from(n).ok().filter(|&cpu| (cpu as usize) < self.names.topology.nr_cpus());
        cpu.ok_or_else(|| format!("there is no CPU {n}"))
    }

    /// The numbers of a `for`: once without one.
    fn times(&mut self, times: Option<&Value>) -> Result<std::ops::Range<i64>, String> {
        let n = times.map_or(Ok(1), |times| self.int(times, 0)).map_err(|e| format!("for: {e}"))?;
        match n {
            0..=TIMES_MAX => Ok(0..n),
            _ => Err(format!("for: {n} is not between 0 and {TIMES_MAX}")),
        }
    }

    /// Members of a type, and their values. `[j]` in a path stands for all elements of an array.
    fn members(
        &mut self,
        object: &Object,
        of: u32,
        table: &IndexMap<String, Value>,
        i: i64,
    ) -> Result<Vec<(String, GlobalValue)>, String> {
        let mut members = Vec::new();
        for (path, value) in table {
            let array = path.split_once("[j]").map(|(array, _)| array);
            let n = array.map_or(Ok(1), |array| {
                let field = object.btf().field(of, array);
                let Some(Kind::Array { len, .. }) = field.map(|f| object.btf().resolved(f.type_id)) else {
                    return Err(format!("{array} is no array, so `[j]` means nothing"));
                };
                Ok(*len)
            })?;
            for j in 0..n {
                self.j = j.into();
                let value = match self.worth(value, i).map_err(|e| format!("{path}: {e}"))? {
                    Worth::Int(n) => GlobalValue::Int(n.into()),
                    Worth::Text(text) => GlobalValue::Text(text),
                };
                members.push((path.replace("[j]", &format!("[{j}]")), value));
            }
            self.j = 0;
        }
        Ok(members)
    }

    /// An integer, or a list of such, as `size` bytes.
    fn bytes(&mut self, value: &Value, size: u32, i: i64) -> Result<Vec<u8>, String> {
        if let Value::Array(list) = value {
            let each = size.checked_div(list.len() as u32).filter(|each| each * list.len() as u32 == size);
            let each = each.ok_or_else(|| format!("{} values do not fill {size} bytes evenly", list.len()))?;
            let parts = list.iter().map(|v| self.bytes(v, each, i)).collect::<Result<Vec<_>, _>>()?;
            return Ok(parts.concat());
        }
        let n = self.int(value, i)?;
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
        let bad = |what: &str, e: &dyn std::fmt::Display| {
            let e = e.to_string();
            let line = self.line_of(what, &e).map(|line| format!(":{line}")).unwrap_or_default();
            Failure::input(format_args!("{}{line}: {what}: {e}", self.from))
        };
        let btf = object.btf();
        let size_of = |name: &str| {
            let id = btf.find(name, |k| matches!(k, Kind::Struct { .. } | Kind::Union { .. } | Kind::Typedef { .. }));
            id.and_then(|id| btf.size(id))
        };
        let names =
            Names { topology: around.topology, hz: around.hz, enumerator: around.enumerator, size_of: &size_of };
        let context = names.context().map_err(|e| bad("the machine", &e))?;
        let mut eval = Evaluator { names, context, j: 0 };
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
        let mut elements = Vec::new();
        for e in &self.element {
            for i in eval.times(e.times.as_ref()).map_err(|why| bad(&e.map, &why))? {
                elements.push(element(&mut eval, &sized, e, i).map_err(|why| bad(&e.map, &why))?);
            }
        }
        let mut calls = Vec::new();
        for c in &self.call {
            let bad = |why: String| bad(&format!("call of {}", c.program), &why);
            for i in eval.times(c.times.as_ref()).map_err(bad)? {
                calls.push(call(&mut eval, object, c, i).map_err(bad)?);
            }
        }
        Ok(Plan { changes, elements, calls })
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
    let (times, value) = match value {
        Value::Table(table) => limited(eval, table)?,
        value => (None, value),
    };
    if let Some((array, _)) = name.split_once("[i]") {
        let n = times.unwrap_or(elements(object, array)?);
        let row = name.split_once("[j]").map(|(row, _)| elements(object, &row.replace("[i]", "[0]")));
        let rows = row.transpose()?.unwrap_or(1);
        let mut set = Vec::new();
        for (i, j) in (0..n).flat_map(|i| (0..rows).map(move |j| (i, j))) {
            eval.j = j.into();
            let path = name.replace("[i]", &format!("[{i}]")).replace("[j]", &format!("[{j}]"));
            set.push((path, text(eval.worth(value, i.into())?)));
        }
        eval.j = 0;
        return Ok(set);
    }
    let info = object.global(root(name)).map_err(|e| e.to_string())?;
    let is_array = root(name) == name && matches!(object.btf().resolved(info.type_id), Kind::Array { .. });
    let each =
        |eval: &mut Evaluator<'_>, i: usize, v: &Value| Ok((format!("{name}[{i}]"), text(eval.worth(v, i as i64)?)));
    match (is_array.then(|| elements(object, name)).transpose()?, value) {
        (None, value) => Ok(vec![(name.to_owned(), text(eval.worth(value, 0)?))]),
        (Some(n), Value::Array(list)) if list.len() > n as usize => {
            Err(format!("{} values for {n} elements", list.len()))
        }
        (Some(_), Value::Array(list)) => list.iter().enumerate().map(|(i, v)| each(eval, i, v)).collect(),
        (Some(n), value) => {
            let n = times.unwrap_or(n);
            if let (true, Worth::Text(t)) = (n > 0, eval.worth(value, 0)?) {
                return Ok(vec![(name.to_owned(), format!("\"{t}\""))]);
            }
            (0..n as usize).map(|i| each(eval, i, value)).collect()
        }
    }
}

/// Of `{ for = "nr_cpus", value = "i" }`: how many elements, and their value.
fn limited<'v>(
    eval: &mut Evaluator<'_>,
    table: &'v toml::map::Map<String, Value>,
) -> Result<(Option<u32>, &'v Value), String> {
    match (table.get("for"), table.get("value"), table.len()) {
        (Some(times), Some(value), 2) => Ok((Some(eval.times(Some(times))?.end as u32), value)),
        _ => Err("a table is `{ for = how many elements, value = of each }`".to_owned()),
    }
}

/// Elements of an array, which may have been resized.
fn elements(object: &Object, path: &str) -> Result<u32, String> {
    let (size, type_id) = object.extent(path).map_err(|e| e.to_string())?;
    let btf = object.btf();
    match btf.resolved(type_id) {
        Kind::Array { elem, .. } => Ok(btf.size(*elem).filter(|&s| s > 0).map_or(0, |each| size / each)),
        _ => Err(format!("{path} is no array")),
    }
}

/// An element of a map.
fn element(eval: &mut Evaluator<'_>, object: &Object, e: &super::Element, i: i64) -> Result<Element, String> {
    let maps = object.maps();
    let map = maps.iter().find(|m| m.name == e.map).ok_or_else(|| {
        let known: Vec<&str> = maps.iter().map(|m| m.name.as_str()).collect();
        format!("there is no such map; there are {}", known.join(", "))
    })?;
    let key = match (&e.key, map.key_size) {
        (None, 0) => Vec::new(),
        (None, _) => return Err("an element needs a `key`".to_owned()),
        (Some(_), 0) => return Err("it has no keys; leave `key` out".to_owned()),
        (Some(key), size) => eval.bytes(key, size, i).map_err(|e| format!("key: {e}"))?,
    };
    let value = match &e.value {
        Value::Table(members) => {
            let of = object
                .map_value(&e.map)
                .ok_or("the object does not say what its values are; give a list of numbers")?;
            let members = members.iter().map(|(path, value)| (path.clone(), value.clone())).collect();
            object.value_of(of, &eval.members(object, of, &members, i)?)
        }
        value => eval.bytes(value, map.value_size, i),
    };
    Ok(Element { map: e.map.clone(), key, value: value.map_err(|e| format!("value: {e}"))? })
}

/// A call of a program.
fn call(eval: &mut Evaluator<'_>, object: &Object, c: &CallText, i: i64) -> Result<Call, String> {
    if !object.programs().iter().any(|p| p.name == c.program && p.section == "syscall") {
        return Err("the object has no program of that name in section `syscall`".to_owned());
    }
    let input = match c.input.is_empty() && c.take.is_empty() && c.store.is_none() {
        true => Vec::new(),
        false => {
            let of = input_of(object, c)?;
            let members = eval.members(object, of, &c.input, i).map_err(|e| format!("input: {e}"))?;
            object.value_of(of, &members).map_err(|e| format!("input: {e}"))?
        }
    };
    let at = c.at.as_deref().map(parse_duration).transpose().map_err(|e| e.to_string())?;
    let cpu = c.cpu.as_ref().map(|cpu| eval.cpu(cpu, i)).transpose().map_err(|e| format!("cpu: {e}"))?;
    if cpu.is_some() && at.is_none() {
        return Err(
            "a `cpu` needs a time (`at`): before the scheduler is attached a call is made on any CPU".to_owned()
        );
    }
    let store =
        c.store.as_ref().map(|s| store(eval, object, c, s, i).map_err(|e| format!("store: {e}"))).transpose()?;
    let then = c.then.as_ref().map(|t| then(eval, object, c, t, i).map_err(|e| format!("then: {e}"))).transpose()?;
    Ok(Call { program: c.program.clone(), at_ns: at.map(|at| at.max(1)), cpu, input, store, then: then.map(Box::new) })
}

/// The structure that a program takes.
fn input_of(object: &Object, c: &CallText) -> Result<u32, String> {
    object.input(&c.program).ok_or_else(|| format!("{} takes no structure, so leave `input` out", c.program))
}

/// Where a member of a program's input is, and its size.
fn input_member(object: &Object, c: &CallText, member: &str) -> Result<(u32, u32), String> {
    let field = object.btf().field(input_of(object, c)?, member).filter(|f| f.bit_size == 0);
    field.map(|f| (f.offset, f.size)).ok_or_else(|| format!("the input of {} has no member {member}", c.program))
}

fn store(eval: &mut Evaluator<'_>, object: &Object, c: &CallText, s: &super::Store, i: i64) -> Result<Store, String> {
    let (pointer, 8) = input_member(object, c, &s.at)? else {
        return Err(format!("{} has not the size of a pointer", s.at));
    };
    let mut bytes = Vec::new();
    for j in eval.times(Some(&s.words))? {
        eval.j = j;
        bytes.extend(eval.int(&s.value, i)?.to_le_bytes());
    }
    eval.j = 0;
    Ok(Store { pointer, bytes })
}

fn then(eval: &mut Evaluator<'_>, object: &Object, before: &CallText, c: &CallText, i: i64) -> Result<Then, String> {
    if c.at.is_some() || c.cpu.is_some() || c.times.is_some() {
        return Err("`at`, `cpu` and `for` are those of the call before".to_owned());
    }
    let take = c.take.iter().map(|member| {
        let ((from, size), (to, room)) = (input_member(object, before, member)?, input_member(object, c, member)?);
        Ok((from, to, size.min(room)))
    });
    Ok(Then { take: take.collect::<Result<_, String>>()?, call: call(eval, object, c, i)? })
}
