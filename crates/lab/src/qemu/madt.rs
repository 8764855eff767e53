//! The order in which a guest's kernel numbers its CPUs, where cores have several threads.
//!
//! A kernel numbers CPUs in the order of the firmware's table of interrupt controllers (MADT). Real firmware lists the
//! first threads of all cores before the second ones, as our simulated machines do; QEMU lists them core by core. So the guest is
//! given a table of our own: a kernel takes one from its initramfs in place of the firmware's where it is newer
//! (CONFIG_ACPI_TABLE_UPGRADE, Documentation/admin-guide/acpi/initrd_table_override.rst).

use super::shape::Shape;

/// Where a kernel looks for it.
pub(super) const PATH: &str = "/kernel/firmware/acpi/madt.aml";
/// One more than that of QEMU's table.
const REVISION: u32 = 2;
/// Length of a table's header.
const HEADER: usize = 36;
/// Highest id that an entry of this form holds.
const APIC_ID_MAX: u32 = 254;
/// The rest of QEMU's own table for this machine: the I/O controller, and how its lines are wired.
const WIRING: [&[u8]; 7] = [
    &[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
    &[2, 10, 0, 5, 5, 0, 0, 0, 13, 0],
    &[2, 10, 0, 9, 9, 0, 0, 0, 13, 0],
    &[2, 10, 0, 10, 10, 0, 0, 0, 13, 0],
    &[2, 10, 0, 11, 11, 0, 0, 0, 13, 0],
    &[4, 6, 0xff, 0, 0, 1],
];

/// The table for a machine; `None`: QEMU's own has the right order, or a table of this form cannot hold it. `dies`: the guest
/// is shown dies; else each is a package.
pub(super) fn table(shape: &Shape, dies: bool) -> Option<Vec<u8>> {
    if shape.threads < 2 {
        return None;
    }
    let nr_cores = shape.sockets * shape.dies * shape.cores;
    let mut body = Vec::new();
    for thread in 0..shape.threads {
        for core in 0..nr_cores {
            let (cpu, apic) = (core * shape.threads + thread, apic_id(shape, core, thread, dies));
            if apic > APIC_ID_MAX || cpu > APIC_ID_MAX {
                return None;
            }
            body.extend([0, 8, cpu as u8, apic as u8, 1, 0, 0, 0]);
        }
    }
    WIRING.iter().for_each(|entry| body.extend_from_slice(entry));
    let mut out = b"APIC".to_vec();
    // Address of the CPUs' own controllers; a PC has the old ones, too.
    let (controllers, old) = (0xfee0_0000u32, 1u32);
    out.extend(((HEADER + 8 + body.len()) as u32).to_le_bytes());
    out.extend([3, 0]);
    out.extend(b"BOCHS BXPC    ");
    out.extend(REVISION.to_le_bytes());
    out.extend(b"BXPC");
    out.extend(1u32.to_le_bytes());
    out.extend(controllers.to_le_bytes());
    out.extend(old.to_le_bytes());
    out.extend(body);
    let sum = out.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    out[9] = sum.wrapping_neg();
    Some(out)
}

/// The id that QEMU gives a CPU: thread, core, die and package, each in as many bits as it needs.
fn apic_id(shape: &Shape, core: u32, thread: u32, dies: bool) -> u32 {
    let bits = |n: u32| n.next_power_of_two().trailing_zeros();
    let (die, core) = (core / shape.cores, core % shape.cores);
    let (package, die, die_bits) = match dies {
        true => (die / shape.dies, die % shape.dies, bits(shape.dies)),
        false => (die, 0, 0),
    };
    let id = (package << die_bits) | die;
    (((id << bits(shape.cores)) | core) << bits(shape.threads)) | thread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_threads_come_first() {
        let shape = Shape { sockets: 1, dies: 2, cores: 3, threads: 2, nodes: 1, distances: Vec::new() };
        let table = table(&shape, true).unwrap();
        assert_eq!(table.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0);
        assert_eq!(u32::from_le_bytes(table[4..8].try_into().unwrap()) as usize, table.len());
        let cpus: Vec<(u8, u8)> = table[44..44 + 12 * 8].chunks(8).map(|e| (e[2], e[3])).collect();
        let first = [(0, 0), (2, 2), (4, 4), (6, 8), (8, 10), (10, 12)];
        let second = first.map(|(cpu, apic)| (cpu + 1, apic + 1));
        assert_eq!(cpus, [first, second].concat());
        assert_eq!(super::table(&Shape { threads: 1, ..shape }, true), None);
    }
}
