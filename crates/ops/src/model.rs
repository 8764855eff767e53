//! A kernel version, as objects are loaded against it.

use std::rc::Rc;

use scxr_abi::{KernelModel, KernelVersion};
use scxr_bpf::btf::KernelBtf;

use crate::fields::FieldTables;

/// A modelled kernel version: what sched_ext is there, its BTF, and where the fields are.
pub struct Model {
    /// The table.
    pub kernel: KernelModel,
    /// Its BTF, read back as a real kernel's would be.
    pub btf: KernelBtf,
    pub(crate) fields: FieldTables,
}

impl Model {
    /// The model of `version`. Takes about 2 ms.
    ///
    /// # Panics
    /// If the tables of crate `abi` contradict themselves, which its tests exclude.
    pub fn new(version: KernelVersion) -> Rc<Model> {
        let kernel = KernelModel::new(version);
        let btf = KernelBtf::parse(&kernel.btf()).expect("the model's own BTF");
        let fields = FieldTables::new(&kernel).expect("the structs that every version has");
        Rc::new(Model { kernel, btf, fields })
    }
}
