//! What came of a job, and how it is written down: a line of JSON, then the pages of each CPU's trace buffer as they are.

use std::io::{self, Read, Write};

use scxr_trace::Sink;
use scxr_trace::ftrace::{FormatError, Formats, Imported, Importer, KnownTask, import};
use serde::{Deserialize, Serialize};

use crate::class::ClassState;
use crate::exec::ExecRecord;
use crate::half::HalfRecord;
use crate::loader::LoadError;
use crate::program::ProgramRecord;

/// Version of the form.
const SCHEMA: &str = "scxr-record/3";
/// Bytes of JSON at most: what is longer is none of ours.
const HEAD_MAX: u64 = 1 << 30;

/// How a scheduler's time ended, in the kernel's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Name of the kind without its prefix, in lower case; `none`: it goes on.
    pub kind: String,
    /// Exit code.
    pub code: i64,
    /// Reason.
    pub reason: String,
    /// Details.
    pub msg: String,
    /// Backtrace, one symbol a line.
    pub bt: Vec<String>,
}

/// The place of a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Core.
    pub core: u32,
    /// Last-level cache.
    pub llc: u32,
    /// NUMA node.
    pub node: u32,
}

/// A map's values: for each key one for each CPU, or the only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapDump {
    /// Its name, as libbpf has it.
    pub name: String,
    /// Bytes of a value.
    pub value_size: u32,
    /// Values.
    pub keys: Vec<Vec<Vec<u8>>>,
}

/// The part of a record that is JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the form.
    pub schema: String,
    /// The kernel's release.
    pub release: String,
    /// Its CPUs.
    pub places: Vec<Place>,
    /// CPUs that were offline at the end.
    #[serde(default)]
    pub offline: Vec<u32>,
    /// Why the object was not loaded; nothing ran then.
    pub refused: Option<LoadError>,
    /// How the scheduler's time ended.
    pub exit: Exit,
    /// Ends after which the scheduler was started again, as it had asked for.
    pub restarts: Vec<Exit>,
    /// The class's counters.
    pub counters: Vec<(String, i64)>,
    /// The class's state at the end, the scheduler still attached.
    pub class: Option<ClassState>,
    /// When the workload began, CLOCK_MONOTONIC, ns.
    pub start_ns: u64,
    /// When the run ended.
    pub end_ns: u64,
    /// It was ended before its time, from outside.
    pub stopped: bool,
    /// Tasks of the workload.
    pub tasks: Vec<KnownTask>,
    /// What the program did that was the workload.
    pub exec: Option<ExecRecord>,
    /// What the program did that is the scheduler.
    #[serde(default)]
    pub program: Option<ProgramRecord>,
    /// Operations: time, pid, latency, ns.
    pub work: Vec<(u64, u32, u64)>,
    /// Maps, where they were asked for.
    pub maps: Vec<MapDump>,
    /// What the scheduler's user-space half did.
    #[serde(default)]
    pub half: Option<HalfRecord>,
    /// What its variables were now and then, where it has no half that gives figures: since the start, ns.
    #[serde(default)]
    pub samples: Vec<(u64, Vec<MapDump>)>,
    /// What was to happen and could not.
    pub missed: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Tracepoints and their formats.
    pub formats: Vec<(String, String)>,
    /// For each CPU, the number of pages that follow.
    pub(crate) nr_pages: Vec<usize>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It ends early, or cannot be read.
    #[error("the record is cut short or cannot be read: {source}")]
    Io {
        /// Why.
        #[from]
        source: io::Error,
    },
    /// Its head is no JSON of ours.
    #[error("the record is none of this version: {reason}")]
    Head {
        /// Why.
        reason: String,
    },
    /// A tracepoint's format cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// A record with its pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// All but the pages.
    pub record: Record,
    /// Pages of each CPU.
    pub pages: Vec<Vec<Vec<u8>>>,
}

impl Recording {
    /// Writes it down.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut head = self.record.clone();
        head.schema = SCHEMA.into();
        head.nr_pages = self.pages.iter().map(Vec::len).collect();
        let text = serde_json::to_vec(&head)?;
        to.write_all(&(text.len() as u64).to_le_bytes())?;
        to.write_all(&text)?;
        for page in self.pages.iter().flatten() {
            to.write_all(&(page.len() as u32).to_le_bytes())?;
            to.write_all(page)?;
        }
        to.flush()
    }

    /// Reads what [`Recording::write`] wrote.
    pub fn read(from: &mut dyn Read) -> Result<Recording, RecordError> {
        let mut word = [0; 8];
        from.read_exact(&mut word)?;
        let len = u64::from_le_bytes(word);
        let head_error = |reason: String| RecordError::Head { reason };
        if len > HEAD_MAX {
            return Err(head_error("it does not begin with a length".into()));
        }
        let mut text = vec![0; len as usize];
        from.read_exact(&mut text)?;
        let record: Record = serde_json::from_slice(&text).map_err(|e| head_error(e.to_string()))?;
        if record.schema != SCHEMA {
            return Err(head_error(format!("it is {}, not {SCHEMA}", record.schema)));
        }
        let mut page = || -> io::Result<Vec<u8>> {
            let mut len = [0; 4];
            from.read_exact(&mut len)?;
            let mut bytes = vec![0; u32::from_le_bytes(len).min(1 << 20) as usize];
            from.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let of_cpu = |&nr: &usize| (0..nr).map(|_| page()).collect::<io::Result<Vec<_>>>();
        let pages = record.nr_pages.clone().iter().map(of_cpu).collect::<io::Result<_>>()?;
        Ok(Recording { record, pages })
    }

    /// Tells the events of the run to `sink`; time 0 is when the workload began.
    pub fn events(&self, sink: &mut dyn Sink) -> Result<Imported, RecordError> {
        let mut formats = Formats::default();
        for (event, text) in &self.record.formats {
            formats.add(event, text)?;
        }
        let r = &self.record;
        let from = Importer {
            formats,
            start_ns: r.start_ns,
            end_ns: r.end_ns,
            tasks: r.tasks.clone(),
            offline: r.offline.clone(),
            work: r.work.clone(),
        };
        Ok(import(&from, &self.pages, sink))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_written() {
        let record =
            Record { schema: SCHEMA.into(), release: "7.2".into(), nr_pages: vec![2, 0, 1], ..Record::default() };
        let one = Recording { record, pages: vec![vec![vec![1, 2], vec![]], vec![], vec![vec![3]]] };
        let mut bytes = Vec::new();
        one.write(&mut bytes).unwrap();
        assert_eq!(Recording::read(&mut &bytes[..]).unwrap(), one);
        for cut in 0..bytes.len() {
            assert!(Recording::read(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(Recording::read(&mut &[0xff; 64][..]), Err(RecordError::Head { .. })));
    }
}
