//! What every page has, whatever is on it, and what none lets through.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fm_api::v1::enrolment::Role;

use super::bed::{As, Bed, HOSTILE, OPERATOR, READER, digest, report};

/// Every page, of a fleet that has something on each.
fn pages() -> Vec<String> {
    let build = digest("old");
    let guest = "/guest?uuid=guest-host-1-%3C0%3E";
    let mut pages: Vec<String> = [
        "/",
        "/hosts",
        "/hosts/host-1",
        "/guests",
        guest,
        "/builds",
        "/rollouts",
        "/rollouts/plan",
        "/certificates",
        "/collection",
        "/log",
        "/sign-in",
        "/hosts/host-1/retire",
    ]
    .map(str::to_owned)
    .into();
    pages.push(format!("/builds/{build}"));
    pages.push(format!("/builds/{build}/pin"));
    pages.push(format!("/builds/{build}/unpin?name=%3Ckeep%3E"));
    pages
}

/// Every element of a kind, with its attributes.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}");
    let all = text.match_indices(&open).filter_map(|(at, _)| {
        let rest = &text[at + open.len()..];
        let is_whole = rest.starts_with([' ', '>']);
        is_whole.then(|| &rest[..rest.find('>').unwrap()])
    });
    all.collect()
}

#[tokio::test]
async fn every_page_keeps_strangers_scripts_and_frames_out() {
    let bed = Bed::hostile().await;
    let mut paths = pages();
    paths.extend(
        [
            "/static/style.css",
            "/static/live.js",
            "/certificates.csv",
            "/nothing/of/it",
        ]
        .map(str::to_owned),
    );
    paths.push("/hosts/nobody".into());
    for path in paths {
        let answer = bed.get(OPERATOR, &path).await;
        if path == "/nothing/of/it" {
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            continue;
        }
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        let cached = answer.header("cache-control");
        assert_eq!(
            cached == "no-store",
            !path.starts_with("/static/"),
            "{path}: {cached}"
        );
    }
}

#[tokio::test]
async fn every_page_can_be_read_without_a_script_a_mouse_or_a_screen() {
    let bed = Bed::hostile().await;
    for path in pages() {
        let answer = bed.get(OPERATOR, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("<html lang=\"en\">"), "{path}");
        assert_eq!(elements(text, "main").len(), 1, "{path}");
        assert_eq!(elements(text, "h1").len(), 1, "{path}");
        assert!(text.contains("class=\"skip\" href=\"#main\""), "{path}");
        if path != "/sign-in" {
            assert_eq!(text.matches("aria-current=\"page\"").count(), 1, "{path}");
        }
        for script in elements(text, "script") {
            assert!(script.contains("src=\"/static/"), "{path}: {script}");
        }
        for inline in [
            " style=",
            "<style",
            " onclick",
            " onload",
            " onerror",
            "javascript:",
        ] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        for cell in elements(text, "th") {
            assert!(cell.contains("scope=\""), "{path}: th{cell}");
        }
        let mut ids = BTreeSet::new();
        for (at, _) in text.match_indices(" id=\"") {
            let id = text[at + 5..].split('"').next().unwrap();
            assert!(ids.insert(id), "{path} has {id} twice");
        }
        for field in [elements(text, "input"), elements(text, "select")].concat() {
            let id = field
                .split("id=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let has_label = id.is_some_and(|id| text.contains(&format!("<label for=\"{id}\">")));
            assert!(has_label || field.contains("type=\"hidden\""), "{path}: {field}");
        }
        let is_still = path.contains("pin") || path.contains("retire") || path.ends_with("/plan");
        let is_live = !is_still && path != "/sign-in";
        assert_eq!(
            text.contains("role=\"status\" aria-live=\"polite\""),
            is_live,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_others_chose_is_shown_and_does_nothing() {
    let bed = Bed::hostile().await;
    let mut paths = pages();
    let hostile = super::super::address::encoded(HOSTILE);
    for path in [
        "/guests?name=",
        "/log?guest=",
        "/certificates?certificate=",
        "/sign-in?next=/",
        "/guests?cursor=",
    ] {
        paths.push(format!("{path}{hostile}"));
    }
    let mut shown = 0;
    for path in paths {
        let answer = bed.get(OPERATOR, &path).await;
        let text = answer.text();
        assert!(!text.contains("<script>alert"), "{path}");
        for letter in ['\u{1b}', '\u{202e}'] {
            assert!(!text.contains(letter), "{path} has {letter:?}");
        }
        shown += text.matches("&#60;script&#62;alert").count();
    }
    assert!(shown > 20, "{shown}");
}

#[tokio::test]
async fn who_is_not_known_is_led_to_sign_in_and_a_host_sees_no_pages() {
    let bed = Bed::hostile().await;
    let answer = bed.get(As::Stranger, "/guests?name=a&host=b").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(
        answer.header("location"),
        "/sign-in?next=%2Fguests%3Fname%3Da%26host%3Db"
    );
    let answer = bed.get(As::Stranger, "/live").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = bed
        .post(As::Stranger, "/hosts/host-1/retire", super::bed::OWN, "")
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    for path in pages().iter().filter(|path| *path != "/sign-in") {
        let answer = bed.get(As::Certificate("host-1", Role::Host), path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(!answer.text().contains("guest-host"), "{path}");
    }
}

#[tokio::test]
async fn a_page_has_its_rows_and_no_more_and_the_next_one_the_rest() {
    let bed = Bed::empty().await;
    for host in 0..230 {
        let mut report = report(&format!("h{host:03}"), 0, 1);
        report.guests[0].uuid = format!("g{host:03}");
        bed.site.fleet().report(&report).await.unwrap();
    }
    for (path, mark) in [
        ("/hosts?limit=100000", "<a href=\"/hosts/h"),
        ("/guests?limit=100000", "<a href=\"/guest?uuid=g"),
        ("/certificates?limit=100000", "<a href=\"/guest?uuid=g"),
        (
            "/log?kind=host_joined&limit=100000",
            "<th scope=\"row\">host joined",
        ),
    ] {
        let first = bed.get(READER, path).await;
        let rows = first.text().matches(mark).count();
        assert_eq!(rows, 200, "{path}");
        let next = first.between("rel=\"next\"", ">");
        assert!(next.is_empty(), "{next}");
        let link = first.text().split("rel=\"next\"").next().unwrap();
        let link = link.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
        let link = link.replace("&#38;", "&");
        let rest = bed.get(READER, &link).await;
        assert_eq!(rest.text().matches(mark).count(), 30, "{link}");
        assert!(!rest.text().contains("rel=\"next\""));
        assert!(rest.text().contains("rel=\"first\""));
        // Compressed for who takes that, to the same text, and small.
        let request = Request::get(path).header("accept-encoding", "gzip, deflate, br");
        let small = bed.ask(READER, request.body(Body::empty()).unwrap()).await;
        assert_eq!(small.header("content-encoding"), "deflate");
        assert!(small.bytes.len() < 100 << 10, "{path}: {}", small.bytes.len());
        let whole = miniz_oxide::inflate::decompress_to_vec_zlib(&small.bytes).unwrap();
        assert_eq!(String::from_utf8(whole).unwrap(), first.text());
    }
}

#[tokio::test]
async fn pages_with_a_secret_are_not_compressed() {
    let bed = Bed::hostile().await;
    for (path, coding) in [("/hosts/host-1", "deflate"), ("/hosts/host-1/retire", "")] {
        let request = Request::get(path).header("accept-encoding", "deflate");
        let answer = bed.ask(OPERATOR, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("content-encoding"), coding, "{path}");
    }
}

#[tokio::test]
async fn the_table_to_take_away_has_every_guest_and_no_formula() {
    let bed = Bed::hostile().await;
    let answer = bed.get(READER, "/certificates.csv").await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = answer.text().trim_end().split("\r\n").collect();
    assert_eq!(lines.len(), 1 + 5);
    for line in &lines[1..] {
        assert!(line.starts_with("\"host-1\",\"guest-host-1-<"), "{line}");
        assert!(line.contains(",\"'=1+<script>"), "{line}");
        assert!(
            line.ends_with(",\"2011\",\"2011\",\"none\",\"the guest\""),
            "{line}"
        );
        assert!(!line.contains(['\u{1b}', '\n']), "{line}");
    }
    let none = bed.get(READER, "/certificates.csv?host=host-2").await;
    assert_eq!(none.text().lines().count(), 1);
}

#[tokio::test]
async fn nonsense_in_an_address_is_refused_as_a_page() {
    let bed = Bed::hostile().await;
    for (path, status) in [
        ("/hosts?limit=x", 400),
        ("/hosts?alive=maybe", 400),
        ("/hosts?cursor=%2F", 400),
        ("/guests?host=%2F", 400),
        ("/builds/xyz", 400),
        ("/log?cursor=x", 400),
        ("/guest", 400),
        ("/guest?uuid=nobody", 404),
        ("/hosts/nobody", 404),
        ("/static/other", 404),
    ] {
        let answer = bed.get(READER, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        assert!(answer.text().contains("role=\"alert\""), "{path}");
    }
}
