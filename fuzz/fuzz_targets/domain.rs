//! Any text as a domain's XML: read, adopted and given back, pointed elsewhere. What is written is read again, and what is
//! refused is refused in a time that its length bounds.

#![no_main]

use std::path::Path;

use fm_libvirt::{Chosen, Domain, FileFormat, Stored, adopted, saved_domain, unadopted, with_firmware};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(xml) = std::str::from_utf8(data) else {
        return;
    };
    let _ = saved_domain(xml);
    let Ok(domain) = Domain::parse(xml) else {
        assert!(with_firmware(xml, Path::new("/c"), None).is_err());
        return;
    };
    if let Ok(edited) = with_firmware(xml, Path::new("/a&b/<c>"), Some(Path::new("/d'\"e"))) {
        let again = saved_domain(&edited).expect("what we write, we read");
        assert_eq!(again.loader.as_deref(), Some(Path::new("/a&b/<c>")));
    }
    let stored = Stored {
        build: fm_formats::Sha256::of(b"code"),
        code_bytes: 4096,
        vars_bytes: Some(8192),
        code: "/store/CODE.fd".into(),
        vars_template: None,
        template: Some("/store/VARS.fd".into()),
        peer: Some("host:7118".into()),
        booted: None,
        chosen: Some(Chosen {
            nvram: Some("/vars.fd".into()),
            nvram_format: FileFormat::Raw,
            secure: true,
        }),
    };
    let Ok(edited) = adopted(xml, &stored) else {
        return;
    };
    let now = Domain::parse(&edited).expect("what we write, we read");
    assert_eq!(now.flash(), Some(&stored.code));
    if domain.identity.is_none()
        && let Ok(back) = unadopted(&edited)
    {
        let back = Domain::parse(&back).expect("what we give back, we read");
        assert_eq!(back.loader, domain.loader);
    }
});
