//! Reading and writing variable stores, on the stores that Debian ships with Microsoft's keys enrolled.

#![allow(missing_docs, reason = "criterion's macros make public functions without any")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fm_varstore::{VarStore, Writer};

fn varstore(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("varstore");
    for (name, count) in [("bookworm/OVMF_VARS.ms.fd", 9), ("trixie/OVMF_VARS_4M.ms.fd", 9)] {
        let bytes = fm_fixtures::bytes(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("parse {name}"), |bencher| {
            bencher.iter(|| {
                let store = VarStore::parse(black_box(&bytes)).expect("a sound store");
                assert_eq!(store.variables().count(), count);
            });
        });
        let store = VarStore::parse(&bytes).expect("a sound store");
        let variables = store.to_variables();
        let writer = Writer::new(store.layout().expect("a known layout"));
        group.bench_function(format!("emit {name}"), |bencher| {
            bencher.iter(|| {
                let emitted = writer.emit(black_box(&variables)).expect("it fits");
                assert_eq!(emitted.len(), bytes.len());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, varstore);
criterion_main!(benches);
