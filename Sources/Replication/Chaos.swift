import Primitives

// Rare branches, taken on purpose. A bound that is never reached in a test is a branch that no test has seen; in a
// simulated run a node asks at each such place whether to behave as if the bound were reached now. In production nobody
// turns this on (a structure test sees to that), and asking is one comparison.

/// A place in the node that has a rare branch of its own.
package enum ChaosPoint: UInt8, CaseIterable, Sendable {
  /// Too many cold reads wait already: `Node.coldReadsMax`.
  case coldReadRefused
  /// Too many operations are in progress: `NodeOptions.operationsMax`.
  case operationRefused
  /// Forwarded writes beyond `ForwardLedger.entriesMax`.
  case forwardRefused
  /// The lease of stamps is renewed at a later tick, so that writes wait for it.
  case leaseLate
  /// A turn does not begin the sync that it could begin: the disk is at something else.
  case syncPutOff
  /// A merge is given so few bytes that it stops after every record.
  case mergeSliceTiny
  /// A turn has no room left for pages of keys.
  case pagesPutOff
  /// The driver's queue for a peer is full: a message is dropped. Taken by the driver, not by the node.
  case messageDropped
  /// As many bytes of hints as there may be are kept: `NodeOptions.hintBytesMax`.
  case hintRefused
  /// A peer has been sent as many writes as may wait for its answer: `Node.awaitedWritesMax`.
  case peerBusy
  /// A read that is not answered when it is first looked at again asks one more replica, as if it had taken long.
  case hedgeAtOnce
  /// As many acknowledgements as may wait for the disk do: `Node.heldMax`.
  case heldFull
  /// An owner that a read found behind is not sent what the read found.
  case repairDropped

  /// Those of writes and reads that somebody stands in for.
  package static let ofHandoff: [ChaosPoint] = [.hintRefused, .peerBusy, .hedgeAtOnce, .heldFull, .repairDropped]
}

/// Decides whether a rare branch is taken. Without a seed it never is.
package struct Chaos: Sendable {
  private let perThousand: Int
  private var mask: UInt32 = 0
  private var generator = SeededGenerator(seed: 0)

  /// Off.
  package init() { perThousand = 0 }

  /// Of a thousand occasions at one of `points`, so many are taken.
  package init(seed: UInt64, perThousand: Int, points: Set<ChaosPoint>) {
    self.perThousand = perThousand
    generator = SeededGenerator(seed: seed)
    for point in ChaosPoint.allCases where points.contains(point) { mask |= 1 << UInt32(point.rawValue) }
  }

  /// Whether the rare branch is taken now.
  package mutating func strikes(_ point: ChaosPoint) -> Bool {
    guard perThousand > 0 else { return false }
    return mask & (1 << UInt32(point.rawValue)) != 0 && generator.chance(perThousand, in: 1000)
  }
}

extension Node where Disk: ~Copyable {
  /// From now on the node behaves as in production.
  package mutating func endChaos() {
    chaos = Chaos()
    admitted.chaos = Chaos()
  }
}
