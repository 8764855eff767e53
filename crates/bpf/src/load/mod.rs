//! From an object's bytes to an [`Image`](crate::image::Image).
//!
//! [`Object::parse`] reads ELF, BTF and BTF.ext and depends on no kernel: it can be inspected and edited
//! ([`Object::set_global`], [`Object::resize_map`], [`Object::set_struct_ops_member`], all in one: [`Object::change`]). [`Object::load`] resolves it
//! against a kernel's BTF, by the rules of libbpf: externs, CO-RE, struct_ops. Neither panics on any input.

mod changes;
mod core_patch;
mod core_relo;
mod core_spec;
mod edit;
mod elf;
mod error;
mod externs;
mod inspect;
mod link;
mod maps;
mod members;
mod object;
mod ops;
mod reach;
mod resolve;
mod said;
mod value;

pub use changes::{Changes, InnerShape};
pub use edit::GlobalValue;
pub use error::LoadError;
pub use externs::KconfigValue;
pub use inspect::{CoreInfo, ExternInfo, ExternKind, GlobalInfo, MapInfo, ProgramInfo, StructOpsInfo};
pub use object::Object;
pub use resolve::LoadOptions;
pub use said::{MemberInfo, Said};
