//! A half without the framework: it opens all that the BPF half has, and says at once what is not as it should be.

use scxr_runtime::{Args, Error, HalfDef, Ns, Runtime};

use crate::policy::shared::{NOTES_MAX, Note};

/// The half.
pub static HALF: HalfDef = HalfDef { name: "maps", main, options: &[] };

fn expect(right: bool, what: &str) -> Result<(), Error> {
    if right { Ok(()) } else { Err(Error::Other(format!("wrong: {what}"))) }
}

/// Waits until it is so.
fn wait(rt: &Runtime<'_>, what: &str, mut done: impl FnMut() -> bool) -> Result<(), Error> {
    let end = rt.now().0 + 400_000_000;
    while !done() {
        expect(rt.now().0 < end && !rt.is_over(), what)?;
        rt.sleep(Ns::from_ms(2));
    }
    Ok(())
}

fn main(rt: &Runtime<'_>, _args: &Args) -> Result<(), Error> {
    expect(rt.global::<u32>("nr_notes").is_err(), "a variable of another size")?;
    expect(rt.map::<i32, u32>("starts").is_err(), "a map of other values")?;
    expect(rt.ringbuf::<Note>("wishes").is_err(), "a ring the other way round")?;
    expect(rt.queue::<u64>("nothing").is_err(), "a queue that is not there")?;
    expect(rt.pid() > 0 && rt.nr_cpus() > 0 && rt.exit_info().is_none(), "the half itself")?;

    let notes = rt.ringbuf::<Note>("notes")?;
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < NOTES_MAX {
        let Some(note) = notes.receive() else {
            expect(rt.poll(Ns::from_ms(200)), "a message wakes the half")?;
            continue;
        };
        expect(note.pid > 0 && note.at.0 > 0, "notes are whole")?;
        numbers.push(note.number);
    }
    numbers.sort_unstable();
    expect(numbers.iter().copied().eq(0..NOTES_MAX as u32), "each note comes once")?;
    expect(!rt.poll(Ns::from_ms(5)) && notes.receive().is_none(), "there are no more")?;

    let wishes = rt.user_ringbuf::<u64>("wishes")?;
    expect(wishes.send(3) && wishes.send(4), "wishes are taken")?;
    let come = rt.global::<u64>("nr_wishes")?;
    wait(rt, "wishes come", || come.get() == 7)?;

    let (questions, answers) = (rt.queue::<u64>("questions")?, rt.queue::<u64>("answers")?);
    wait(rt, "a question", || questions.peek() == Some(7))?;
    expect(questions.pop() == Some(7), "it is taken out")?;
    expect(answers.push(5) && answers.push(6), "answers are taken")?;
    let come = rt.global::<u64>("nr_answers")?;
    wait(rt, "answers come", || come.get() == 11)?;
    expect(answers.pop().is_none(), "they are gone")?;

    let (set, list) = (rt.map::<i32, u64>("set")?, rt.map::<u32, u64>("list")?);
    expect(set.get(1).is_none() && !set.remove(1) && set.keys().is_empty(), "nothing is set")?;
    set.set(1, 40)?;
    set.set(2, 50)?;
    list.set(3, 2)?;
    expect(list.set(4, 1).is_err(), "the list ends")?;
    expect(set.get(1) == Some(40) && list.get(3) == Some(2), "what is set is there")?;
    let mut keys = set.keys();
    keys.sort_unstable();
    expect(keys == [1, 2] && set.remove(2) && set.keys() == [1], "keys")?;
    let seen = rt.global::<u64>("seen")?;
    wait(rt, "programs see it", || seen.get() == 42)?;

    let starts = rt.map::<i32, u64>("starts")?;
    let counts = rt.map::<u32, u64>("counts")?;
    expect(starts.get(rt.pid()).is_some_and(|n| n > 0), "the half has been started")?;
    let all = counts.get_all(1).unwrap_or_default();
    expect(all.len() == rt.nr_cpus() as usize && all.iter().sum::<u64>() > 0, "counts by CPU")?;
    counts.set(0, 9)?;
    expect(counts.get_all(0).is_some_and(|all| all.iter().all(|n| *n == 9)), "all CPUs' values are set")?;
    rt.sched_yield();
    while !rt.is_over() {
        rt.stats(|out| {
            out.number("all well", 1);
            out.time("at", rt.now());
        });
        rt.sleep(Ns::from_ms(10));
    }
    Ok(())
}
