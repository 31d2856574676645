//! Flows: the parties that share a limit.

use std::num::NonZeroU32;

/// The priority of a flow, as the priority levels of API Priority and Fairness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriorityLevel {
    /// Flows that are never refused, such as cluster administrators.
    Exempt,
    /// Components of the cluster.
    System,
    /// Authenticated users.
    Users,
    /// Clients without credentials.
    Unauthenticated,
}

/// A party that shares a limit with others, such as a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The priority level.
    pub level: PriorityLevel,
    /// The identity, unique within the level.
    pub id: u64,
    /// The number of usual shares that the flow may use.
    pub shares: NonZeroU32,
}

impl PriorityLevel {
    /// All levels, by descending priority.
    pub const ALL: [Self; 4] = [Self::Exempt, Self::System, Self::Users, Self::Unauthenticated];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::System => "system",
            Self::Users => "users",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

impl Flow {
    /// The flow of this process itself.
    pub const INTERNAL: Self =
        Self { level: PriorityLevel::Exempt, id: 0, shares: NonZeroU32::MIN };
}
