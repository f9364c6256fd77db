//! What changes the state of a rollout.

/// What changes the state of a rollout. A person says it, or the planner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// It is written down whole, and begins.
    Begin,
    /// Nothing new is to begin.
    Pause,
    /// It is to go on.
    Resume,
    /// It ends where it is.
    Abort,
    /// Everybody goes back.
    RollBack,
    /// Every guest had its turn, on the way there or back.
    Finish,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Begin,
        Self::Pause,
        Self::Resume,
        Self::Abort,
        Self::RollBack,
        Self::Finish,
    ];

    /// What a rollout is afterwards, in words.
    #[must_use]
    pub const fn participle(self) -> &'static str {
        match self {
            Self::Begin => "begun",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Abort => "aborted",
            Self::RollBack => "rolled back",
            Self::Finish => "finished",
        }
    }
}
