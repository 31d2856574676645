//! Faults of a cluster, of its network and of the servers on it.

use std::time::Duration;

use fastrand::Rng;

use crate::history::site::Site as Servers;
use crate::link::Condition;
use crate::members::Members;
use crate::site::Replica;
use crate::support::server::TestServer;

/// Delay of slow links.
const DELAY: Duration = Duration::from_millis(200);

/// A fault that heals without a restart of other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    MemberKilled,
    /// By SIGSTOP.
    MemberStopped,
    MemberSlow,
    /// A server cannot connect to a member.
    MemberCut,
    /// Packets between a server and a member are dropped.
    MemberHeld,
    /// Requests of a server arrive at a member, and responses do not come back.
    MemberMute,
    /// A member cannot reach the others.
    PeersCut,
    /// Packets between a member and the others are dropped.
    PeersHeld,
    /// The leader can reach neither members nor servers.
    LeaderCut,
    /// Two of three members are stopped.
    QuorumLost,
    ServerKilled,
    /// By SIGSTOP.
    ServerStopped,
}

impl Fault {
    pub(crate) const ALL: [Self; 12] = [
        Self::MemberKilled,
        Self::MemberStopped,
        Self::MemberSlow,
        Self::MemberCut,
        Self::MemberHeld,
        Self::MemberMute,
        Self::PeersCut,
        Self::PeersHeld,
        Self::LeaderCut,
        Self::QuorumLost,
        Self::ServerKilled,
        Self::ServerStopped,
    ];
}

/// A cluster with servers, to inject faults into.
pub(crate) struct Target<'a> {
    pub(crate) members: &'a mut Members,
    pub(crate) replicas: &'a mut [Replica],
}

/// Places of a fault: a member and a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) member: usize,
    pub(crate) replica: usize,
}

impl Target<'_> {
    /// A place for a fault. Faults of members hit the leader as often as all others together.
    pub(crate) async fn place(&self, fault: Fault, random: &mut Rng) -> Place {
        let leader = fault == Fault::LeaderCut || random.bool();
        let member = if leader {
            self.members.wait_for_leader().await
        } else {
            random.usize(..self.members.size())
        };
        Place { member, replica: random.usize(..self.replicas.len()) }
    }

    pub(crate) fn inject(&mut self, fault: Fault, Place { member, replica }: Place) {
        let next = self.next(member);
        let set = |condition| self.replicas[replica].set_link(member, condition);
        match fault {
            Fault::MemberKilled => self.members.kill(member),
            Fault::MemberStopped => self.members.pause(member),
            Fault::MemberSlow => {
                self.replicas.iter().for_each(|it| it.set_link(member, Condition::Slow(DELAY)));
                self.members.set_peers(member, Condition::Slow(DELAY));
            }
            Fault::MemberCut => set(Condition::Cut),
            Fault::MemberHeld => set(Condition::Held),
            Fault::MemberMute => set(Condition::Mute),
            Fault::PeersCut => self.members.set_peers(member, Condition::Cut),
            Fault::PeersHeld => self.members.set_peers(member, Condition::Held),
            Fault::LeaderCut => {
                self.replicas.iter().for_each(|it| it.set_link(member, Condition::Held));
                self.members.set_peers(member, Condition::Held);
            }
            Fault::QuorumLost => {
                self.members.pause(member);
                self.members.pause(next);
            }
            Fault::ServerKilled => self.replicas[replica].kill(),
            Fault::ServerStopped => self.replicas[replica].pause(),
        }
    }

    /// Ends a fault and waits until the cluster is healthy.
    pub(crate) async fn heal(&mut self, fault: Fault, place: Place, servers: &Servers) {
        let Place { member, replica } = place;
        let next = self.next(member);
        match fault {
            Fault::MemberKilled => self.members.start_member(member),
            Fault::MemberStopped => self.members.resume(member),
            Fault::QuorumLost => {
                self.members.resume(member);
                self.members.resume(next);
            }
            Fault::ServerKilled => {
                let replica_of_it = &mut self.replicas[replica];
                replica_of_it.start_again().await;
                servers.replace(replica, replica_of_it.server.admin());
            }
            Fault::ServerStopped => self.replicas[replica].resume(),
            _ => {
                self.replicas.iter().for_each(|it| it.set_links(Condition::Open));
                self.members.set_peers(member, Condition::Open);
            }
        }
        self.members.healthy().await;
    }

    fn next(&self, member: usize) -> usize {
        (member + 1) % self.members.size()
    }
}
