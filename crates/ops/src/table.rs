//! A struct_ops table on its way into the kernel: what registration and the verifier check.

use std::collections::{BTreeMap, BTreeSet};

use scxr_abi::{Caller, Form};
use scxr_bpf::image::{Image, OpsMember, ProgramKind, StructOps, pseudo};
use scxr_bpf::load::LoadError;
use scxr_bpf::vm::map_type;
use scxr_kernel::ext::ops::{Op, OpSet, OpsAttrs};

use crate::load::OpsError;
use crate::model::Model;
use crate::nullable;

/// A struct_ops table on its way into the kernel.
pub(crate) struct Table<'a> {
    object: &'a str,
    image: &'a Image,
    model: &'a Model,
    ops: &'a StructOps,
    form: Form,
}

/// Name of an operation in a table of that form (E-21).
pub(crate) fn op_name(form: Form, op: Op) -> &'static str {
    match (form, op) {
        (Form::Cid, Op::select_cpu) => "select_cid",
        (Form::Cid, Op::set_cpumask) => "set_cmask",
        (Form::Cid, Op::dump_cpu) => "dump_cid",
        (Form::Cid, Op::cpu_online) => "cid_online",
        (Form::Cid, Op::cpu_offline) => "cid_offline",
        _ => op.name(),
    }
}

impl<'a> Table<'a> {
    /// The table with that name, or the only one.
    pub(crate) fn chosen(
        object: &'a str,
        image: &'a Image,
        model: &'a Model,
        name: Option<&str>,
    ) -> Result<Table<'a>, OpsError> {
        let refuse = |what| Err(OpsError::Refused { object: object.into(), what });
        let ops = match (image.struct_ops.as_slice(), name) {
            ([one], None) => one,
            (all, None) => return refuse(format!("{} struct_ops tables; one is expected", all.len())),
            (all, Some(name)) => match all.iter().find(|o| o.name == name) {
                Some(ops) => ops,
                None => return refuse(format!("no struct_ops table is called {name}")),
            },
        };
        let form = match ops.type_name.as_str() {
            "sched_ext_ops" => Form::Cpu,
            "sched_ext_ops_cid" => Form::Cid,
            other => {
                return refuse(format!("struct {other} is not a scheduler; the class takes struct sched_ext_ops"));
            }
        };
        Ok(Table { object, image, model, ops, form })
    }

    fn refuse<T>(&self, what: String) -> Result<T, OpsError> {
        Err(OpsError::Refused { object: self.object.into(), what })
    }

    fn not_yet<T>(&self, what: String) -> Result<T, OpsError> {
        Err(OpsError::Object(LoadError::NotYet { object: self.object.into(), what }))
    }

    /// The program of each operation, by [`Op`]; sleepable ones only where the kernel allows it (E-24).
    pub(crate) fn programs(&self) -> Result<Vec<Option<usize>>, OpsError> {
        let mut programs = vec![None; Op::ALL.len()];
        for (name, member) in &self.ops.members {
            let OpsMember::Program(index) = member else { continue };
            let known = Op::ALL.iter().find(|&&op| op_name(self.form, op) == name);
            let Some(op) = known else {
                return self.not_yet(format!("ops.{name}"));
            };
            let may_sleep = self.model.kernel.op(self.form, name).is_some_and(|m| m.sleepable);
            let program = &self.image.programs[*index];
            if program.sleepable && !may_sleep {
                let what = format!("program {} is sleepable, but ops.{name} may not sleep (-EINVAL)", program.name);
                return self.refuse(what);
            }
            programs[*op as usize] = Some(*index);
        }
        Ok(programs)
    }

    /// The data members, checked as at registration (E-23).
    pub(crate) fn attrs(&self, programs: &[Option<usize>]) -> Result<OpsAttrs, OpsError> {
        let ops = self.ops;
        let data = |name: &str| {
            ops.members.iter().find_map(|(n, m)| match m {
                OpsMember::Data(bytes) if n == name => Some(bytes.as_slice()),
                _ => None,
            })
        };
        let int =
            |name: &str| data(name).map_or(0, |b| b.iter().take(8).rev().fold(0u64, |a, x| a << 8 | u64::from(*x)));
        let bytes = data("name").unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
        if name.is_empty() {
            return self.refuse(format!(
                "struct_ops {}: .name is empty; it is the one mandatory member: add .name = \"my_scheduler\" to the table (-EINVAL)",
                ops.name
            ));
        }
        if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_' && *c != '.') {
            return self.refuse(format!(
                "struct_ops {}: .name has the character '{bad}'; letters, digits, _ and . are allowed (-EINVAL)",
                ops.name
            ));
        }
        let flags = int("flags");
        let known = self.model.kernel.constant("SCX_OPS_ALL_FLAGS").unwrap_or(0x1ff);
        if flags & !known != 0 {
            return self.refuse(format!(
                "struct_ops {}: unknown bits in .flags: {:#x} (-EINVAL)",
                ops.name,
                flags & !known
            ));
        }
        let timeout_ms = int("timeout_ms");
        if timeout_ms > 30_000 {
            return self
                .refuse(format!("struct_ops {}: .timeout_ms is {timeout_ms}; at most 30000 (-E2BIG)", ops.name));
        }
        let batch = int("dispatch_max_batch");
        if batch > i32::MAX as u64 {
            return self.refuse(format!("struct_ops {}: .dispatch_max_batch is {batch}; too large (-E2BIG)", ops.name));
        }
        let set = |set: OpSet, op: &Op| if programs[*op as usize].is_some() { set.with(*op) } else { set };
        Ok(OpsAttrs {
            name,
            cid: self.form == Form::Cid,
            flags,
            timeout_ms: timeout_ms as u32,
            dispatch_max_batch: batch as u32,
            exit_dump_len: int("exit_dump_len") as u32,
            hotplug_seq: int("hotplug_seq"),
            sub_cgroup_id: int("sub_cgroup_id"),
            ops: Op::ALL.iter().fold(OpSet::default(), set),
        })
    }

    /// Each program calls only what the kernel allows in its operation (E-28 to E-30).
    pub(crate) fn check_contexts(&self, programs: &[Option<usize>]) -> Result<(), OpsError> {
        for (op, program) in Op::ALL.iter().zip(programs) {
            if let Some(index) = program {
                let name = op_name(self.form, *op);
                self.check_calls(*index, Caller::Op(self.form, name), &format!("ops.{name}"))?;
                self.check_nullable(*index, name)?;
            }
        }
        for (index, program) in self.image.programs.iter().enumerate() {
            if program.kind == ProgramKind::Syscall {
                self.check_calls(index, Caller::Syscall, "a syscall program")?;
            }
        }
        Ok(())
    }

    /// The arena that all programs of a cid-form table use, one and the same (idle-and-cid M1) [bpf_scx_reg_cid].
    pub(crate) fn arena(&self, programs: &[Option<usize>]) -> Result<Option<usize>, OpsError> {
        if self.form == Form::Cpu {
            return Ok(None);
        }
        let arenas = self.image.maps.iter().enumerate().filter(|(_, m)| m.map_type == map_type::ARENA);
        let used: BTreeSet<usize> =
            programs.iter().flatten().flat_map(|p| self.reachable(self.image.programs[*p].func).maps).collect();
        let mut arenas = arenas.map(|(index, _)| index).filter(|index| used.contains(index));
        match (arenas.next(), arenas.next()) {
            (Some(arena), None) => Ok(Some(arena)),
            (None, _) => self.refuse(format!(
                "struct_ops {}: a table of struct sched_ext_ops_cid needs programs that use an arena (-EINVAL)",
                self.ops.name
            )),
            (Some(_), Some(_)) => {
                self.refuse(format!("struct_ops {}: its programs use more than one arena (-EINVAL)", self.ops.name))
            }
        }
    }

    /// Arguments that may be NULL are tested before they are followed, as the verifier demands.
    fn check_nullable(&self, program: usize, op: &str) -> Result<(), OpsError> {
        let Some(callback) = self.model.kernel.op(self.form, op).and_then(|m| m.callback.as_ref()) else {
            return Ok(());
        };
        for (at, arg) in callback.args.iter().enumerate().filter(|(_, arg)| arg.nullable) {
            let program = &self.image.programs[program];
            if let Some(slot) = nullable::followed_unchecked(self.image, program.func, at) {
                let arg = arg.name.trim_end_matches("__nullable");
                let place = self.image.funcs[program.func].lines.iter().rfind(|l| l.slot <= slot);
                let place = place.map_or_else(String::new, |l| format!(" at {}:{}: {}", l.file, l.line, l.text.trim()));
                return self.refuse(format!(
                    "program {}: argument {arg} of ops.{op} may be NULL and is followed without a test{place} (-EACCES)",
                    program.name
                ));
            }
        }
        Ok(())
    }

    fn check_calls(&self, program: usize, caller: Caller<'_>, place: &str) -> Result<(), OpsError> {
        for kfunc in self.reachable(self.image.programs[program].func).kfuncs {
            // Numbers out of range come from corrupt code, which the machine refuses.
            let Some(kfunc) = self.image.kfuncs.get(kfunc) else { continue };
            let exists = kfunc.kernel_btf_id.is_some();
            if exists && !self.model.kernel.kfunc_allowed(caller, &kfunc.name) {
                let name = &self.image.programs[program].name;
                let what = format!(
                    "program {name}: calling kernel function {} is not allowed in {place} (-EACCES)",
                    kfunc.name
                );
                return self.refuse(what);
            }
        }
        Ok(())
    }

    /// What a function, its callees and callbacks use.
    fn reachable(&self, entry: usize) -> Used {
        const CALL: u8 = 0x85;
        const LD_IMM64: u8 = 0x18;
        let image = self.image;
        let by_start: BTreeMap<u32, usize> = image.funcs.iter().enumerate().map(|(i, f)| (f.start, i)).collect();
        let (mut todo, mut seen, mut used) = (vec![entry], BTreeSet::new(), Used::default());
        while let Some(func) = todo.pop() {
            if !seen.insert(func) {
                continue;
            }
            let Some(f) = image.funcs.get(func) else { continue };
            for slot in f.start..f.start + f.len {
                let insn = image.text[slot as usize];
                match (insn.code, insn.src) {
                    (CALL, pseudo::KFUNC_CALL) => {
                        used.kfuncs.insert(insn.imm as usize);
                    }
                    (CALL, pseudo::CALL) => {
                        let target = (i64::from(slot) + 1 + i64::from(insn.imm)) as u32;
                        todo.extend(by_start.get(&target));
                    }
                    (LD_IMM64, pseudo::FUNC) => todo.push(insn.imm as usize),
                    (LD_IMM64, pseudo::MAP_FD | pseudo::MAP_VALUE) => {
                        used.maps.insert(insn.imm as usize);
                    }
                    _ => {}
                }
            }
        }
        used
    }
}

/// Kfuncs and maps, by number.
#[derive(Default)]
struct Used {
    kfuncs: BTreeSet<usize>,
    maps: BTreeSet<usize>,
}
