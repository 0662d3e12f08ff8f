package import Causality
package import Cluster
package import Primitives
package import Storage

// What a node says of itself to operators: one value, read between turns; the server turns it into JSON.

package struct NodeStatus: Sendable {
  package enum State: Equatable, Sendable {
    /// Not serving yet, and why.
    case starting(reason: String)
    case serving
    case stopping
  }

  package struct Peer: Sendable {
    package enum Link: Equatable, Sendable {
      case up
      case down(reason: String)
      /// The peer, or this node, refused the handshake.
      case refused(reason: String)
    }
    package let member: Member
    package let link: Link
    /// Since anything was heard from it; nil before the first contact.
    package let silentMilliseconds: UInt64?
    /// Its wall clock minus ours; nil before the first contact.
    package let clockOffsetMilliseconds: Int64?
  }

  package let member: Member
  package let state: State
  package let clusterID: Identity128?
  package let bootID: UInt64
  package let actor: ActorID
  package let ringEpoch: UInt64
  package let peers: [Peer]
  package let stores: [StoreStatus]
  /// This node does not coordinate writes: its wall clock disagrees with the median of its peers'.
  package let clockInDoubt: Bool
  package let operationsInProgress: Int
  package let counters: NodeCounters
  package let recovery: RecoveryReport

  package init(
    member: Member, state: State, clusterID: Identity128?, bootID: UInt64, actor: ActorID, ringEpoch: UInt64,
    peers: [Peer], stores: [StoreStatus], clockInDoubt: Bool, operationsInProgress: Int, counters: NodeCounters,
    recovery: RecoveryReport
  ) {
    self.member = member
    self.state = state
    self.clusterID = clusterID
    self.bootID = bootID
    self.actor = actor
    self.ringEpoch = ringEpoch
    self.peers = peers
    self.stores = stores
    self.clockInDoubt = clockInDoubt
    self.operationsInProgress = operationsInProgress
    self.counters = counters
    self.recovery = recovery
  }

  package var keysLive: Int { stores.reduce(0) { $0 + $1.keysLive } }
  package var tombstones: Int { stores.reduce(0) { $0 + $1.tombstones } }
}

/// Totals since the start of the process.
package struct NodeCounters: Equatable, Sendable {
  /// Operations coordinated here.
  package var gets: UInt64 = 0
  package var puts: UInt64 = 0
  package var deletes: UInt64 = 0
  package var lists: UInt64 = 0
  /// Operations that this node's stores performed.
  package var vnodeGets: UInt64 = 0
  package var vnodePuts: UInt64 = 0
  /// Pages of keys.
  package var vnodePages: UInt64 = 0
  /// Writes handed to an owner.
  package var forwarded: UInt64 = 0
  package var quorumFailures: UInt64 = 0
  package var timeouts: UInt64 = 0
  package var overloads: UInt64 = 0
  package var stalePushesRefused: UInt64 = 0
  package var syncs: UInt64 = 0
  package init() {}
}
