//! Serves a fleet that was made up, to look at its pages and to measure them.
//!
//! `cargo run -p fm_server --example dashboard -- [HOSTS [GUESTS_PER_HOST]]` prints an address and a token to sign in
//! with, and serves until it is ended.
#![allow(clippy::print_stdout, reason = "it is a program that prints where it serves")]

#[path = "../tests/dashboard_bed/mod.rs"]
mod dashboard_bed;

use std::time::{Duration, Instant};

use fm_api::v1::enrolment::{NewToken, Role, TokenRequest};
use fm_client::{BEARER, Client, Identity, Precondition};
use fm_server::{ServeOptions, start};

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let hosts = numbers.next().transpose()?.unwrap_or(200);
    let guests = numbers.next().transpose()?.unwrap_or(10);
    let folder = tempfile::tempdir()?;
    let server = folder.path().join("server");
    let begun = Instant::now();
    tokio::runtime::Runtime::new()?.block_on(dashboard_bed::fill(&server, hosts, guests))?;
    println!(
        "{hosts} hosts with {guests} guests each, in {:.1?}",
        begun.elapsed()
    );
    let options = ServeOptions {
        listen: "127.0.0.1:0".parse()?,
        folder: server.clone(),
        records: None,
        blobs: None,
        pki: None,
        name: "dashboard".into(),
        grace: Duration::from_secs(24 * 3600),
        health: fm_server::HealthOptions::default(),
    };
    let serving = start(&options, Box::new(|_| {}))?;
    let url = format!("https://{}", serving.address);
    let mut administrator = Identity::load(&server.join("administrator"))?;
    administrator.urls = vec![url.clone()];
    let made: NewToken = Client::new(&administrator, Duration::from_secs(30))?.write(
        "POST",
        "/api/v1/tokens",
        &TokenRequest {
            role: Role::Reader,
            name: Some("rita".into()),
            lifetime_s: 24 * 3600,
            bearer: true,
        },
        Precondition::None,
    )?;
    println!("{url}");
    println!("{BEARER}.{}", made.secret);
    loop {
        std::thread::park();
    }
}
