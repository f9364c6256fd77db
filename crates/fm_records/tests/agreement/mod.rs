//! One step after the other on an engine and on the model, and what either said.

use fm_records::{Compare, Entry, Error, Memory, Operation, Outcome, Records, Scan, Transaction};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Keys that are prefixes of each other, and neighbours in every order that one could sort by.
const KEYS: [&str; 7] = ["a", "a/", "a/b", "a0", "ab", "b", "~"];

/// What is done, in terms of what the model knows by then.
#[derive(Debug, Clone)]
enum Step {
    Get(usize),
    Scan {
        prefix: usize,
        after: Option<usize>,
        limit: usize,
        /// So many revisions back; nothing: the newest.
        back: Option<u64>,
    },
    Transact {
        compares: Vec<(usize, Expect)>,
        /// With a value to write it, without to take it away.
        operations: Vec<(usize, Option<u8>)>,
    },
}

/// What a transaction relies on.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Absent,
    Modified,
    Created,
    ModifiedBefore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..KEYS.len();
    let expect = prop_oneof![
        Just(Expect::Absent),
        Just(Expect::Modified),
        Just(Expect::Created),
        Just(Expect::ModifiedBefore)
    ];
    let scan = (
        key(),
        proptest::option::of(key()),
        1_usize..5,
        proptest::option::of(0_u64..12),
    );
    let operation = (key(), proptest::option::weighted(0.7, any::<u8>()));
    let compares = proptest::collection::vec((key(), expect), 0..3);
    let transact = (compares, proptest::collection::vec(operation, 0..4));
    let step = prop_oneof![
        1 => key().prop_map(Step::Get),
        2 => scan.prop_map(|(prefix, after, limit, back)| Step::Scan { prefix, after, limit, back }),
        4 => transact.prop_map(|(compares, operations)| Step::Transact { compares, operations }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// An answer in a form that does not depend on where an engine began to count.
#[derive(Debug, PartialEq)]
enum Answer {
    Record(Option<Seen>, u64),
    Page(Vec<Seen>, u64, bool),
    Outcome(Option<u64>),
    Failed(std::mem::Discriminant<Error>),
}

type Seen = (String, Vec<u8>, u64, u64);

async fn ask(engine: &dyn Records, base: u64, question: &Question) -> Result<Answer, Error> {
    let seen = |entry: Entry| {
        (
            entry.key,
            entry.value,
            entry.created - base,
            entry.modified - base,
        )
    };
    Ok(match question {
        Question::Get(key) => {
            let found = engine.get(key).await?;
            Answer::Record(found.entry.map(seen), found.revision - base)
        }
        Question::Scan(scan) => {
            let scan = Scan {
                at: scan.at.map(|at| at + base),
                ..scan.clone()
            };
            let page = engine.scan(&scan).await?;
            let entries = page.entries.into_iter().map(seen).collect();
            Answer::Page(entries, page.revision - base, page.more)
        }
        Question::Transact(transaction) => {
            let mut transaction = transaction.clone();
            for compare in &mut transaction.compares {
                if let Compare::Modified(_, revision) | Compare::Created(_, revision) = compare {
                    *revision += base;
                }
            }
            match engine.transact(transaction).await? {
                Outcome::Committed(revision) => Answer::Outcome(Some(revision - base)),
                Outcome::Conflict => Answer::Outcome(None),
            }
        }
    })
}

#[derive(Debug)]
enum Question {
    Get(String),
    Scan(Scan),
    Transact(Transaction),
}

async fn question(model: &Memory, folder: &str, step: &Step) -> Question {
    let key = |index: usize| format!("{folder}{}", KEYS[index]);
    let newest = model.get(&key(0)).await.expect("the model reads").revision;
    match step {
        Step::Get(index) => Question::Get(key(*index)),
        Step::Scan {
            prefix,
            after,
            limit,
            back,
        } => Question::Scan(Scan {
            // Every other scan is of everything.
            prefix: if prefix % 2 == 0 {
                folder.to_owned()
            } else {
                key(*prefix)
            },
            after: after.map(key),
            limit: *limit,
            // Now and then a revision that is not there yet; 0 never, which means the newest to some.
            at: back.map(|back| (newest + 2).saturating_sub(back).max(1)),
        }),
        Step::Transact { compares, operations } => {
            let mut transaction = Transaction::new();
            for (index, expect) in compares {
                let entry = model.get(&key(*index)).await.expect("the model reads").entry;
                let (created, modified) = entry.map_or((1, 1), |entry| (entry.created, entry.modified));
                transaction.compares.push(match expect {
                    Expect::Absent => Compare::Absent(key(*index)),
                    Expect::Modified => Compare::Modified(key(*index), modified),
                    Expect::Created => Compare::Created(key(*index), created),
                    Expect::ModifiedBefore => {
                        Compare::Modified(key(*index), modified.saturating_sub(1).max(1))
                    }
                });
            }
            let mut written = Vec::new();
            for (index, value) in operations {
                if written.contains(index) {
                    continue;
                }
                written.push(*index);
                transaction.operations.push(match value {
                    Some(value) => Operation::Put {
                        key: key(*index),
                        value: vec![*value; usize::from(*value % 5)],
                        lease: None,
                    },
                    None => Operation::Delete { key: key(*index) },
                });
            }
            Question::Transact(transaction)
        }
    }
}

/// Does the steps on an engine, in a folder of its own, and on a fresh model. Nobody else may write meanwhile.
async fn agree(engine: &dyn Records, run: u32, steps: &[Step]) -> Result<(), String> {
    let folder = format!("/run{run}/");
    let model = Memory::default();
    let base = engine
        .get(&folder)
        .await
        .map_err(|error| format!("{error:?}"))?
        .revision;
    for step in steps {
        let question = question(&model, &folder, step).await;
        let failed = |error: Error| Answer::Failed(std::mem::discriminant(&error));
        let expected = ask(&model, 0, &question).await.unwrap_or_else(failed);
        let found = match ask(engine, base, &question).await {
            Err(error @ Error::Engine { .. }) => return Err(format!("{error:?}")),
            other => other.unwrap_or_else(failed),
        };
        if expected != found {
            return Err(format!(
                "{question:?}: the model says {expected:?}, the engine {found:?}"
            ));
        }
    }
    Ok(())
}

/// Does so many random runs of steps on an engine and on the model, all of `runtime`.
pub(crate) fn check(cases: u32, runtime: &tokio::runtime::Runtime, engine: &dyn Records) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let run = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&steps(), |steps: Vec<Step>| {
            run.set(run.get() + 1);
            let done = runtime.block_on(agree(engine, run.get(), &steps));
            done.map_err(TestCaseError::fail)
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
