//! Every pair of builds: what comes of it, and what decides that.

use fm_judge::{Facts, Finding, Outcome, Phase, arrival, cold_boot, judge};

/// A pair of builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The source, as an index into the builds.
    pub from: usize,
    /// The destination.
    pub to: usize,
    /// Outcome of a live migration.
    pub live_migration: Outcome,
    /// Outcome of a reset after it.
    pub warm_reset: Outcome,
    /// Outcome of a cold boot on the destination's build with the source's variables.
    pub cold_boot: Outcome,
    /// What decides each outcome that is not compatible, where that was asked for.
    pub reasons: Vec<Reason>,
}

/// One of the findings that decide a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The phase.
    pub phase: Phase,
    /// The finding's code.
    pub code: &'static str,
    /// What was compared.
    pub subject: String,
}

impl Cell {
    /// What comes of each phase.
    pub(super) fn outcomes(&self) -> [Outcome; 3] {
        [self.live_migration, self.warm_reset, self.cold_boot]
    }
}

/// Every pair: `sources` and `destinations` are the same builds in the same order. A destination is changed
/// while it is looked at, and is afterwards as it was.
///
/// A migration needs the destination's own VARS size; a cold boot reads the variables that the guest brings.
#[must_use]
pub fn pairs(sources: &[Facts], destinations: &mut [Facts]) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(sources.len() * destinations.len().saturating_sub(1));
    for (from, source) in sources.iter().enumerate() {
        // Lent to one destination after the other: a copy for each pair would take longer than judging it.
        let mut brought = source.vars.clone();
        for (to, destination) in destinations.iter_mut().enumerate() {
            if to == from {
                continue;
            }
            let [live_migration, warm_reset] = arrival(source, destination);
            std::mem::swap(&mut destination.vars, &mut brought);
            let cold_boot = cold_boot(source, destination);
            std::mem::swap(&mut destination.vars, &mut brought);
            cells.push(Cell {
                from,
                to,
                live_migration,
                warm_reset,
                cold_boot,
                reasons: Vec::new(),
            });
        }
    }
    cells
}

/// Judges again those pairs that are not simply compatible, and keeps what decides them.
pub(super) fn give_reasons(cells: &mut [Cell], sources: &[Facts], destinations: &mut [Facts]) {
    for cell in cells {
        if cell
            .outcomes()
            .into_iter()
            .all(|outcome| outcome == Outcome::Compatible)
        {
            continue;
        }
        let (Some(source), Some(destination)) = (sources.get(cell.from), destinations.get_mut(cell.to))
        else {
            continue;
        };
        let arrives = judge(source, destination);
        let mut brought = source.vars.clone();
        std::mem::swap(&mut destination.vars, &mut brought);
        let boots = judge(source, destination);
        std::mem::swap(&mut destination.vars, &mut brought);
        for (phase, verdict) in [
            (Phase::LiveMigration, &arrives),
            (Phase::WarmReset, &arrives),
            (Phase::ColdBoot, &boots),
        ] {
            let verdict = verdict.phase(phase);
            let worst = verdict.outcome();
            if worst == Outcome::Compatible {
                continue;
            }
            let decides = |finding: &&Finding| finding.outcome == worst;
            cell.reasons
                .extend(verdict.findings().iter().filter(decides).map(|finding| Reason {
                    phase,
                    code: finding.code,
                    subject: finding.subject.clone(),
                }));
        }
    }
}
