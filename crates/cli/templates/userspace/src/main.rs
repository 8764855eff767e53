//! Runs {{name}} on the simulated kernel and shows its statistics: `cargo run -- [MACHINE [WORKLOAD]]`.

use {{crate}}::{OBJECT, user};
use scxr_sim::Sim;

fn main() -> Result<(), scxr_sim::Error> {
    let mut args = std::env::args().skip(1);
    let machine = args.next().unwrap_or_else(|| "8".into());
    let workload = args.next().unwrap_or_else(|| "mixed".into());
    let run = Sim::new(&machine).workload(&workload).duration_ms(1000).half(user::HALF, &[]).object(OBJECT)?;
    print!("{run}");
    Ok(())
}
