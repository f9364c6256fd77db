//! A check of two builds that are known, and every pair of a thousand.

#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fm_bench::build;
use fm_check::pairs;
use fm_judge::{Facts, Outcome, judge};

fn judge_builds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    let (small, large) = (build(0), build(1));
    group.bench_function("two known builds, with words", |bencher| {
        bencher.iter(|| {
            let verdict = judge(black_box(&small), black_box(&large));
            assert_eq!(verdict.outcome(), Outcome::Incompatible);
        });
    });
    let builds: Vec<Facts> = (0..1000).map(build).collect();
    group.sample_size(10);
    group.bench_function("every pair of 1000 builds", |bencher| {
        bencher.iter(|| {
            let cells = pairs(black_box(&builds), &mut builds.clone());
            let arrive = cells
                .iter()
                .filter(|cell| cell.live_migration == fm_judge::Outcome::Compatible)
                .count();
            // 334 builds of 2M and 666 of 4M, each to the others of its kind.
            assert_eq!(arrive, 334 * 333 + 666 * 665);
        });
    });
    group.finish();
}

criterion_group!(benches, judge_builds);
criterion_main!(benches);
