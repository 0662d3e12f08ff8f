import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage

// What tests look at inside a test cluster: states, messages that were sent, keys by their owners.

extension TestCluster {
  func status(_ id: Int) -> NodeStatus? { self[id].node?.status(at: moment(self[id])) }

  func tombstones(_ id: Int) -> Int? { status(id)?.tombstones }

  /// Leaves a stopped node with an empty disk.
  func wipe(_ id: Int) { self[id].disk = SimulatedDisk(seed: 99, root: "/data") }

  /// No store is compared and none is filled: what is loading stays so.
  static func withholdsExchanges(_ letter: Letter) -> Treatment {
    switch letter.message.body {
    case .compare, .compareReply, .pull, .pullReply: .drop
    default: .deliver
    }
  }

  /// Nobody hears of the stores of others.
  static func withholdsStates(_ letter: Letter) -> Treatment {
    if case .storeStates = letter.message.body { .drop } else { .deliver }
  }

  /// States of one node's stores do not reach another one.
  func treatStates(from sender: Int, to receiver: Int, _ treatment: Treatment = .drop) {
    treat = { letter in
      guard case .storeStates = letter.message.body else { return .deliver }
      return letter.from == NodeID(UInt32(sender)) && letter.to == NodeID(UInt32(receiver)) ? treatment : .deliver
    }
  }

  /// Removes one store's directory from the disk of a stopped node.
  func removeStore(_ id: Int, _ store: String) {
    guard var disk = self[id].disk else { return }
    for path in disk.paths where path.contains("/stores/\(store)/") { try? disk.unlink(path) }
    self[id].disk = disk
  }

  /// Stamps of the tombstones that a node has pushed, in order.
  func tombstoneStamps(from id: Int) -> [Stamp] {
    sent.compactMap { letter in
      guard letter.from == NodeID(UInt32(id)), case .push(let push) = letter.message.body, push.version.isTombstone
      else { return nil }
      return push.version.stamp
    }
  }

  /// Answers that asked for another stamp.
  func restamps() -> [Letter] {
    sent.filter { letter in
      if case .forwardReply(let reply) = letter.message.body, case .restamp = reply.outcome { true } else { false }
    }
  }

  /// The device refuses the sync that is in flight.
  func failSync(_ id: Int) {
    guard let sync = self[id].heldSync else { return }
    self[id].heldSync = nil
    step(self[id], .syncFailed(sync.request.ticket, .io(.sync, path: "journal", errno: 5)))
  }

  /// A key, and a node that owns nothing of it.
  func foreignKey() -> (key: String, entry: Int)? {
    guard let ring = nodes[0].node?.currentRing, let seed = ringSeed else { return nil }
    for index in 0..<1000 {
      let key = "f\(index)"
      let owners = ring.owners(of: ring.partition(of: RingHash(seed: seed)(key.objectKey.encoded)))
      if let stranger = nodes.first(where: { !owners.contains($0.id) }) { return (key, Int(stranger.id.rawValue)) }
    }
    return nil
  }

  private var ringSeed: UInt64? {
    for letter in sent {
      if case .hello(let hello) = letter.message.body, let cluster = hello.cluster { return cluster.ringSeed }
    }
    return nil
  }

  func lastForward() -> Letter? {
    sent.last { if case .forward = $0.message.body { true } else { false } }
  }

  func forwards() -> [(to: NodeID, stamp: Stamp?, isFirstAttempt: Bool)] {
    sent.compactMap { letter in
      guard case .forward(let forward) = letter.message.body else { return nil }
      return (letter.to, forward.stamp, forward.isFirstAttempt)
    }
  }
}
