//! Features that a firmware descriptor promises and the binary lacks.

use super::text;
use crate::finding::Told;
use crate::report::{Pair, Report};
use crate::{Outcome, Phase};

pub(super) fn run(pair: &Pair<'_>, report: &mut Report) {
    let to = &pair.destination.code;
    let (Some(promised), Some(features)) = (to.promised.fact(), to.features.fact()) else {
        return;
    };
    let lies = promised.value.without(features.value);
    let outcome = if lies.is_empty() {
        Outcome::Compatible
    } else {
        Outcome::Caution
    };
    report.find(Phase::ColdBoot, outcome, || {
        let told = Told::about(
            "what the descriptor promises",
            if lies.is_empty() {
                alloc::string::String::from("the binary has all that its descriptor promises")
            } else {
                alloc::format!("whoever chose the firmware by its descriptor does not get: {lies}")
            },
        )
        .source(Some(promised), text)
        .destination(Some(features), text);
        if lies.is_empty() {
            return told;
        }
        told.remedy("name the firmware file yourself, and tell the package's maintainer: flashmoor inspect DESCRIPTOR")
    });
}
