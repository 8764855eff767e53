//! BTF: the type information of objects and kernels. Raw bytes in, checked tables out; nothing in a parsed [`Btf`]
//! points outside it, and every walk over types is bounded, so that no input can make it panic or loop.

mod compat;
mod ext;
mod kernel;
mod parse;
mod query;
mod types;

pub use compat::{types_compatible, types_match};
pub use ext::{BtfExt, CoreRecord, CoreRelocKind, FuncRecord, LineRecord};
pub use kernel::{FuncProto, KernelBtf};
pub use parse::BtfError;
pub(crate) use query::DEPTH_MAX;
pub use query::{Field, essential_name};
pub use types::{Btf, EnumValue, IntEncoding, Kind, Linkage, Member, Param, SecVar, Type, TypeId};
