//! Any bytes as VARS: described or refused, and what can be emitted again says the same.

#![no_main]

use fm_formats::varstore::{Checks, VarStore, Writer};
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
    // A damaged store may hold what no sound store can (two live variables of one name, say).
    let Ok(emitted) = writer.emit(&variables) else {
        return;
    };
    let again = VarStore::parse(&emitted).expect("what we emit, we read");
    assert_eq!(again.to_variables(), variables);
    assert!(again.damage_found().is_empty(), "{:?}", again.damage_found());
});
