//! A check of two builds that are known, and every pair of a thousand.

#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fm_formats::Sha256;
use fm_formats::image::{Arch, Feature, Layout};
use fm_judge::{Facts, Firmware, Known, MachineType, Outcome, QemuVersion, StoreState, judge, outcomes};

/// A build of which all is known that a file shows; `number` makes it differ from others.
fn build(number: u32) -> Facts {
    let layout = if number.is_multiple_of(3) {
        Layout::X86Size2M
    } else {
        Layout::X86Size4M
    };
    let digest = Sha256::of(&number.to_le_bytes());
    let mut facts = Facts {
        qemu: Known::new(QemuVersion::new(7, 2, 22), "-version"),
        machine: Known::new(MachineType::new("pc-q35-7.2", None), "--machine"),
        firmware: Known::new(Firmware::Flash, "CODE"),
        ..Facts::default()
    };
    facts.code.size_bytes = Known::new(layout.code_size_bytes(), "CODE");
    facts.code.sha256 = Known::new(digest, "CODE");
    facts.code.arch = Known::new(Arch::X86_64, "CODE");
    facts.code.early_arch = Known::new(Arch::X86_64, "CODE");
    facts.code.layout = Known::new(layout, "CODE");
    facts.code.features = Known::new([Feature::Tpm2, Feature::Tls].into_iter().collect(), "CODE");
    facts.code.measured = Known::new(vec![("PEIFV".to_owned(), digest)], "CODE");
    facts.code.path = Known::new(format!("/srv/{number}.fd"), "CODE");
    facts.vars.present = Known::new(true, "VARS");
    facts.vars.size_bytes = Known::new(layout.vars_size_bytes(), "VARS");
    facts.vars.state = Known::new(StoreState::Good, "VARS");
    facts.vars.layout = Known::new(layout, "VARS");
    facts.vars.authenticated = Known::new(true, "VARS");
    facts
}

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
            let arrive = builds
                .iter()
                .flat_map(|from| {
                    builds
                        .iter()
                        .map(move |to| outcomes(black_box(from), black_box(to)))
                })
                .filter(|outcomes| outcomes.live_migration <= Outcome::Caution)
                .count();
            // 334 builds of 2M and 666 of 4M, each to its own kind.
            assert_eq!(arrive, 334 * 334 + 666 * 666);
        });
    });
    group.finish();
}

criterion_group!(benches, judge_builds);
criterion_main!(benches);
