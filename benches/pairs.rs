//! Judges every pair of a thousand builds from facts in memory, once: for `benches/compare check`.

use fm_bench::build;
use fm_check::pairs;
use fm_judge::{Facts, Outcome};

fn main() {
    let builds: Vec<Facts> = (0..1000).map(build).collect();
    let cells = pairs(&builds, &mut builds.clone());
    let arrive = cells
        .iter()
        .filter(|cell| cell.live_migration == Outcome::Compatible)
        .count();
    // 334 builds of 2M and 666 of 4M, each to the others of its kind.
    assert_eq!((cells.len(), arrive), (999_000, 334 * 333 + 666 * 665));
}
