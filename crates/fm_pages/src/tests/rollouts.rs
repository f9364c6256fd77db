//! Rollouts on pages: shown whatever is in them, paused and taken back by an operator and by nobody else.

use axum::http::StatusCode;
use fm_api::v1::fleet::{
    BuildFacts, Certificates, Digest, GuestFacts, GuestProgress, HostReport, ProgressState, Rest,
};
use fm_api::v1::rollout::{RolloutSpec, RolloutState};
use fm_blobs::{Blob, BlobSource};
use fm_fleet::{Layer, PlannerOptions, StoredBuild};
use fm_formats::Sha256;

use super::bed::{Bed, HOSTILE, OPERATOR, OWN, READER, report};

async fn stored(bed: &Bed, name: &str) -> Digest {
    let mut bytes = name.as_bytes().to_vec();
    // As large as such a build is.
    bytes.resize(0x37_c000, 0xff);
    let build: Digest = Sha256::of(&bytes).to_string().parse().unwrap();
    let stored = StoredBuild {
        build: build.clone(),
        layers: vec![Layer {
            media_type: "application/vnd.flashmoor.code.v1".into(),
            title: "CODE.fd".into(),
            blob: Blob {
                digest: build.clone(),
                size_bytes: bytes.len() as u64,
                source: BlobSource::Bytes(bytes.into()),
            },
        }],
        name: None,
        version: None,
        source: None,
        facts: Some(BuildFacts {
            arch: Some("x86-64".into()),
            early_arch: Some("x86-64".into()),
            layout: Some("4M".into()),
            features: Some(Vec::new()),
            is_whole: Some(true),
            finishes_reclaim: Some(true),
            is_recent: Some(true),
            checks_list: Some(true),
        }),
    };
    bed.site.fleet().store(&stored, "a test").await.unwrap();
    build
}

/// A host with one guest that can be given another build, and whose name is none that a page likes.
fn said(old: &Digest, sequence: u64, progress: Vec<GuestProgress>) -> HostReport {
    let mut said = report("host-9", 0, 1);
    said.sequence = sequence;
    for guest in &mut said.guests {
        guest.uuid = "guest-of-a-rollout".into();
        guest.build = Some(old.clone());
        guest.next_build = None;
        guest.layout = Some("4M".into());
        guest.machine = Some("pc-q35-7.2".into());
        guest.qemu = Some("7.2.0".into());
        guest.facts = Some(GuestFacts {
            vars_size_bytes: Some(0x8_4000),
            vars_used_bytes: Some(0x1000),
            vars_largest_bytes: Some(0x100),
            vars_sound: Some(true),
            vars_authenticated: Some(true),
            vars_keys: Some(false),
            vars_kept: Some(true),
            smm: Some(true),
            secure_flash: Some(false),
            s3: Some(false),
            tpm: Some(false),
            confidential: Some("none".into()),
            adopted: Some(true),
            owner: None,
            rest: Rest::new(),
        });
    }
    said.rollouts = progress;
    said
}

/// A rollout whose only guest has failed, with its host's words.
async fn failed(bed: &Bed) -> String {
    let fleet = bed.site.fleet();
    let (old, new) = (
        stored(bed, "of a rollout").await,
        stored(bed, "for a rollout").await,
    );
    fleet.report(&said(&old, 1, Vec::new())).await.unwrap();
    let spec = RolloutSpec::new(vec![new.clone()], "host=host-9");
    let begun = fleet.begin_rollout(&spec, HOSTILE).await.unwrap();
    let mut planner = fleet.planner("p", PlannerOptions::default());
    planner.step().await.unwrap();
    let progress = GuestProgress {
        guest: "guest-of-a-rollout".into(),
        rollout: begun.id.clone(),
        build: new,
        state: ProgressState::Failed,
        evidence: Some(HOSTILE.into()),
        written: vec![HOSTILE.into()],
        rest: Rest::new(),
    };
    fleet.report(&said(&old, 2, vec![progress])).await.unwrap();
    planner.step().await.unwrap();
    begun.id
}

#[tokio::test]
async fn a_rollout_is_shown_with_each_failure_whatever_its_host_said() {
    let bed = Bed::hostile().await;
    let empty = bed.get(READER, "/rollouts").await;
    assert!(empty.text().contains("No rollout was begun yet."));
    let id = failed(&bed).await;
    for path in ["/rollouts".to_owned(), format!("/rollouts/{id}")] {
        let page = bed.get(READER, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        assert!(page.text().contains("paused"), "{}", page.text());
        assert!(!page.text().contains(HOSTILE), "{path}");
        assert!(
            !page.text().contains("/pause") && !page.text().contains("/rollback"),
            "a reader changes nothing"
        );
    }
    let gone = bed.get(READER, "/rollouts/nobody").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let foreign = bed.get(OPERATOR, &format!("/rollouts/{id}/explode")).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rollout_is_taken_back_by_an_operator_from_its_own_page_and_by_nobody_else() {
    let bed = Bed::hostile().await;
    let id = failed(&bed).await;
    let state = || async { bed.site.fleet().rollout(&id).await.unwrap().state };
    let page = bed.get(OPERATOR, &format!("/rollouts/{id}")).await;
    for verb in ["resume", "abort", "rollback"] {
        assert!(page.text().contains(&format!("/rollouts/{id}/{verb}")), "{verb}");
    }
    assert!(
        !page.text().contains(&format!("/rollouts/{id}/pause")),
        "it is paused"
    );
    let path = format!("/rollouts/{id}/rollback");
    let ask = bed.get(OPERATOR, &path).await;
    let value = |name: &str| ask.between(&format!("name=\"{name}\" value=\""), "\"");
    let (token, revision) = (value("token"), value("revision"));
    let good = format!("token={token}&revision={revision}&variables=old");
    for (who, origin, form) in [
        (READER, OWN, good.clone()),
        (OPERATOR, Some("https://evil:7117"), good.clone()),
        (OPERATOR, OWN, format!("token=0&revision={revision}")),
    ] {
        let answer = bed.post(who, &path, origin, &form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
    }
    assert_eq!(bed.get(READER, &path).await.status, StatusCode::FORBIDDEN);
    let stale = format!("token={token}&revision=1");
    let answer = bed.post(OPERATOR, &path, OWN, &stale).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    // The token of one page is none of another's.
    let answer = bed
        .post(OPERATOR, &format!("/rollouts/{id}/abort"), OWN, &good)
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(state().await, RolloutState::Paused);

    let answer = bed.post(OPERATOR, &path, OWN, &good).await;
    assert_eq!(answer.header("location"), format!("/rollouts/{id}"));
    assert_eq!(state().await, RolloutState::RollingBack);
    let log = bed.get(READER, "/log?kind=rollout_changed").await;
    assert!(log.text().contains("olga"));
}

#[tokio::test]
async fn a_plan_says_in_short_who_gets_what_and_who_is_left_out_and_touches_nothing() {
    let bed = Bed::hostile().await;
    let fleet = bed.site.fleet();
    let (old, new) = (stored(&bed, "of a plan").await, stored(&bed, "for a plan").await);
    let mut said = said(&old, 1, Vec::new());
    said.guests[0].name = Some(HOSTILE.into());
    said.guests[0].facts.as_mut().unwrap().tpm = Some(true);
    said.guests[0].secure_boot = Some(true);
    said.guests[0].certificates = Some(Certificates {
        kek: vec!["2011".into()],
        db: vec!["2011".into()],
        ..Certificates::default()
    });
    fleet.report(&said).await.unwrap();
    let empty = bed.get(READER, "/rollouts/plan").await;
    assert_eq!(empty.status, StatusCode::OK);
    assert!(empty.text().contains(&new.as_str()[..12]), "it can be chosen");
    assert!(!empty.text().contains("In short"));

    let plan = |query: &str| format!("/rollouts/plan?{query}");
    let page = bed
        .get(READER, &plan(&format!("build={new}&select=host%3Dhost-9")))
        .await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = page.text();
    assert!(text.contains("<strong>1</strong> of 1 selected guests"), "{text}");
    assert!(
        text.contains("None of them is asked for a recovery key"),
        "the build measures nothing: {text}"
    );
    assert!(!text.contains(HOSTILE), "{text}");
    let everybody = bed.get(READER, &plan(&format!("build={new}&select=all"))).await;
    assert!(
        everybody.text().contains("what it runs is not known"),
        "{}",
        everybody.text()
    );

    let keys = bed
        .get(READER, &plan("certificates=2023&select=host%3Dhost-9"))
        .await;
    assert!(
        keys.text()
            .contains("certificates of 2023 in their Secure Boot keys"),
        "{}",
        keys.text()
    );
    for wrong in [
        "certificates=2023&select=all",
        "certificates=1999&select=name%3Da",
        "build=zz&select=all",
        "certificates=2023&select=name%3Da&at=never",
    ] {
        let page = bed.get(READER, &plan(wrong)).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let (rollouts, _) = fleet.rollouts().await.unwrap();
    assert!(rollouts.is_empty());
}
