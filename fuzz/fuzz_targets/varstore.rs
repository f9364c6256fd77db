//! Any bytes as VARS: described or refused, and what can be emitted again says the same.

#![no_main]

use fm_varstore::{Checks, VarStore, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(store) = VarStore::parse(data) else { return };
    assert!(
        store.entries().len() <= data.len() / 32,
        "more entries than headers fit"
    );
    let variables = store.to_variables();
    let Some(layout) = store.layout() else { return };
    let writer = Writer {
        layout,
        format: store.format(),
        checks: Checks::Representable,
    };
    let emitted = match writer.emit(&variables) {
        Ok(emitted) => emitted,
        // A damaged store may hold what no sound one can: a state byte that makes two of one variable, names
        // that end before they begin, or more behind damage than a store has room for.
        Err(_) if !store.damage_found().is_empty() => return,
        Err(why) => panic!("a sound store cannot be written again: {why}"),
    };
    let again = VarStore::parse(&emitted).expect("what we emit, we read");
    assert_eq!(again.to_variables(), variables);
    assert!(again.damage_found().is_empty(), "{:?}", again.damage_found());
});
