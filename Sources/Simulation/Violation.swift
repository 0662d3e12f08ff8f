package import Primitives

// A promise that a run saw broken.

package struct Violation: Equatable, Sendable, CustomStringConvertible {
  package enum Promise: String, Sendable {
    /// A quorum read returned something older than what had been acknowledged to a quorum.
    case acknowledgedWriteLost = "acknowledged write lost"
    /// A client did not find what it had written itself, through the same process of the same node.
    case ownWriteUnread = "own write unread"
    /// An acknowledged write that is not on as many disks as it promises.
    case notDurable = "not durable"
    /// A value that nobody wrote, or that was written to another key.
    case inventedValue = "invented value"
    /// A stamp with two contents, or a value with two stamps.
    case oneStamp = "one stamp"
    /// A value that is told to have expired, and has not by any clock.
    case goneEarly = "gone before its time"
    /// A delete that does not beat what was acknowledged before it was asked for.
    case deleteTooOld = "delete too old"
    /// "Not found" although something acknowledged was there.
    case falseNotFound = "false not found"
    /// A listing that lacks a key, tells one that was deleted, or tells one twice.
    case falseListing = "false listing"
    /// An answer of the wrong kind, two answers, or none.
    case wrongAnswer = "wrong answer"
    /// A node that does not start, stops by itself, or does not serve once all is calm.
    case unavailable = "unavailable"
    /// Full reads that disagree though nothing was written between them.
    case disagreement = "disagreement"
    /// A hint that was durably kept is gone, and its owner has neither the write nor a newer one.
    case hintLost = "hint lost"
    /// An owner that full reads have found behind is still behind.
    case notRepaired = "not repaired"
    /// A store that is not whole answers as if it were, or serves before it holds what the other owners had.
    case servedTooSoon = "served too soon"
    /// Owners that differ after a round of each, or after some intervals of calm.
    case notConverged = "not converged"
    /// Equal owners that compare more than roots, or say more to each other than that they are there.
    case roundMovesData = "round moves data"
    /// A value that was deleted is read, or held by an owner, again.
    case resurrected = "resurrected"
    /// A tombstone that was forgotten before every owner had it for good.
    case forgottenTooSoon = "forgotten too soon"
    /// A value, then another operation's outcome, then the value again.
    case flipFlop = "flip-flop"
    /// A node that says of a store less than it said before, or more than its disk has.
    case promiseBroken = "promise broken"
    /// A store that was taken for an earlier state of itself, on a machine that has kept all it said.
    case fencedWithoutReason = "fenced without reason"
    /// Tombstones that stay though all is calm, or take up room after they went.
    case notCollected = "not collected"
  }

  package let promise: Promise
  package let time: Instant
  package let text: String

  package init(_ promise: Promise, at time: Instant, _ text: String) {
    self.promise = promise
    self.time = time
    self.text = text
  }

  package var description: String {
    "\(promise.rawValue) at \(time.nanoseconds / 1_000_000) ms: \(text)"
  }
}
