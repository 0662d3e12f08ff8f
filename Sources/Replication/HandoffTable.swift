import Causality
import Messages
import Primitives
import Storage

// How far the handing over of hints is, per node that they are for.

struct HandoffTable: Sendable {
  /// A hint on its way.
  struct InFlight: Sendable {
    let place: HintPlace
    let stamp: Stamp
    let byteCount: Int
    let sent: Instant
  }

  struct Target: Sendable {
    let node: NodeID
    /// Where the pass over its hints is.
    var cursor = HintCursor.start
    /// Everything that was in files has been looked at.
    var isAtEnd = false
    var inFlight: [UInt64: InFlight] = [:]
    var bytesInFlight = 0
    /// What the disk brought for the next page.
    var warm: WarmBytes?
    var isReading = false
    /// The next pass, or the next attempt after refusals, begins then.
    var pausedUntil: Instant?
    var pauses = 0
    /// Why it was paused.
    var obstacle: Obstacle?
    /// The first hint of the log when it was last looked at: all others were kept later, but for those of a merge.
    var oldest: HybridTime?
    /// No hint stands before this.
    var head = HintCursor.start
    /// When the first of those hints was sent that are being handed over now, and how many were since.
    var began: Instant?
    var deliveredSince = 0
    /// Delivered in this pass: one that delivers nothing need not be repeated at once.
    var deliveredInPass = 0

    /// Forgets what is under way: the target is gone, or it is time for another pass.
    mutating func rewind() {
      cursor = .start
      isAtEnd = false
      inFlight.removeAll()
      bytesInFlight = 0
      warm = nil
      deliveredInPass = 0
    }
  }

  /// Sorted by node.
  var targets: [Target]
  /// Bytes that may be sent now, below zero after a page that cost more; and since when that was reckoned.
  var allowance = 0
  var reckoned: Instant?
  /// Who asked for all hints to be handed over, with what had been delivered then.
  var waiters: [(session: SessionID, delivered: UInt64)] = []

  var reviewed: Instant
  /// Something may be sent, or is on its way: checked first, because every turn asks.
  var isActive = false

  init(_ nodes: [NodeID], at now: Instant) {
    reviewed = now
    targets = nodes.sorted().map { Target(node: $0) }
  }

  func index(_ node: NodeID) -> Int? { targets.firstIndex { $0.node == node } }

  /// A pass that was at its end has something to do again.
  mutating func noteKept(for node: NodeID) {
    guard let index = index(node) else { return }
    targets[index].isAtEnd = false
    isActive = true
  }
}
