//! `scxr kernels`: which kernels there are, which can run schedulers, and fetching them.

use std::io::IsTerminal as _;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scxr_lab::kernels::{
    AptError, Judgement, Kernel, KernelError, KernelSpec, Listed, Origin, Progress, Series, Store, default_cache,
};
use serde::Serialize;

use crate::args::{KernelsArgs, KernelsCommand};
use crate::failure::{Failure, Outcome, Result};
use crate::report;

/// Schema of `kernels --json`.
const SCHEMA: &str = "scxr-kernels/1";

/// A kernel, as it is reported.
#[derive(Debug, Serialize)]
struct Row {
    release: String,
    /// `host`, `path`, or the suite of the archive.
    origin: String,
    /// Whether it is here; false: it would have to be fetched.
    cached: bool,
    /// Size of its package, bytes; null where it is not known.
    package_bytes: Option<u64>,
    image: Option<String>,
    /// Whether it runs schedulers; null: not known before it is fetched.
    usable: Option<bool>,
    class: Option<bool>,
    cgroups: Option<bool>,
    sub_schedulers: Option<bool>,
    core_scheduling: Option<bool>,
    /// Why it cannot be used, and the way out.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    cache: String,
    kernels: Vec<Row>,
}

/// Lists, judges or fetches.
pub(crate) fn kernels(args: &KernelsArgs) -> Result<Outcome> {
    let store = store()?;
    let rows = match (&args.command, &args.kernel) {
        (Some(KernelsCommand::Fetch { series }), _) => fetch(&store, series, args.quiet)?,
        (None, Some(spec)) => vec![of_kernel(&resolve(&store, spec, args.quiet)?)],
        (None, None) => list(&store, args)?,
    };
    let fault = args.command.is_none() && args.kernel.is_some() && rows.iter().any(|r| r.usable == Some(false));
    if args.json {
        let cache = default_cache().map_err(failure)?.display().to_string();
        report::print(&report::json_text(&Report { schema: SCHEMA, cache, kernels: rows }))?;
    } else {
        report::print(&text(&rows))?;
    }
    Ok(if fault { Outcome::SchedulerAtFault } else { Outcome::Fine })
}

/// The cache of this user.
pub(crate) fn store() -> Result<Store> {
    Ok(Store::new(default_cache().map_err(failure)?))
}

/// The kernel that `--kernel` asks for; fetched where it is not here yet.
pub(crate) fn resolve(store: &Store, spec: &str, quiet: bool) -> Result<Kernel> {
    let spec: KernelSpec = spec.parse().map_err(|e| Failure::input(format_args!("--kernel: {e}")))?;
    let mut bar = Bar::new(quiet);
    let kernel = store.resolve(&spec, &mut |p| bar.show(&p));
    bar.end();
    kernel.map_err(failure)
}

fn fetch(store: &Store, series: &[String], quiet: bool) -> Result<Vec<Row>> {
    let parse = |s: &String| s.parse::<Series>().map_err(Failure::input);
    let series: Vec<Series> = series.iter().map(parse).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for one in series {
        let mut bar = Bar::new(quiet);
        let kernel = store.fetch(one, &mut |p| bar.show(&p));
        bar.end();
        rows.push(of_kernel(&kernel.map_err(failure)?));
    }
    Ok(rows)
}

/// The host's own kernel, then what the archive and the cache hold; without an archive the cache alone.
fn list(store: &Store, args: &KernelsArgs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // A host whose release cannot be read still has kernels in its cache.
    if let Ok(host) = store.resolve(&KernelSpec::Host, &mut |_| {}) {
        rows.push(of_kernel(&host));
    }
    let mut bar = Bar::new(args.quiet);
    let listed = store.list(args.refresh, &mut |p| bar.show(&p));
    bar.end();
    match listed {
        Ok(listed) => rows.extend(listed.iter().map(of_listed)),
        Err(KernelError::Apt(error)) => {
            if !args.quiet {
                report::note(&format!("{error}\nscxr: only what is in the cache is shown"));
            }
            rows.extend(store.cached().map_err(failure)?.iter().map(of_kernel));
        }
        Err(error) => return Err(failure(error)),
    }
    Ok(rows)
}

/// How systems, and apt, say that a disk is full.
const NO_ROOM: &str = "No space left on device";

/// Whose affair it is that there is no kernel.
pub(crate) fn failure(error: KernelError) -> Failure {
    let text = error.to_string();
    if text.contains(NO_ROOM) {
        return Failure::environment(format_args!(
            "{text}\nscxr: a kernel and the list of packages take about 150 MB; make room, or set XDG_CACHE_HOME to a folder that has it"
        ));
    }
    match error {
        KernelError::Apt(AptError::NoApt { .. } | AptError::NoArchive { .. } | AptError::Failed { .. })
        | KernelError::NoCache
        | KernelError::Checksum { .. }
        | KernelError::CorruptCache { .. } => Failure::environment(error),
        _ => Failure::input(error),
    }
}

fn row(release: String, origin: String, judgement: Option<&Judgement>) -> Row {
    Row {
        release,
        origin,
        cached: false,
        package_bytes: None,
        image: None,
        usable: judgement.map(Judgement::usable),
        class: judgement.map(|j| j.class),
        cgroups: judgement.map(|j| j.group_sched),
        sub_schedulers: judgement.map(|j| j.sub_sched),
        core_scheduling: judgement.map(|j| j.core_sched),
        problems: judgement.map(|j| j.problems.iter().map(ToString::to_string).collect()).unwrap_or_default(),
    }
}

fn of_kernel(kernel: &Kernel) -> Row {
    let origin = match &kernel.origin {
        Origin::Package { suite, .. } => suite.clone(),
        Origin::Path => "path".into(),
        Origin::Host => "this host".into(),
    };
    let image = kernel.image.as_ref().map(|p| p.display().to_string());
    Row { cached: true, image, ..row(kernel.release.to_string(), origin, Some(&kernel.judgement)) }
}

fn of_listed(listed: &Listed) -> Row {
    let bytes = Some(listed.bytes).filter(|b| *b > 0);
    match &listed.cached {
        Some(kernel) => Row { package_bytes: bytes, ..of_kernel(kernel) },
        None => Row { package_bytes: bytes, ..row(listed.release.to_string(), listed.suite.clone(), None) },
    }
}

/// The table, with the reasons below it.
fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["kernel", "from", "schedulers", "cgroups", "sub-schedulers", "core scheduling"]);
    let mut reasons = Vec::new();
    for r in rows {
        let yes = |known: Option<bool>| known.map_or("", |y| if y { "yes" } else { "no" });
        let runs = match (r.usable, r.problems.first()) {
            (Some(true), _) if r.image.is_none() && r.origin != "this host" => "yes, not fetched".to_owned(),
            (Some(true), _) => "yes".to_owned(),
            (None, _) => match r.package_bytes {
                Some(bytes) => format!("not fetched ({} MB)", bytes.div_ceil(1_000_000)),
                None => "not fetched".to_owned(),
            },
            (Some(false), problem) => {
                let problem = problem.map_or("", String::as_str);
                let at = reasons.iter().position(|known| *known == problem).unwrap_or_else(|| {
                    reasons.push(problem);
                    reasons.len() - 1
                });
                format!("no [{}]", at + 1)
            }
        };
        let features =
            [r.cgroups, r.sub_schedulers, r.core_scheduling].map(|f| yes(f.filter(|_| r.usable == Some(true))));
        let mut cells = vec![r.release.clone(), r.origin.clone(), runs];
        cells.extend(features.map(str::to_owned));
        table.add_row(cells);
    }
    let lines: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_owned()).collect();
    let mut out = lines.join("\n") + "\n";
    for (i, reason) in reasons.iter().enumerate() {
        out += &format!("{}[{}] {reason}\n", if i == 0 { "\n" } else { "" }, i + 1);
    }
    if rows.iter().any(|r| r.usable.is_none()) {
        out += "\nFetch with `scxr kernels fetch SERIES`, for example `scxr kernels fetch 7.2`.\n";
    }
    out
}

/// Progress of fetching: a bar on a terminal, nothing elsewhere; what a user should know is said in any case.
struct Bar {
    bar: ProgressBar,
    quiet: bool,
}

impl Bar {
    fn new(quiet: bool) -> Bar {
        let bar = match quiet || !std::io::stderr().is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(10)),
        };
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar { bar, quiet }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        let (message, permille) = match progress {
            Progress::Index { permille } => ("list of packages".to_owned(), *permille),
            Progress::Download { package, bytes, permille } => {
                (format!("{package} ({} MB)", bytes.div_ceil(1_000_000)), *permille)
            }
            Progress::Unpack { package } => (format!("unpacking {package}"), 1000),
            Progress::Unusable { release, problem } => {
                return self.say(&format!("{release} is passed over: {problem}"));
            }
            Progress::Stale { reason } => {
                return self.say(&format!("the archive cannot be reached, the cache is used: {reason}"));
            }
            _ => return,
        };
        self.bar.set_message(message);
        self.bar.set_position(u64::from(permille));
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| report::note(text));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scxr_lab::kernels::Problem;

    #[test]
    fn reasons_stand_below_the_table_once() {
        let broken = Judgement { problems: vec![Problem::NoClass], ..Judgement::default() };
        let sound = Judgement { class: true, ..Judgement::default() };
        let rows = [
            row("6.12.1".into(), "sid".into(), Some(&broken)),
            row("6.12.0".into(), "sid".into(), Some(&broken)),
            Row { image: Some("x".into()), ..row("7.2.13".into(), "sid".into(), Some(&sound)) },
            Row { package_bytes: Some(1), ..row("7.0.1".into(), "sid".into(), None) },
        ];
        let text = text(&rows);
        assert_eq!(text.matches("no [1]").count(), 2, "{text}");
        assert_eq!(text.matches("CONFIG_SCHED_CLASS_EXT").count(), 1, "{text}");
        assert!(text.contains("not fetched (1 MB)") && text.contains("scxr kernels fetch"), "{text}");
    }
}
