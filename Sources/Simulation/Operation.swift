import Causality
package import Messages
package import Primitives
package import Storage

// One thing a simulated client asked for, and what its quorums are worth to a checker.

package struct Operation: Sendable {
  package enum Kind: String, Sendable { case get, put, delete }

  /// Position in the history; a put's value names it.
  package let number: Int
  /// Index of the key.
  package let key: Int
  package let request: ClientRequest
  package let invoked: Instant
  /// Who asks, and through which process; nil where nobody minds.
  package var asker: Asker?

  /// A client of one process of a node.
  package struct Asker: Hashable, Sendable {
    package let client: Int
    package let machine: Int
    /// Which of the processes that ran there.
    package let life: Int
    package init(client: Int, machine: Int, life: Int) {
      self.client = client
      self.machine = machine
      self.life = life
    }
  }

  package init(number: Int, key: Int, request: ClientRequest, invoked: Instant) {
    self.number = number
    self.key = key
    self.request = request
    self.invoked = invoked
  }

  package var kind: Kind {
    switch request {
    case .get: .get
    case .put: .put
    case .delete: .delete
    }
  }

  /// The quorums of a put or delete.
  package var writeQuorum: WriteQuorum? {
    switch request {
    case .get: nil
    case .put(let put): put.quorum
    case .delete(let delete): delete.quorum
    }
  }

  package var timeoutMilliseconds: UInt32? {
    switch request {
    case .get(let request): request.timeoutMilliseconds
    case .put(let request): request.timeoutMilliseconds
    case .delete(let request): request.timeoutMilliseconds
    }
  }
}

/// What the answers of a run are worth: how many nodes a read has asked, how many nodes a write is on for good.
package struct QuorumRules: Sendable {
  /// Replicas of each key.
  package let n: Int
  package let sync: SyncMode
  /// Power losses happen in this run: what was not synced does not count.
  package let losesUnsyncedWrites: Bool
  /// So many nodes may lose what was synced as well: by damage, or to an older copy of their disk.
  package let nodesThatForget: Int
  /// What these forget they notice, and say nothing of it until they have got it from every other owner: a write that
  /// others have too keeps all its copies.
  package var isRefilled = false
  /// Who comes back with an older copy of its disk is found out by what it promised of its tombstones.
  package var isFenced = false
  /// A client may be told of damage.
  package var expectsDamage = false

  package init(n: Int, sync: SyncMode, losesUnsyncedWrites: Bool, nodesThatForget: Int = 0) {
    self.n = n
    self.sync = sync
    self.losesUnsyncedWrites = losesUnsyncedWrites
    self.nodesThatForget = nodesThatForget
  }

  private var quorum: Int { n / 2 + 1 }

  package func nodesRead(_ r: QuorumSize) -> Int { r.resolved(n: n, default: quorum) }

  /// Nodes that hold a write, for the moment at least, when it is acknowledged.
  package func nodesReached(_ write: WriteQuorum) -> Int {
    let w = write.w.resolved(n: n, default: quorum)
    return max(w, write.dw.resolved(n: n, default: w))
  }

  /// Nodes whose disks hold it durably then.
  package func nodesSynced(_ write: WriteQuorum) -> Int {
    let byDefault = sync == .always ? write.w.resolved(n: n, default: quorum) : 0
    return write.dw.resolved(n: n, default: byDefault)
  }

  /// Nodes that hold an acknowledged write whatever faults this run knows.
  package func nodesKept(_ write: WriteQuorum) -> Int { max(0, nodesHeld(write) - nodesThatForget) }

  /// The same for a write of which some nodes keep a hint only: owners that hold it, or will before they answer.
  package func ownersKept(_ write: WriteQuorum, standIns: Int) -> Int {
    let owners = nodesHeld(write) - standIns
    return isRefilled && owners > nodesThatForget ? owners : max(0, owners - nodesThatForget)
  }

  /// The same for a delete where a node that comes back with an older copy of its disk is found out: it says nothing
  /// until it has got from the others what it forgot.
  package func ownersNoticed(_ write: WriteQuorum, standIns: Int) -> Int {
    let owners = nodesHeld(write) - standIns
    return isFenced && owners > nodesThatForget ? owners : max(0, owners - nodesThatForget)
  }

  private func nodesHeld(_ write: WriteQuorum) -> Int {
    losesUnsyncedWrites ? nodesSynced(write) : nodesReached(write)
  }
}

extension ClientResponse {
  /// Of the version that the answer names.
  var stamp: Stamp? {
    switch self {
    case .object(let stamp, _, _), .stored(let stamp), .deleted(let stamp): stamp
    case .notFound(let tombstone): tombstone
    case .failed: nil
    }
  }
}
