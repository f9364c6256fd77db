//! Firmware descriptors and what is wrong with them, for people.

use fm_images::descriptors::DescriptorsDocument;

use super::{BAD, GOOD, Output, STRONG};

pub(crate) fn text(output: &Output, document: &DescriptorsDocument) {
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
