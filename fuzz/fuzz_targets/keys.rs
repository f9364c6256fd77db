//! Any bytes as what well-known variables hold, and as files of keys: described or refused, and a signature list
//! that was read says the same when it is written again.

#![no_main]

use fm_formats::efi::{AuthenticatedUpdate, DevicePath, LoadOption, SignatureLists};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = DevicePath::new(data).to_string();
    assert!(text.len() <= data.len() * 24 + 64, "text out of proportion");
    assert!(text.chars().all(|character| !character.is_control()), "{text:?}");
    if let Ok(option) = LoadOption::parse(data) {
        let _ = (option.path.to_string(), option.is_active(), option.is_hidden());
        assert!(option.optional_data.len() <= data.len());
    }
    let payload = AuthenticatedUpdate::parse(data).map_or(data, |update| update.payload);
    let Ok(lists) = SignatureLists::parse(payload) else {
        return;
    };
    assert!(
        lists.signatures().count() <= payload.len(),
        "more signatures than bytes"
    );
    let again = SignatureLists::parse(&lists.to_bytes()).expect("what we write, we read");
    // A list without signatures has no size of its own to keep.
    let signatures = |lists: &SignatureLists| -> Vec<_> {
        lists
            .signatures()
            .map(|(kind, signature)| (kind, signature.clone()))
            .collect()
    };
    assert_eq!(signatures(&again), signatures(&lists));
    let mut merged = lists.clone();
    assert_eq!(merged.merge(&lists), 0, "merging with itself adds nothing");
});
