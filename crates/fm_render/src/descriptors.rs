//! Firmware descriptors and what is wrong with them, for people.

use fm_api::v1::descriptors::DescriptorsDocument;

use super::table::{Cell, Column, Table};
use super::{BAD, GOOD, Output, STRONG};

/// A folder: one line a descriptor.
pub fn brief(output: &Output, document: &DescriptorsDocument) {
    let mut table = Table::new([
        Column::new("DESCRIPTOR").most(MAX_NAME_COLUMNS),
        Column::new("ARCH").drops(1),
        Column::new("PROBLEMS").flows(),
    ]);
    for descriptor in &document.descriptors {
        let name = descriptor.path.rsplit('/').next().unwrap_or(&descriptor.path);
        let codes: Vec<String> = descriptor
            .problems
            .iter()
            .map(|problem| problem.code.to_string())
            .collect();
        table.row([
            Cell::styled(name, STRONG),
            descriptor.architectures.join(", ").into(),
            match codes.as_slice() {
                [] => Cell::styled("none", GOOD),
                codes => Cell::styled(codes.join(", "), BAD),
            },
        ]);
    }
    output.table(&table);
}

/// Longer names have a line of their own.
const MAX_NAME_COLUMNS: usize = 40;

/// Each descriptor, with everything that is wrong in it.
pub fn text(output: &Output, document: &DescriptorsDocument) {
    for descriptor in &document.descriptors {
        let verdict = if descriptor.problems.is_empty() {
            format!("{GOOD}sound{GOOD:#}")
        } else {
            format!("{BAD}{} found{BAD:#}", count(descriptor.problems.len()))
        };
        output.line(format_args!("{STRONG}{}{STRONG:#}: {verdict}", descriptor.path));
        if let Some(description) = &descriptor.description {
            output.line(format_args!(
                "  {description} ({})",
                descriptor.architectures.join(", ")
            ));
        }
        for problem in &descriptor.problems {
            output.line(format_args!(
                "  {BAD}{}{BAD:#}: {}",
                problem.code, problem.message
            ));
        }
    }
}

fn count(problems: usize) -> String {
    if problems == 1 {
        "1 problem".into()
    } else {
        format!("{problems} problems")
    }
}
