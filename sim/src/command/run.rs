//! One run, in this process, and what it leaves behind.

use std::fs;
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;

use evenkeel_runtime::simulated;
use evenkeel_sim::capsule::{Asked, Capsule};
use evenkeel_sim::coverage::Coverage;
use evenkeel_sim::story::{self, Failure, Summary};
use evenkeel_sim::timeline;
use evenkeel_sim::world::{self, Report, Telling};

use super::{CANARY, usage};

/// Files to write.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs {
    /// Checkpoints and the last events, as text.
    pub(super) record: Option<String>,
    /// The page.
    pub(super) timeline: Option<String>,
    /// If the run fails.
    pub(super) capsule: Option<String>,
    /// The decision log goes into the capsule.
    pub(super) with_requests: bool,
}

/// What to run.
pub(super) struct Job {
    pub(super) capsule: Capsule,
    pub(super) telling: Telling,
    pub(super) log: bool,
    pub(super) outputs: Outputs,
    /// What a person types to see it again.
    pub(super) command: String,
}

/// What the panic hook found out, for the main thread.
static EVIDENCE: Mutex<Option<(Failure, Vec<Asked>)>> = Mutex::new(None);

/// How it ended.
struct Ended {
    report: Report,
    summary: Summary,
    events: Vec<simulated::record::Event>,
    names: Vec<(String, String)>,
}

/// Runs it and tells; fails if the run does.
pub(super) fn run(job: &Job) -> ExitCode {
    let Some(ended) = live(job) else {
        let bug = job.capsule.planted.as_deref().unwrap_or_default();
        return usage(&format!("no bug is called `{bug}`"));
    };
    let failed = ended.report.failure.is_some();
    tell(job, ended);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs it, tells, and says whether it went as recorded; fails if the run does.
pub(super) fn replay(job: &Job) -> ExitCode {
    let Some(ended) = live(job) else {
        let bug = job.capsule.planted.as_deref().unwrap_or_default();
        return usage(&format!("this build knows no bug called `{bug}`"));
    };
    let (was, commit) = (&job.capsule.oracle, &job.capsule.commit);
    let is = ended.report.failure.as_ref().map(|failure| failure.oracle.clone());
    let same_hash = job.capsule.hash.as_ref() == Some(&ended.summary.hash);
    let failed = is.is_some();
    tell(job, ended);
    let name = |oracle: &Option<String>| oracle.as_deref().unwrap_or("nothing").to_owned();
    println!(
        "replay: recorded was {}, found is {}; {} events as at {commit}",
        name(was),
        name(&is),
        if same_hash { "the same" } else { "not the same" }
    );
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn live(job: &Job) -> Option<Ended> {
    let capsule = &job.capsule;
    if let Some(bug) = capsule.planted.as_deref().filter(|bug| *bug != CANARY)
        && !world::plant(bug)
    {
        return None;
    }
    if job.log {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |location| format!(" ({location})"));
        let message = panic.payload_as_str().unwrap_or("no words");
        if let Some(found) = world::evidence(format!("panic: {message}{place}"))
            && let Ok(mut evidence) = EVIDENCE.lock()
        {
            evidence.get_or_insert(found);
        }
    }));
    let telling = Telling {
        canary: capsule.planted.as_deref() == Some(CANARY),
        script: capsule.requests.clone(),
        until_ms: capsule.until.map(|until| until.as_millis() as u64),
        ..job.telling.clone()
    };
    let plan = capsule.plan.clone();
    let keep = if job.outputs.timeline.is_some() { usize::MAX } else { 0 };
    let run = simulated::run_keeping(plan.seed, keep, move || world::live(plan, telling));
    drop(panic::take_hook());
    let mut report = run.outcome.unwrap_or_else(|_| after_panic(job));
    if let Some(failure) = &mut report.failure {
        failure.commit = story::commit();
        failure.command.clone_from(&job.command);
    }
    let events = run.counts.values().sum();
    let summary = Summary { hash: run.hash.to_string(), events, ..report.summary.clone() };
    Some(Ended { report, summary, events: run.recent, names: run.names })
}

fn after_panic(job: &Job) -> Report {
    let plan = &job.capsule.plan;
    let evidence = EVIDENCE.lock().ok().and_then(|mut evidence| evidence.take());
    let (failure, asked) = evidence.unwrap_or_else(|| {
        let failure = Failure {
            oracle: "panic".to_owned(),
            claim: "the simulation panicked outside of its world".to_owned(),
            seed: plan.seed,
            ..Failure::default()
        };
        (failure, Vec::new())
    });
    let summary = Summary {
        seed: plan.seed,
        scenario: plan.scenario_name().to_owned(),
        simulated_s: failure.at_s,
        oracle: Some(failure.oracle.clone()),
        ..Summary::default()
    };
    let (checkpoints, coverage) = (Vec::new(), Coverage::default());
    Report { summary, failure: Some(failure), checkpoints, asked, coverage }
}

fn tell(job: &Job, ended: Ended) {
    let Ended { report, summary, events, names } = ended;
    let coverage = &report.coverage;
    if let Some(path) = &job.outputs.record {
        let events = events.iter().map(ToString::to_string);
        let lines: Vec<String> = report.checkpoints.iter().cloned().chain(events).collect();
        write(path, &lines.join("\n"));
    }
    if let Some(path) = &job.outputs.timeline {
        let page = timeline::page(&timeline::Run {
            summary: &summary,
            failure: report.failure.as_ref(),
            events: &events,
            names: &names,
            command: &job.command,
        });
        write(path, &page);
    }
    if let (Some(path), Some(failure)) = (&job.outputs.capsule, &report.failure) {
        let capsule = Capsule {
            oracle: Some(failure.oracle.clone()),
            says: failure.claim.clone(),
            commit: failure.commit.clone(),
            hash: Some(summary.hash.clone()),
            requests: match job.capsule.requests.clone() {
                None if job.outputs.with_requests => Some(report.asked),
                requests => requests,
            },
            ..job.capsule.clone()
        };
        write(path, &capsule.print());
    }
    if let Some(failure) = report.failure {
        println!("{failure}\n");
    }
    println!("{coverage}");
    println!("{summary}");
}

fn write(path: &str, text: &str) {
    if let Err(error) = fs::write(path, text) {
        eprintln!("{path} cannot be written: {error}");
    }
}
