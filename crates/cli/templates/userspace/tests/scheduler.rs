//! What {{name}} does on the simulated kernel. Time is simulated there: the same seed gives the same numbers.

use {{crate}}::{NATIVE, OBJECT, user::HALF};
use scxr_sim::{Error, Sim};

/// Nothing goes wrong, and user space decides. A breakpoint in `src/user.rs` stops here.
#[test]
fn it_schedules() -> Result<(), Error> {
    let run = Sim::new("4").half(HALF, &[]).object(OBJECT)?;
    assert!(run.is_healthy() && run.half_ended.is_none(), "{run}");
    assert!(run.global("nr_placed") > 0, "{run}");
    Ok(())
}

/// Eight tasks on one CPU, nice 0 and nice 5 in turn: weights 100 and 33, so three quarters go to the heavier ones.
#[test]
fn it_shares_by_weight() -> Result<(), Error> {
    let sim = Sim::new("1").workload("spin:n=8,nice=0/5").duration_ms(4000);
    let run = sim.half(HALF, &[("slice", 5_000_000)]).object(OBJECT)?;
    let (heavy, light) = (run.cpu_ns("spin+0"), run.cpu_ns("spin+5"));
    let share = 100 * heavy / (heavy + light);
    assert!((72..79).contains(&share), "the heavier tasks got {share} %");
    Ok(())
}

/// The object that is loaded into kernels decides as the code that was tested, event for event.
#[test]
fn bpf_and_native_code_are_twins() -> Result<(), Error> {
    for workload in ["mixed", "schbench", "hackbench:groups=2,fds=4"] {
        let run = Sim::new("2x4").workload(workload).half(HALF, &[]).twins(NATIVE, OBJECT)?;
        assert!(run.is_healthy(), "{workload}: {run}");
    }
    Ok(())
}
