//! Queues of removed cgroups, for policies that keep a queue for each cgroup: they are ended once nobody can be looking at them any more. A part of
//! such a policy, which has the state: [`DEAD`] and the variables beside it.

use scxr_policy::prelude::*;

use super::{BURYING, DEAD, NR_DEAD, NR_NOT_BURIED, RIPE, UNDERTAKER, is_known, queue};

/// How often the timer looks while there are such queues: each is ended after one to two times that.
const BEAT: Ns = Ns::from_ms(1000);
/// `EEXIST`.
const EXISTS: i32 = -17;

/// A cgroup's queue. One of an earlier cgroup with the same id is used on; that of the root may be there before the root is told of.
#[inline(always)]
pub(crate) fn make_queue(cx: &Init, cgid: u64) -> Result<(), Errno> {
    match queue(cgid).create(cx) {
        Err(errno) if errno.0 != EXISTS => Err(errno),
        _ => Ok(()),
    }
}

/// A cgroup is gone: its queue goes later. (The timer runs already where another one went less than a beat ago: it is not put off.)
#[inline(always)]
pub(crate) fn removed(cgid: u64) {
    if !DEAD.push(cgid) {
        NR_NOT_BURIED.fetch_add(1);
        return;
    }
    NR_DEAD.fetch_add(1);
    begin();
}

#[inline(always)]
fn begin() {
    if BURYING.swap(1) == 0 && !UNDERTAKER.start(BEAT, bury) {
        // the next one that goes tries again
        BURYING.swap(0);
    }
}

/// Ends what was there at the last beat. A queue that is in use again stays; one with tasks still in it waits another time.
fn bury(_cx: &Unlocked) {
    for _ in bounded!(0..RIPE.get() as i32 & 0x1fff) {
        let Some(cgid) = DEAD.pop() else { break };
        NR_DEAD.fetch_sub(1);
        if is_known(cgid) {
            continue;
        }
        if queue(cgid).nr_queued() != Ok(0) && DEAD.push(cgid) {
            NR_DEAD.fetch_add(1);
            continue;
        }
        queue(cgid).destroy();
    }
    RIPE.set(NR_DEAD.get());
    BURYING.swap(0);
    if NR_DEAD.get() > 0 {
        begin();
    }
}
