//! What changes something: signing in and out, retiring a host, pinning a build. And everything that must not.

use axum::http::StatusCode;
use fm_api::v1::enrolment::Role;
use fm_api::v1::fleet::HostState;

use super::bed::{Answer, As, Bed, OPERATOR, OWN, READER, digest};

const FOREIGN: Option<&str> = Some("https://evil:7117");

#[tokio::test]
async fn a_readers_token_becomes_a_cookie_that_no_script_and_no_other_site_can_use() {
    let bed = Bed::hostile().await;
    let token = bed.bearer(Role::Reader, true).await;
    let form = format!("token={token}&next=%2Fguests");
    let answer = bed.post(As::Stranger, "/sign-in", OWN, &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/guests");
    let cookie = answer.header("set-cookie").to_owned();
    let parts: Vec<&str> = cookie.split("; ").collect();
    assert!(parts[0].starts_with("__Host-flashmoor="), "{cookie}");
    for flag in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(parts.contains(&flag), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");

    let kept = parts[0];
    let page = bed.get(As::Cookie(kept), "/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("dora (reader)"));
    // A reader changes nothing.
    let path = "/hosts/host-1/retire";
    assert_eq!(
        bed.get(As::Cookie(kept), path).await.status,
        StatusCode::FORBIDDEN
    );
    let answer = bed.post(As::Cookie(kept), path, OWN, "token=x&revision=1").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    let answer = bed.post(As::Cookie(kept), "/sign-out", FOREIGN, "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = bed.post(As::Cookie(kept), "/sign-out", OWN, "").await;
    assert_eq!(answer.header("location"), "/sign-in");
    let gone = answer.header("set-cookie");
    assert!(gone.starts_with("__Host-flashmoor=; Max-Age=0"), "{gone}");
}

#[tokio::test]
async fn what_is_no_readers_token_makes_no_cookie() {
    let bed = Bed::hostile().await;
    let good = bed.bearer(Role::Reader, true).await;
    let to_join = bed.bearer(Role::Reader, false).await;
    let secret = good.strip_prefix("fmr1.").unwrap();
    for token in [
        "",
        "fmr1.",
        "fmr1.0000",
        secret,
        &to_join,
        &format!("fmr1.{secret}x"),
        "fmr1.%0d%0aa",
    ] {
        let form = format!("token={token}");
        let answer = bed.post(As::Stranger, "/sign-in", OWN, &form).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(answer.header("set-cookie"), "", "{token}");
    }
    for origin in [FOREIGN, Some("null"), None] {
        let answer = bed
            .post(As::Stranger, "/sign-in", origin, &format!("token={good}"))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("set-cookie"), "");
    }
    for cookie in [
        "__Host-flashmoor=",
        "__Host-flashmoor=0",
        "flashmoor=x",
        "__Host-flashmoor=a\u{22};b",
    ] {
        let answer = bed.get(As::Cookie(cookie), "/").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{cookie}");
    }
}

/// The fields of a form that a page holds.
async fn form(bed: &Bed, who: As<'_>, path: &str) -> (String, String) {
    let page = bed.get(who, path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text());
    let value = |name: &str| page.between(&format!("name=\"{name}\" value=\""), "\"");
    (value("token"), value("revision"))
}

fn refused(answer: &Answer) -> bool {
    answer.status == StatusCode::FORBIDDEN && answer.text().contains("role=\"alert\"")
}

#[tokio::test]
async fn a_host_is_retired_by_an_operator_from_its_own_page_and_by_nobody_else() {
    let bed = Bed::hostile().await;
    let path = "/hosts/host-1/retire";
    let (token, revision) = form(&bed, OPERATOR, path).await;
    let good = format!("token={token}&revision={revision}");
    let other = As::Certificate("otto", Role::Operator);
    let (others, _) = form(&bed, other, path).await;
    let (elsewhere, _) = form(&bed, OPERATOR, "/hosts/host-2/retire").await;
    let host = || async { bed.site.fleet().host(&"host-1".parse().unwrap()).await.unwrap() };

    for origin in [FOREIGN, Some("null"), Some("http://fleet:7117"), None] {
        assert!(
            refused(&bed.post(OPERATOR, path, origin, &good).await),
            "{origin:?}"
        );
    }
    for token in ["", "0", &others, &elsewhere] {
        let form = format!("token={token}&revision={revision}");
        assert!(refused(&bed.post(OPERATOR, path, OWN, &form).await), "{token}");
    }
    assert!(refused(&bed.post(READER, path, OWN, &good).await));
    assert!(refused(
        &bed.post(As::Certificate("host-1", Role::Host), path, OWN, &good)
            .await
    ));
    assert!(refused(&bed.get(READER, path).await));
    for broken in ["", "token=x", "revision=1", "%zz"] {
        let answer = bed.post(OPERATOR, path, OWN, broken).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{broken}");
    }
    let stale = format!("token={token}&revision=1");
    let answer = bed.post(OPERATOR, path, OWN, &stale).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(host().await.state, HostState::Active);

    let answer = bed.post(OPERATOR, path, OWN, &good).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/hosts/host-1");
    assert_eq!(host().await.state, HostState::Retired);
    // Who did it is on record.
    let log = bed.get(READER, "/log?kind=host_retired").await;
    assert!(log.text().contains("olga"));
    let page = bed.get(OPERATOR, "/hosts/host-1").await;
    assert!(!page.text().contains("/retire"), "it is done already");
}

#[tokio::test]
async fn a_build_is_pinned_and_unpinned_by_an_operator() {
    let bed = Bed::hostile().await;
    let build = digest("old");
    let path = format!("/builds/{build}/pin");
    let (token, revision) = form(&bed, OPERATOR, &path).await;
    let pins = || async {
        let view = bed.site.fleet().build(&build).await.unwrap();
        view.pins
            .into_iter()
            .map(|pin| (pin.name, pin.reason, pin.by))
            .collect::<Vec<_>>()
    };
    let before = pins().await.len();
    for name in ["", "%2F", "a+b", &"x".repeat(65)] {
        let form = format!("token={token}&revision={revision}&name={name}");
        let answer = bed.post(OPERATOR, &path, OWN, &form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
    }
    assert_eq!(pins().await.len(), before);
    let form_text = format!("token={token}&revision={revision}&name=audit&reason=the+auditor%27s");
    assert!(refused(&bed.post(READER, &path, OWN, &form_text).await));
    let answer = bed.post(OPERATOR, &path, OWN, &form_text).await;
    assert_eq!(answer.header("location"), format!("/builds/{build}"));
    assert!(
        pins()
            .await
            .contains(&("audit".into(), "the auditor's".into(), "olga".into()))
    );

    // A reader sees the pin and no way to take it away.
    let page = bed.get(READER, &format!("/builds/{build}")).await;
    assert!(page.text().contains("audit") && !page.text().contains("/unpin"));
    let ask = format!("/builds/{build}/unpin?name=audit");
    let (token, revision) = form(&bed, OPERATOR, &ask).await;
    let path = format!("/builds/{build}/unpin");
    let form_text = format!("token={token}&revision={revision}&name=audit");
    assert!(refused(&bed.post(OPERATOR, &path, FOREIGN, &form_text).await));
    let answer = bed.post(OPERATOR, &path, OWN, &form_text).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(pins().await.len(), before);
    let none = bed.get(OPERATOR, &ask).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_form_has_its_size() {
    let bed = Bed::hostile().await;
    let long = format!("token={}", "x".repeat(9 << 10));
    let answer = bed.post(As::Stranger, "/sign-in", OWN, &long).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
