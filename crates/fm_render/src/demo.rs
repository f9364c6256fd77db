//! The demo as people watch it, and its closing table.

use fm_api::v1::demo::Demo;
use fm_lab::demo::DemoEvent;

use super::table::{Cell, Column, Table};
use super::{GOOD, Output, STRONG};

/// One thing that the demo tells, as it happens.
pub fn told(output: Output, told: &DemoEvent) {
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
pub fn summary(output: Output, demo: &Demo) {
    let mut table = Table::new([Column::new("MEASURED IN THIS RUN"), Column::new("")]);
    for measurement in &demo.measured {
        table.row([Cell::from(&measurement.what), Cell::from(&measurement.value)]);
    }
    output.line("");
    output.table(&table);
    output.line(format_args!(
        "{GOOD}everything held{GOOD:#}: {} checks",
        demo.held.len()
    ));
}
