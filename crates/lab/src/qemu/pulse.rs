//! Whether a guest still lives: how long QEMU has executed since it last said anything.
//!
//! Wall time tells nothing of a guest on a busy host. QEMU's own CPU time does: a guest that lives says so ten times a second of
//! its time, which takes QEMU less than a second, and one whose CPUs all wait for what never comes takes none at all.

use std::time::{Duration, Instant};

/// What a kernel may take to boot without a word, with 64 CPUs.
const BOOT_CPU: Duration = Duration::from_secs(300);
/// Wall time in which a guest takes no CPU time to speak of: it waits for ever.
const STILL_WALL: Duration = Duration::from_secs(30);
const STILL_CPU: Duration = Duration::from_millis(200);
/// How often CPU time is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How a guest came to be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It executes, and says nothing.
    Executes(Duration),
    /// It does nothing at all.
    Still(Duration),
}

/// The signs of life of one guest.
#[derive(Debug)]
pub(super) struct Pulse {
    pid: u32,
    /// CPU time without a word after which it is given up, once it has said that it is up.
    limit: Duration,
    up: bool,
    /// When it last said something.
    heard: Moment,
    /// Since when it takes no CPU time.
    still: Moment,
    looked: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Instant,
    cpu: Duration,
}

impl Pulse {
    pub(super) fn new(pid: u32, limit: Duration) -> Pulse {
        let now = Moment { wall: Instant::now(), cpu: Duration::ZERO };
        Pulse { pid, limit, up: false, heard: now, still: now, looked: now.wall }
    }

    /// It said something; `up`: its init did.
    pub(super) fn heard(&mut self, up: bool) {
        self.up |= up;
        let now = Moment { wall: Instant::now(), cpu: cpu_time(self.pid).unwrap_or(self.heard.cpu) };
        (self.heard, self.still) = (now, now);
    }

    /// Whether it has been silent for too long.
    pub(super) fn silence(&mut self) -> Option<Silence> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        self.judge(Moment { wall: self.looked, cpu: cpu_time(self.pid)? })
    }

    fn judge(&mut self, now: Moment) -> Option<Silence> {
        let limit = if self.up { self.limit } else { self.limit.max(BOOT_CPU) };
        let executed = now.cpu.saturating_sub(self.heard.cpu);
        if executed >= limit {
            return Some(Silence::Executes(executed));
        }
        if now.cpu.saturating_sub(self.still.cpu) >= STILL_CPU {
            self.still = now;
        }
        let still = now.wall.saturating_duration_since(self.still.wall);
        (self.up && still >= STILL_WALL).then_some(Silence::Still(still))
    }
}

/// CPU time of all threads of a process.
fn cpu_time(pid: u32) -> Option<Duration> {
    let ticks = of_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Ticks in user mode and in the kernel: the 14th and the 15th field. The second is a name, which may hold anything.
fn of_stat(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found() {
        let stat = "17 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 200 34 0 0 20 0";
        assert_eq!(of_stat(stat), Some(234));
        assert_eq!(of_stat("17 (a"), None);
        assert!(cpu_time(std::process::id()).is_some());
    }

    /// Times are in seconds after the guest's start: wall, CPU.
    fn check(up: bool, looks: &[(u64, u64)], expect: Option<Silence>) {
        let mut pulse = Pulse::new(0, Duration::from_secs(20));
        pulse.up = up;
        let start = pulse.heard.wall;
        let judged = looks.iter().map(|(wall, cpu)| {
            pulse.judge(Moment { wall: start + Duration::from_secs(*wall), cpu: Duration::from_secs(*cpu) })
        });
        assert_eq!(judged.last().flatten(), expect, "{up} {looks:?}");
    }

    #[test]
    fn silence_is_measured_in_what_was_executed() {
        check(true, &[(5, 5), (19, 19)], None);
        check(true, &[(10, 10), (20, 20)], Some(Silence::Executes(Duration::from_secs(20))));
        // A busy host.
        check(true, &[(20, 1), (40, 2), (60, 3)], None);
        // A guest that waits for ever.
        check(true, &[(3, 1), (20, 1), (34, 1)], Some(Silence::Still(Duration::from_secs(31))));
        // Before it is up there is more time.
        check(false, &[(60, 60)], None);
        check(false, &[(330, 300)], Some(Silence::Executes(Duration::from_secs(300))));
    }
}
