//! Sinks: keep, count, pass on.

use std::collections::VecDeque;

use crate::event::{Event, EventKind, Sink};

/// Keeps events in memory: all, or the newest so many.
#[derive(Debug, Default)]
pub struct Recorder {
    events: VecDeque<Event>,
    /// Most that are kept; 0: all.
    capacity: usize,
    dropped: u64,
}

impl Recorder {
    /// Keeps all events.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// Keeps the newest `capacity` events.
    pub fn bounded(capacity: usize) -> Recorder {
        Recorder { capacity: capacity.max(1), ..Recorder::default() }
    }

    /// How many old events gave way to new ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Number of events kept.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events in order of time; those of the same time in the order in which they were emitted.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = std::mem::take(&mut self.events).into();
        events.sort_by_key(|e| e.t);
        events
    }
}

impl Sink for Recorder {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        if self.capacity != 0 && self.events.len() == self.capacity {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(Event { t, cpu, kind });
    }
}

/// Counts events by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    counts: [u64; EventKind::NAMES.len()],
}

impl Counter {
    /// Name and number of each kind, in the order of the schema.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        EventKind::NAMES.into_iter().zip(self.counts)
    }

    /// Number of events of the kind with this name; 0 for a name that there is not.
    pub fn count(&self, name: &str) -> u64 {
        self.counts().find(|c| c.0 == name).map_or(0, |c| c.1)
    }

    /// Number of events.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Sink for Counter {
    #[inline]
    fn event(&mut self, _t: u64, _cpu: u32, kind: EventKind) {
        self.counts[kind.index()] += 1;
    }
}

/// Gives each event to several sinks, in their order.
#[derive(Default)]
pub struct Tee<'a> {
    sinks: Vec<Box<dyn Sink + 'a>>,
}

impl<'a> Tee<'a> {
    /// No sink yet.
    pub fn new() -> Tee<'a> {
        Tee::default()
    }

    /// And this one.
    pub fn and(mut self, sink: impl Sink + 'a) -> Tee<'a> {
        self.sinks.push(Box::new(sink));
        self
    }
}

impl Sink for Tee<'_> {
    fn event(&mut self, t: u64, cpu: u32, kind: EventKind) {
        let Some((last, others)) = self.sinks.split_last_mut() else {
            return;
        };
        for sink in others {
            sink.event(t, cpu, kind.clone());
        }
        last.event(t, cpu, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn a_recorder_sorts_by_time_and_keeps_the_order_of_emission() {
        let mut r = Recorder::new();
        for (t, cpu) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            r.event(t, cpu, EventKind::IdleIn);
        }
        let order: Vec<_> = r.finish().iter().map(|e| (e.t, e.cpu)).collect();
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }

    #[test]
    fn a_bounded_recorder_keeps_the_newest() {
        let mut r = Recorder::bounded(2);
        (0..5).for_each(|t| r.event(t, 0, EventKind::IdleIn));
        assert_eq!((r.len(), r.dropped()), (2, 3));
        let times: Vec<_> = r.finish().iter().map(|e| e.t).collect();
        assert_eq!(times, [3, 4]);
    }

    #[test]
    fn a_tee_gives_to_all() {
        let (a, b) = (Rc::new(RefCell::new(Counter::default())), Rc::new(RefCell::new(Counter::default())));
        let mut tee = Tee::new().and(Rc::clone(&a)).and(Rc::clone(&b));
        tee.event(1, 0, EventKind::IdleIn);
        tee.event(2, 0, EventKind::Exit { pid: 1 });
        assert_eq!(a.borrow().total(), 2);
        assert_eq!(b.borrow().count("exit"), 1);
        assert_eq!(*a.borrow(), *b.borrow());
    }
}
