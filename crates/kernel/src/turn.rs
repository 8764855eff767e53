//! CPUs that take turns, as those of a virtual machine do whose time is its instructions: each executes for its part of a round,
//! while the clocks of all go on ([`crate::cost::CostTable::turn`]).

use crate::ids::Ns;

/// When a CPU executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// A time at which a round begins, below `round`.
    pub(crate) from: Ns,
    /// Length of a round, ns.
    pub(crate) round: Ns,
    /// CPUs that share it, 1 at least.
    pub(crate) nr: Ns,
    /// Those of them that come first.
    pub(crate) before: Ns,
}

impl Turn {
    /// Its part of a round, ns.
    fn part(self) -> Ns {
        (self.round / self.nr).max(1)
    }

    /// When it is done that begins at `now` and takes `ns` of executing.
    pub(crate) fn spend(self, now: Ns, ns: Ns) -> Ns {
        if self.nr == 1 {
            return now + ns;
        }
        let part = self.part();
        let begin = (self.from + self.before * part) % self.round;
        let into = (now + self.round - begin) % self.round;
        let (now, left) = match part.checked_sub(into).filter(|left| *left > 0) {
            Some(left) => (now, left),
            None => (now + self.round - into, part),
        };
        if ns <= left {
            return now + ns;
        }
        // The rest of this turn, whole turns, and part of one.
        let rest = ns - left;
        let whole = (rest - 1) / part;
        now + left + (self.round - part) + whole * self.round + (rest - whole * part)
    }

    /// How long a timer that comes at any time of a round waits for this turn; `draw`: any number.
    pub(crate) fn wait(self, draw: Ns) -> Ns {
        (draw % self.round).saturating_sub(self.part())
    }

    /// How much of the turn is over when it begins: a round that was ended has left others less.
    pub(crate) fn into(self, draw: Ns) -> Ns {
        if self.nr == 1 { 0 } else { draw % self.part() }
    }

    /// When rounds begin so that this CPU's turn begins at time `at`.
    pub(crate) fn rounds_from(self, at: Ns) -> Ns {
        (at + self.round - self.before * self.part() % self.round) % self.round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(turn: Turn, now: Ns, ns: Ns, expect: Ns) {
        assert_eq!(turn.spend(now, ns), expect, "{turn:?} {now} {ns}");
    }

    #[test]
    fn a_cpu_waits_for_the_others() {
        let alone = Turn { from: 0, round: 100, nr: 1, before: 0 };
        check(alone, 77, 50, 127);
        // The third of four: 50 to 75 of each hundred.
        let third = Turn { from: 0, round: 100, nr: 4, before: 2 };
        check(third, 50, 25, 75);
        check(third, 60, 15, 75);
        check(third, 60, 16, 151);
        check(third, 60, 40, 175);
        check(third, 60, 41, 251);
        check(third, 75, 0, 150);
        check(third, 0, 1, 51);
        check(third, 1_049, 0, 1_050);
        // On average what is done takes four times as long.
        let total = (0..100_000).fold(0, |now, _| third.spend(now, 7));
        assert!((2_799_900..=2_800_100).contains(&total), "{total}");
    }

    #[test]
    fn timers_wait_for_the_others_turns() {
        let turn = Turn { from: 0, round: 100, nr: 4, before: 2 };
        let waits: Vec<Ns> = (0..100).map(|draw| turn.wait(draw)).collect();
        assert_eq!(waits.iter().filter(|w| **w == 0).count(), 26);
        assert_eq!(waits.iter().max(), Some(&74));
        assert!((0..100).all(|draw| turn.into(draw) < 25));
        assert_eq!(Turn { nr: 1, before: 0, ..turn }.wait(99), 0);
    }

    #[test]
    fn a_turn_begins_where_it_is_told_to() {
        for before in 0..3 {
            for at in [0, 5, 99, 100, 12_345] {
                let turn = Turn { from: 0, round: 100, nr: 3, before };
                let turn = Turn { from: turn.rounds_from(at), ..turn };
                check(turn, at, 0, at);
                check(turn, at, 33, at + 33);
                check(turn, at, 34, at + 101);
            }
        }
    }
}
