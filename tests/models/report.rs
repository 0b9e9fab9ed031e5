//! What each model has explored, for the table of `make check-models`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs, thread};

/// What was explored of one model, by all the calls that its test makes.
#[derive(Clone, Copy, Default)]
pub struct Explored {
    /// How many threads ran at a time, at most.
    pub threads: usize,
    /// How often a thread was stopped in favour of another, at most. Zero for random schedules.
    pub preemptions: usize,
    /// How many executions there were.
    pub executions: usize,
}

static ALL: Mutex<BTreeMap<String, Explored>> = Mutex::new(BTreeMap::new());

/// Writes the figures into a file of its own in the folder that `RTHREAD_MODELS` names, if any.
/// The model is known by the name of its test, which is that of the thread.
pub fn report(checker: &str, explored: Explored) {
    let thread = thread::current();
    let name = thread.name().expect("a test has a name");
    let mut all = ALL.lock().unwrap();
    let sum = all.entry(name.to_owned()).or_default();
    sum.threads = sum.threads.max(explored.threads);
    sum.preemptions = sum.preemptions.max(explored.preemptions);
    sum.executions += explored.executions;
    if let Some(folder) = env::var_os("RTHREAD_MODELS") {
        let line = format!(
            "{{\"checker\": {checker:?}, \"model\": {name:?}, \"threads\": {}, \"preemptions\": {}, \"executions\": {}}}\n",
            sum.threads, sum.preemptions, sum.executions
        );
        let file = format!("{checker}-{}.json", name.replace("::", "-"));
        fs::write(Path::new(&folder).join(file), line).unwrap();
    }
}
