//! What an adapter needs beside the kfuncs themselves: live views of the idle masks, and errors of its own.

use crate::cpumask::CpuMask;
use crate::executor::Kernel;
use crate::ext::exit::prog_error;
use crate::ids::CpuId;
use crate::state::State;

/// The idle mask behind a pointer that a getter returned: of the machine (`node` absent) or of a node, CPUs or whole
/// cores. Empty where the getters fail (H11): tracking is off, or it is per node and the machine's is asked for, or the reverse.
pub fn idle_cpumask_view(k: &State, node: Option<u32>, cores: bool) -> CpuMask {
    let idle = &k.ext.idle;
    if !idle.enabled || idle.per_node != node.is_some() || node.is_some_and(|n| n as usize >= k.topology.nodes.len()) {
        return CpuMask::EMPTY;
    }
    let masks = idle.masks(node);
    if cores && k.topology.has_smt() { masks.smt } else { masks.cpu }
}

/// Round-robin pick from a mask, with the cursor of the running CPU (E4) [cpumask_any_distribute].
pub fn cpumask_any_distribute(k: &mut Kernel, mask: &CpuMask) -> Option<CpuId> {
    k.any_distribute(mask)
}

/// Ejects the scheduler whose program runs for a misuse that an adapter found (kind ERROR).
pub fn scx_abort(k: &mut Kernel, msg: impl Into<String>) {
    prog_error(k, msg);
}
