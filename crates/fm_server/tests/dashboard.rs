//! The pages in a real browser: each is read, walked through by keyboard, and follows what happens.

mod browser;
mod dashboard_bed;

use std::fs;
use std::path::Path;
use std::time::Duration;

use browser::Browser;
use fm_api::v1::enrolment::{NewToken, Role, TokenRequest};
use fm_api::v1::fleet::ReportAnswer;
use fm_client::{BEARER, Client, Identity, JoinPlan, JoinToken, Precondition};
use fm_server::{ServeOptions, Serving, pin_of, start};

const HOSTS: usize = 60;
const GUESTS: usize = 6;
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A server with a fleet, and a browser.
struct Bed {
    folder: tempfile::TempDir,
    serving: Option<Serving>,
    url: String,
    browser: Browser,
}

impl Bed {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("server");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime
            .block_on(dashboard_bed::fill(&server, HOSTS, GUESTS))
            .unwrap();
        let options = ServeOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            folder: server,
            records: None,
            blobs: None,
            pki: None,
            name: "test".into(),
            grace: Duration::from_secs(24 * 3600),
            health: fm_server::HealthOptions::default(),
        };
        let serving = start(&options, Box::new(|_| {})).unwrap();
        Self {
            folder,
            url: format!("https://{}", serving.address),
            serving: Some(serving),
            browser: Browser::start(),
        }
    }

    fn token(&self, role: Role, bearer: bool) -> NewToken {
        let mut identity = Identity::load(&self.folder.path().join("server/administrator")).unwrap();
        identity.urls = vec![self.url.clone()];
        let request = TokenRequest {
            role,
            name: bearer.then(|| "rita".to_owned()),
            lifetime_s: 600,
            bearer,
        };
        let client = Client::new(&identity, Duration::from_secs(30)).unwrap();
        client
            .write("POST", "/api/v1/tokens", &request, Precondition::None)
            .unwrap()
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.url));
    }

    fn address(&self) -> String {
        let address = self.browser.run("return location.pathname + location.search");
        address.as_str().unwrap().to_owned()
    }

    fn sign_in(&self) {
        let token = format!("{BEARER}.{}", self.token(Role::Reader, true).secret);
        self.open("/");
        assert_eq!(self.address(), "/sign-in?next=%2F");
        // As a form is filled in without a mouse.
        self.browser.fill("#token", &format!("{token}{ENTER}"));
        let done = "const done = arguments[0]; const look = () => document.querySelector('.who') \
                    ? done(location.pathname) : requestAnimationFrame(look); look()";
        assert_eq!(self.browser.wait(done), "/");
    }

    /// A host that joins and reports changes the fleet as others see it.
    fn report(&self) {
        let token = JoinToken {
            secret: self.token(Role::Host, false).secret,
            ca: pin_of(&self.folder.path().join("server/pki/ca.crt")).unwrap(),
            url: self.url.clone(),
        };
        let name = dashboard_bed::host_name(HOSTS);
        let plan = JoinPlan {
            token: &token,
            urls: &[],
            name: &name,
        };
        let identity = fm_client::join(&plan).unwrap();
        let client = Client::new(&identity, Duration::from_secs(30)).unwrap();
        let report = dashboard_bed::report(HOSTS, GUESTS, 1);
        let path = format!("/api/v1/hosts/{name}/report");
        let _: ReportAnswer = client.write("PUT", &path, &report, Precondition::None).unwrap();
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop();
        }
    }
}

fn pages() -> Vec<String> {
    let guest = dashboard_bed::report(0, GUESTS, 1).guests[0].uuid.clone();
    let mut pages: Vec<String> = [
        "/",
        "/hosts",
        "/guests",
        "/builds",
        "/rollouts",
        "/certificates",
        "/collection",
        "/log",
    ]
    .map(str::to_owned)
    .into();
    pages.push(format!("/hosts/{}", dashboard_bed::host_name(3)));
    pages.push(format!("/guest?uuid={guest}"));
    pages.push(format!("/builds/{}", dashboard_bed::build(1)));
    pages.push(format!("/builds/{}", dashboard_bed::build(7)));
    pages.push("/rollouts/plan".to_owned());
    pages.push(plan_page());
    pages.push("/rollouts/plan?certificates=2023&select=secure_boot%3Dtrue".to_owned());
    pages
}

/// What a rollout of a build would do.
fn plan_page() -> String {
    format!("/rollouts/plan?build={}&select=all", dashboard_bed::build(4))
}

/// The page of the rollout that the fleet has.
fn rollout_page(bed: &Bed) -> String {
    bed.open("/rollouts");
    let path = bed
        .browser
        .run("return document.querySelector('tbody a').getAttribute('href')");
    path.as_str().expect("its address").to_owned()
}

/// Names a folder in which the tests leave what each page looks like, for docs/pictures and for whoever changes a page.
const PICTURES: &str = "FLASHMOOR_PICTURES";

/// What is wrong with the page that is open, as a browser sees it: landmarks, names, what is too wide, what was blocked.
const AUDIT: &str = r#"
const wrong = [];
const count = (selector, wanted) => {
    const found = document.querySelectorAll(selector).length;
    if (found !== wanted) wrong.push(`${found} of ${selector}`);
};
count("body > header", 1);
count("main", 1);
count("h1", 1);
count("nav[aria-label='Pages']", 1);
count("[aria-current='page']", 1);
// A plan is what it was when it was asked for.
const isLive = location.pathname !== "/rollouts/plan";
count("[role=status]", isLive ? 1 : 0);
const named = (element) => element.getAttribute("aria-label")
    || (element.getAttribute("aria-labelledby") && document.getElementById(element.getAttribute("aria-labelledby")))
    || (element.labels && element.labels.length)
    || element.textContent.trim();
for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), select, meter, [role=region], nav")) {
    if (!named(element)) wrong.push(`no name: ${element.outerHTML.slice(0, 120)}`);
}
const levels = [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1]));
levels.forEach((level, at) => { if (at > 0 && level > levels[at - 1] + 1) wrong.push(`heading ${level} after ${levels[at - 1]}`); });
if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page is wider than the window");
if (getComputedStyle(document.querySelector("body > header")).display !== "flex") wrong.push("no style");
if (isLive && document.getElementById("live-pause").hidden) wrong.push("no script");
return wrong;
"#;

#[test]
fn every_page_is_whole_in_light_and_in_dark_and_chromium_has_nothing_to_say() {
    let bed = Bed::start();
    bed.sign_in();
    for path in pages().into_iter().chain([rollout_page(&bed)]) {
        for scheme in ["light", "dark"] {
            bed.browser.prefer(scheme);
            bed.open(&path);
            let wrong = bed.browser.run(AUDIT);
            assert_eq!(wrong, serde_json::json!([]), "{path} in {scheme}");
            let colour = bed
                .browser
                .run("return getComputedStyle(document.body).backgroundColor");
            let wanted = if scheme == "light" {
                "rgb(255, 255, 255)"
            } else {
                "rgb(18, 22, 29)"
            };
            assert_eq!(colour, wanted, "{path}");
            if let Some(folder) = std::env::var_os(PICTURES) {
                let name: String = path
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                    .take(40)
                    .collect();
                let file = Path::new(&folder).join(format!("{scheme}{name}.png"));
                fs::write(file, bed.browser.picture()).expect("written");
            }
        }
        assert_eq!(bed.browser.complaints(), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn a_page_is_walked_through_by_keyboard_and_what_has_the_focus_is_seen() {
    let bed = Bed::start();
    bed.sign_in();
    bed.open("/hosts");
    let focus = || {
        bed.browser.run(
            "const at = document.activeElement; const box = at.getBoundingClientRect(); const style = getComputedStyle(at); \
             return [at.textContent.trim(), box.left >= 0 && box.top >= 0 && box.width > 0, style.outlineStyle, \
             style.outlineWidth]",
        )
    };
    bed.browser.press(TAB);
    assert_eq!(
        focus(),
        serde_json::json!(["Skip to the content", true, "solid", "3px"])
    );
    for text in ["Flashmoor", "Fleet", "Hosts", "Guests"] {
        bed.browser.press(TAB);
        assert_eq!(focus(), serde_json::json!([text, true, "solid", "3px"]));
    }
    bed.open("/hosts");
    bed.browser.press(TAB);
    bed.browser.press(ENTER);
    assert_eq!(bed.browser.run("return document.activeElement.id"), "main");
    // Behind the navigation comes the first filter.
    bed.browser.press(TAB);
    assert_eq!(bed.browser.run("return document.activeElement.id"), "state");
}

#[test]
fn a_page_follows_what_happens_and_says_so_and_can_be_stopped() {
    let bed = Bed::start();
    bed.sign_in();
    bed.open("/hosts?limit=200");
    let rows = "return document.querySelectorAll('tbody tr').length";
    assert_eq!(bed.browser.run(rows), HOSTS);
    // The focus stays where it is while the rows around it come anew.
    bed.browser.run("document.querySelector('tbody a').focus()");
    let is_told = "const done = arguments[0]; const at = document.getElementById('live-status'); \
                   const look = () => at.textContent && done(at.textContent); \
                   new MutationObserver(look).observe(at, { childList: true }); look()";
    bed.browser.wait(is_told);
    bed.report();
    let has_come = format!(
        "const done = arguments[0]; const list = document.getElementById('part-list'); \
         const look = () => list.textContent.includes('{}') && done(document.querySelectorAll('tbody tr').length); \
         new MutationObserver(look).observe(list, {{ childList: true }}); look()",
        dashboard_bed::host_name(HOSTS)
    );
    assert_eq!(bed.browser.wait(&has_come), HOSTS + 1);
    let focused = bed
        .browser
        .run("return document.activeElement.getAttribute('href')");
    assert_eq!(focused, format!("/hosts/{}", dashboard_bed::host_name(0)));
    bed.browser.run("document.getElementById('live-pause').click()");
    let pressed = bed
        .browser
        .run("return document.getElementById('live-pause').getAttribute('aria-pressed')");
    assert_eq!(pressed, "true");
    assert_eq!(bed.browser.complaints(), Vec::<String>::new());
}

#[test]
fn who_signs_out_sees_nothing_any_more() {
    let bed = Bed::start();
    bed.sign_in();
    assert_eq!(
        bed.browser.run("return document.cookie"),
        "",
        "no script reads it"
    );
    bed.browser.fill(".who button", ENTER);
    let is_out = "const done = arguments[0]; const look = () => document.getElementById('token') \
                  ? done(location.pathname) : requestAnimationFrame(look); look()";
    assert_eq!(bed.browser.wait(is_out), "/sign-in");
    bed.open("/guests");
    assert_eq!(bed.address(), "/sign-in?next=%2Fguests");
}
