//! The demo as people watch it, and its closing table.

use comfy_table::{Table, presets};
use fm_lab::demo::{Demo, DemoEvent};

use super::{GOOD, Output, STRONG};

/// One thing that the demo tells, as it happens.
pub(crate) fn told(output: Output, told: &DemoEvent) {
    match told {
        DemoEvent::Step { number, title } => {
            output.remark(format_args!("\n{STRONG}{number}. {title}{STRONG:#}"))
        }
        DemoEvent::Command(text) => output.remark(format_args!("   $ {text}")),
        DemoEvent::Line(text) => output.remark(format_args!("     {text}")),
        DemoEvent::Held(text) => output.remark(format_args!("   {GOOD}✓{GOOD:#} {text}")),
        _ => {}
    }
}

/// What was measured, and how much was checked.
pub(crate) fn summary(output: Output, demo: &Demo) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for measurement in &demo.measured {
        table.add_row([&measurement.what, &measurement.value]);
    }
    output.line(format_args!(
        "\n{STRONG}measured in this run{STRONG:#}\n{}",
        table.trim_fmt()
    ));
    output.line(format_args!(
        "{GOOD}everything held{GOOD:#}: {} checks",
        demo.held.len()
    ));
}
