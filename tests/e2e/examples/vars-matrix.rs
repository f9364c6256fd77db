//! Every layout converted for every build of the fixtures, each booted twice: what `make vars-matrix` runs.
#![allow(clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use fm_e2e::conversion::{Build, lives_on};
use fm_formats::image::Layout;

fn main() -> ExitCode {
    let mut failed = 0;
    for build in Build::all() {
        for layout in [
            Layout::X86Size2M,
            Layout::X86Size4M,
            Layout::ArmVirt,
            Layout::Riscv,
            Layout::Loongarch,
        ] {
            let began = Instant::now();
            let folder = tempfile::tempdir().expect("a temporary folder");
            let held = catch_unwind(AssertUnwindSafe(|| lives_on(layout, &build, folder.path()))).is_ok();
            failed += u32::from(!held);
            println!(
                "{:<9} on {:<44} {:<6} {:>5.1} s",
                layout.name(),
                build.code,
                if held { "holds" } else { "FAILED" },
                began.elapsed().as_secs_f32()
            );
        }
    }
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
