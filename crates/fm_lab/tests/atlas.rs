//! The judge agrees with every recorded observation, and the claims follow from them.

use std::path::{Path, PathBuf};

use fm_lab::atlas;
use fm_remedy::Failure as _;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn observations() -> Vec<atlas::Atlas> {
    let all = atlas::read_all(&folder("atlas")).expect("the atlas reads");
    assert!(!all.is_empty(), "the repository has an atlas");
    all
}

#[test]
fn the_judge_agrees_with_every_observation() {
    let mut wrong = Vec::new();
    for atlas in observations() {
        assert!(!atlas.observations.is_empty(), "{:?}", atlas.group);
        let held = atlas::hold(&atlas, fm_fixtures::folder()).expect("the fixtures are those of the atlas");
        wrong.extend(held.disagreements);
    }
    assert!(
        wrong.is_empty(),
        "{} disagreements:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_claim_is_proven_and_none_is_spoken_against() {
    assert_eq!(atlas::unproven(&observations()), Vec::<&str>::new());
}

#[test]
fn the_page_of_claims_is_up_to_date() {
    let page = std::fs::read_to_string(folder("docs/claims.md")).expect("docs/claims.md");
    let fresh = atlas::claims(&observations());
    assert_eq!(
        page.trim_end(),
        fresh.trim_end(),
        "run `flashmoor atlas claims >docs/claims.md`"
    );
}

#[test]
fn a_folder_without_observations_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let error = atlas::read_all(&path).expect_err("nothing to verify");
        assert_eq!(error.class(), fm_remedy::Class::Usage, "{error}");
        let remedy = error.remedy().expect("a remedy");
        assert_eq!(remedy.actions, [fm_remedy::Action::RecordAtlas], "{remedy:?}");
    }
    // A file of no observations is none either.
    let empty = r#"{"schema":"flashmoor/atlas/1","group":"cold_boot","observations":[]}"#;
    std::fs::write(folder.path().join("cold_boot.json"), empty).expect("writable");
    assert!(atlas::read_all(folder.path()).is_err());
}
