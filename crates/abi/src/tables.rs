//! The tables, in the order in which they are read. Order does not matter to C declarations here: names may be used
//! before they are defined.

/// File name and text of each table.
pub(crate) const ALL: [(&str, &str); 8] = [
    ("base.h", include_str!("tables/base.h")),
    ("enums.h", include_str!("tables/enums.h")),
    ("ops.h", include_str!("tables/ops.h")),
    ("scx.h", include_str!("tables/scx.h")),
    ("task.h", include_str!("tables/task.h")),
    ("kernel.h", include_str!("tables/kernel.h")),
    ("kfuncs.h", include_str!("tables/kfuncs.h")),
    ("trace.h", include_str!("tables/trace.h")),
];
