//! Definitions as libvirt writes them, adopted and given back.

use std::path::Path;

use fm_formats::Sha256;

use super::*;

const PLAIN: &str = "<domain type='qemu'>\n  <name>web</name>\n  <uuid>d3</uuid>\n  <memory unit='KiB'>1</memory>\n  \
    <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    \
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>\n    \
    <nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/web.fd</nvram>\n    \
    <boot dev='hd'/>\n  </os><!-- kept -->\n</domain>\n";
const NVRAM: &str =
    "<nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/web.fd</nvram>";
const CHOSEN: &str = "<domain type='kvm'>\n  <name>web</name>\n  <os firmware='efi'>\n    \
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    <firmware>\n      \
    <feature enabled='no' name='secure-boot'/>\n    </firmware>\n    <boot dev='hd'/>\n  </os>\n</domain>\n";

/// `<nvram>` as libvirt 8.5 and later write it where the definition has it so.
fn sourced(source: &str) -> String {
    format!(
        "<nvram template='/usr/share/OVMF/OVMF_VARS.fd' type='file'>\n      <source {source}/>\n    </nvram>"
    )
}

/// As Fedora's libvirt writes it.
fn qcow2_form() -> String {
    let code =
        "<loader readonly='yes' type='pflash' format='qcow2'>/usr/share/OVMF/OVMF_CODE_4M.qcow2</loader>";
    let nvram = "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.qcow2' templateFormat='qcow2' \
        format='qcow2'>/var/lib/libvirt/qemu/nvram/web.qcow2</nvram>";
    let plain = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>";
    PLAIN.replace(plain, code).replace(NVRAM, nvram)
}

fn stored() -> Stored {
    Stored {
        build: Sha256::of(b"build"),
        code_bytes: 1_966_080,
        vars_bytes: Some(131_072),
        code: "/s/builds/sha256-1/CODE.fd".into(),
        vars_template: Some(Sha256::of(b"template")),
        template: Some("/s/builds/sha256-1/VARS.fd".into()),
        peer: None,
        booted: None,
        chosen: Some(Chosen {
            nvram: Some("/n/web.fd".into()),
            nvram_format: FileFormat::Raw,
            secure: false,
        }),
    }
}

fn forms() -> Vec<(&'static str, String)> {
    let others = "<metadata>\n    <app:x xmlns:app='urn:x'>1</app:x>\n  </metadata>\n  <memory";
    vec![
        ("plain", PLAIN.into()),
        ("another's metadata", PLAIN.replace("<memory", others)),
        (
            "no template",
            PLAIN.replace(" template='/usr/share/OVMF/OVMF_VARS.fd'", ""),
        ),
        ("double quotes", PLAIN.replace('\'', "\"")),
        ("carriage returns", PLAIN.replace('\n', "\r\n")),
        ("tabs", PLAIN.replace("  ", "\t")),
        (
            "variables as a source",
            PLAIN.replace(NVRAM, &sourced("file='/var/lib/libvirt/qemu/nvram/web.fd'")),
        ),
        (
            "secure",
            PLAIN.replace("readonly='yes'", "readonly='yes' secure='yes'"),
        ),
        ("no variables", PLAIN.replace(&format!("\n    {NVRAM}"), "")),
        ("qcow2", qcow2_form()),
        (
            "qcow2, without a word of its template",
            qcow2_form().replace(
                " template='/usr/share/OVMF/OVMF_VARS_4M.qcow2' templateFormat='qcow2'",
                "",
            ),
        ),
        ("an ampersand", PLAIN.replace("OVMF_CODE.fd", "R&amp;D's.fd")),
        ("chosen by libvirt", CHOSEN.into()),
        (
            "chosen, with a wish",
            CHOSEN.replace("\n    <boot", "\n    <loader secure='no'/>\n    <boot"),
        ),
    ]
}

#[test]
fn an_adopted_definition_names_the_stored_build_and_comes_back_byte_by_byte() {
    for (what, xml) in forms() {
        let edited = adopted(&xml, &stored()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let domain = Domain::parse(&edited).unwrap();
        assert_eq!(
            domain.flash().unwrap(),
            Path::new("/s/builds/sha256-1/CODE.fd"),
            "{what}"
        );
        assert!(!domain.firmware_autoselect, "{what}: libvirt would choose again");
        let identity = domain.identity.unwrap();
        assert_eq!(identity.build, Sha256::of(b"build"), "{what}");
        assert_eq!(identity.vars_bytes, Some(131_072), "{what}");
        assert_eq!(identity.vars_template, Some(Sha256::of(b"template")), "{what}");
        if xml.contains("<nvram") {
            let template = domain.nvram.unwrap().template;
            assert_eq!(
                template.as_deref(),
                Some(Path::new("/s/builds/sha256-1/VARS.fd")),
                "{what}"
            );
        }
        assert_eq!(unadopted(&edited).unwrap(), xml, "{what}");
    }
}

#[test]
fn the_path_of_variables_is_read_in_either_form_and_is_none_on_a_network() {
    let path = |xml: &str| Domain::parse(xml).unwrap().nvram.unwrap().path;
    let file = Some(Path::new("/var/lib/libvirt/qemu/nvram/web.fd"));
    assert_eq!(path(PLAIN).as_deref(), file);
    let source = PLAIN.replace(NVRAM, &sourced("file='/var/lib/libvirt/qemu/nvram/web.fd'"));
    assert_eq!(path(&source).as_deref(), file);
    for other in ["dev='/dev/vg/vars'", "protocol='nbd' name='vars'"] {
        assert_eq!(path(&PLAIN.replace(NVRAM, &sourced(other))), None, "{other}");
    }
}

#[test]
fn flash_in_qcow2_is_adopted_as_raw_code_and_variables_that_stay_as_they_are() {
    let edited = adopted(&qcow2_form(), &stored()).unwrap();
    let domain = Domain::parse(&edited).unwrap();
    assert_eq!(domain.loader.unwrap().format, FileFormat::Raw);
    let nvram = domain.nvram.unwrap();
    assert_eq!(nvram.format, FileFormat::Qcow2);
    assert_eq!(nvram.template_format, FileFormat::Qcow2);
    let vars = Some(Path::new("/var/lib/libvirt/qemu/nvram/web.qcow2"));
    assert_eq!(nvram.path.as_deref(), vars);
    // Where libvirt chose it, the definition says nothing yet.
    let chosen = Stored {
        chosen: Some(Chosen {
            nvram: vars.map(Path::to_owned),
            nvram_format: FileFormat::Qcow2,
            secure: false,
        }),
        ..stored()
    };
    let domain = Domain::parse(&adopted(CHOSEN, &chosen).unwrap()).unwrap();
    assert_eq!(domain.nvram.unwrap(), nvram);
}

#[test]
fn a_file_that_is_named_anew_is_called_raw_and_one_that_stays_is_not_touched() {
    let xml = qcow2_form();
    let code = Path::new("/usr/share/OVMF/OVMF_CODE_4M.qcow2");
    assert_eq!(crate::with_firmware(&xml, code, None).unwrap(), xml);
    let edited = crate::with_firmware(&xml, Path::new("/s/CODE.fd"), Some(Path::new("/s/VARS.fd"))).unwrap();
    let domain = Domain::parse(&edited).unwrap();
    assert_eq!(domain.loader.unwrap().format, FileFormat::Raw);
    let nvram = domain.nvram.unwrap();
    assert_eq!(
        (nvram.format, nvram.template_format),
        (FileFormat::Qcow2, FileFormat::Qcow2)
    );
}

#[test]
fn only_what_must_change_changes() {
    let edited = adopted(PLAIN, &stored()).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(PLAIN), lines(&edited));
    let lost: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert_eq!(lost.len(), 2, "{lost:#?}");
    assert_eq!(after.len(), before.len() + 1, "one line more, for the metadata");
}

#[test]
fn a_guest_that_waits_for_a_reset_says_what_it_has_booted_with() {
    let booted = Booted {
        build: Sha256::of(b"before"),
        boots: Some(7),
    };
    let waits = Stored {
        booted: Some(booted),
        ..stored()
    };
    let element = metadata(&waits).replace("<firmware", &format!("<f:firmware xmlns:f='{METADATA_URI}'"));
    let xml = PLAIN.replace("<memory", &format!("<metadata>{element}</metadata><memory"));
    let identity = Domain::parse(&xml).unwrap().identity.unwrap();
    assert_eq!(identity.booted, Some(booted));
    let edited = adopted(&xml, &waits).unwrap();
    assert_eq!(Domain::parse(&edited).unwrap().identity.unwrap().booted, None);
}

#[test]
fn adopting_again_keeps_what_was_there_first() {
    let once = adopted(PLAIN, &stored()).unwrap();
    let other = Stored {
        build: Sha256::of(b"other"),
        code: "/s/builds/sha256-2/CODE.fd".into(),
        ..stored()
    };
    let twice = adopted(&once, &other).unwrap();
    assert_eq!(
        Domain::parse(&twice).unwrap().identity.unwrap().build,
        other.build
    );
    assert_eq!(unadopted(&twice).unwrap(), PLAIN);
}

#[test]
fn changes_by_others_survive_the_way_back() {
    let edited = adopted(PLAIN, &stored())
        .unwrap()
        .replace("<boot dev='hd'/>", "<boot dev='network'/>");
    let back = unadopted(&edited).unwrap();
    assert_eq!(back, PLAIN.replace("<boot dev='hd'/>", "<boot dev='network'/>"));
}

#[test]
fn what_cannot_be_adopted_says_why() {
    let off = Stored {
        peer: None,
        chosen: None,
        ..stored()
    };
    assert!(matches!(adopted(CHOSEN, &off), Err(AdoptError::NotChosen)));
    assert!(matches!(unadopted(PLAIN), Err(AdoptError::NotAdopted)));
    assert!(adopted("<network/>", &stored()).is_err());
    assert!(adopted("<domain><name>x</name></domain>", &stored()).is_err());
}

#[test]
fn a_running_domain_says_which_agent_gives_its_build_and_its_definition_does_not() {
    let stored = Stored {
        peer: Some("node-a:7118".into()),
        ..stored()
    };
    let live = format!(
        "<domain><name>n</name><metadata>{}</metadata></domain>",
        metadata(&stored).replacen("<firmware", &format!("<firmware xmlns='{METADATA_URI}'"), 1)
    );
    let identity = Domain::parse(&live).unwrap().identity.unwrap();
    assert_eq!(identity.peer.as_deref(), Some("node-a:7118"));
    let strange = live.replace("node-a:7118", "node-a:7118 x");
    assert_eq!(Domain::parse(&strange).unwrap().identity.unwrap().peer, None);
    assert!(!adopted(PLAIN, &stored).unwrap().contains("peer="));
    let strange = Stored {
        peer: Some("a' b='c:1".into()),
        ..stored
    };
    assert!(!metadata(&strange).contains("peer="));
}

#[test]
fn metadata_that_is_not_as_we_write_it_is_no_identity() {
    let edited = adopted(PLAIN, &stored()).unwrap();
    for (what, odd) in [
        ("digest", edited.replace("build='sha256:", "build='sha256:zz")),
        ("size", edited.replace("code-bytes='1966080'", "code-bytes='-1'")),
        ("vars", edited.replace("vars-bytes='131072'", "vars-bytes='many'")),
        ("namespace", edited.replace(METADATA_URI, "urn:other")),
    ] {
        assert!(Domain::parse(&odd).unwrap().identity.is_none(), "{what}");
    }
}

#[test]
fn what_an_older_flashmoor_wrote_is_understood() {
    let edited = adopted(PLAIN, &stored()).unwrap();
    let template = format!(" vars-template='sha256:{}'", Sha256::of(b"template"));
    assert!(edited.contains(&template));
    let identity = Domain::parse(&edited.replace(&template, ""))
        .unwrap()
        .identity
        .unwrap();
    assert_eq!(
        (identity.build, identity.vars_template),
        (Sha256::of(b"build"), None)
    );
    assert_eq!(
        identity.template_before.as_deref(),
        Some(Path::new("/usr/share/OVMF/OVMF_VARS.fd"))
    );
}
