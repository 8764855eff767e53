//! What host and guest tell each other: the command line one way (a file), events the other (lines of JSON on a port).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the guest's init finds its specification.
pub const SPEC_PATH: &str = "/scxr/guest.json";

/// The guest's virtio-console ports, by name.
pub(crate) mod port {
    /// Events, lines of JSON.
    pub(crate) const EVENTS: &str = "scxr.events";
    /// The program's standard output.
    pub(crate) const STDOUT: &str = "scxr.stdout";
    /// The program's standard error.
    pub(crate) const STDERR: &str = "scxr.stderr";
    /// The kernel's log, once the program is done.
    pub(crate) const KMSG: &str = "scxr.kmsg";
    /// All of them.
    pub(crate) const ALL: [&str; 4] = [EVENTS, STDOUT, STDERR, KMSG];
}

/// What the guest's init runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// Program (a path in the guest) and arguments.
    pub argv: Vec<String>,
    /// Environment, complete.
    pub env: BTreeMap<String, String>,
    /// The folder it starts in.
    pub cwd: String,
    /// How long it may run, guest time, ns; it is killed then. 0: as long as it likes.
    pub limit_ns: u64,
    /// How often the guest says that it is alive, guest time, ns. 0: never.
    pub beat_ns: u64,
}

impl GuestSpec {
    /// This command line, in `/`, with a minimal environment, no limit, and a beat every guest second.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> GuestSpec {
        let env = [("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"), ("HOME", "/root"), ("LC_ALL", "C.UTF-8")];
        GuestSpec {
            argv: argv.into_iter().map(Into::into).collect(),
            env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            cwd: "/".into(),
            limit_ns: 0,
            beat_ns: 1_000_000_000,
        }
    }
}

/// What the guest reports. `ns`: guest time since its boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GuestEvent {
    /// Everything is mounted, the program is about to start.
    Up {
        /// When.
        ns: u64,
    },
    /// A file system that the kernel may lack could not be mounted.
    NotMounted {
        /// Where.
        target: String,
        /// Why.
        reason: String,
    },
    /// The guest is alive.
    Beat {
        /// When.
        ns: u64,
    },
    /// The program could not be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The program ended.
    Exit {
        /// Its exit status; `None`: a signal ended it.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
        /// It was killed because its time was up.
        timed_out: bool,
        /// When.
        ns: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_of_json() {
        for (event, text) in [
            (GuestEvent::Up { ns: 5 }, r#"{"event":"up","ns":5}"#),
            (
                GuestEvent::Exit { code: None, signal: Some(9), timed_out: true, ns: 7 },
                r#"{"event":"exit","code":null,"signal":9,"timed_out":true,"ns":7}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
            assert_eq!(serde_json::from_str::<GuestEvent>(text).unwrap(), event);
        }
    }
}
