import Primitives

// What keeps a tombstone from being forgotten, in one typed reason for each condition of rule PURGE
// (Docs/DeleteProtocol.md), with what an operator should read and may do about it. There is no reason that somebody could
// overrule: every one goes by itself when what it names is right again.

package struct TombstoneBlocker: Equatable, Sendable {
  /// In the order in which they must go: who is away can acknowledge nothing, and time that is not over says nothing while
  /// somebody lags.
  package enum Kind: String, CaseIterable, Comparable, Sendable {
    case loading, fenced, down
    case otherOwners = "other_owners"
    case unvalidated, unsynced
    case cursorLag = "cursor_lag"
    case feedLag = "feed_lag"
    case hold
    case antiEntropy = "anti_entropy"
    case backup
    case purging
    case mergeOverlap = "merge_overlap"
    /// Nothing waits for it; it makes what else a node tells of time wrong.
    case clockDoubted = "clock_doubted"

    private var rank: Int { Kind.allCases.firstIndex(of: self) ?? 0 }
    package static func < (a: Kind, b: Kind) -> Bool { a.rank < b.rank }
  }

  package enum Reason: Equatable, Sendable {
    /// The store is being filled; so much of it is here, where this node can tell.
    case loading(percent: Int?)
    /// The store is damaged or has forgotten something, and serves nothing until it is made anew.
    case fenced
    /// Nothing was heard of it for so long; nil: not since this process began.
    case down(milliseconds: UInt64?, why: String)
    /// It goes by another list of owners.
    case otherOwners
    /// One of the two has not found the other's store whole yet, in their present boots.
    case unvalidated
    /// The tombstone is not durable here.
    case unsynced
    /// So many positions of our feed it has not acknowledged durably.
    case cursorLag(behind: UInt64)
    /// So much of what its feed held when it acknowledged is not here durably (rule ECHO).
    case feedLag(behind: UInt64)
    /// It has not been here as long as `tombstone_hold` says.
    case hold(leftMilliseconds: UInt64)
    /// No round with it that began after the tombstone came has ended well; why the last one failed.
    case antiEntropy(failure: String?)
    /// A backup of the cluster is being made, which holds all of them for so long, unless it asks for more.
    case backup(leftMilliseconds: UInt64)
    /// Nothing keeps it: one of the next turns forgets it.
    case purging
    /// Forgotten already; its record stays on the disk until these files are merged with it (rule OVERLAP).
    case mergeOverlap(files: [UInt32])
    case clockDoubted

    package var kind: Kind {
      switch self {
      case .loading: .loading
      case .fenced: .fenced
      case .down: .down
      case .otherOwners: .otherOwners
      case .unvalidated: .unvalidated
      case .unsynced: .unsynced
      case .cursorLag: .cursorLag
      case .feedLag: .feedLag
      case .hold: .hold
      case .antiEntropy: .antiEntropy
      case .backup: .backup
      case .purging: .purging
      case .mergeOverlap: .mergeOverlap
      case .clockDoubted: .clockDoubted
      }
    }
  }

  /// The node that it lies with, which may be this one.
  package let node: String
  package let reason: Reason
  package init(node: String, _ reason: Reason) {
    self.node = node
    self.reason = reason
  }

  package var kind: Kind { reason.kind }

  // MARK: - Words

  package var text: String {
    switch reason {
    case .loading(let percent): "\(node) is loading" + (percent.map { ", \($0) %" } ?? "")
    case .fenced: "the store is fenced at \(node)"
    case .down(let silence?, let why):
      "\(node) is down, not heard for \(durationText(milliseconds: silence)): \(why)"
    case .down(nil, let why): "\(node) is down, and was not heard since this node started: \(why)"
    case .otherOwners: "\(node) goes by another list of owners"
    case .unvalidated: "\(node) is not validated"
    case .unsynced: "waits for a sync of \(node)"
    case .cursorLag(let behind): "waits for the acknowledgement of \(node), \(behind) behind"
    case .feedLag(let behind): "waits for the feed of \(node), \(behind) behind"
    case .hold(let left): "held for \(durationText(milliseconds: left)) more on \(node)"
    case .antiEntropy(let failure):
      "waits for a round with \(node)" + (failure.map { "; the last one failed: \($0)" } ?? "")
    case .backup(let left):
      "held on \(node) for a backup that is being made, for \(durationText(milliseconds: left)) more"
    case .purging: "is about to be forgotten on \(node)"
    case .mergeOverlap(let files):
      "forgotten, and on the disk of \(node) until file \(files.map(String.init).joined(separator: ", ")) is merged"
    case .clockDoubted: "\(node) doubts its clock"
    }
  }

  /// What an operator may do, in a line.
  package var advice: String {
    switch reason {
    case .loading: "wait until it is filled; cairn anti-entropy shows how far it is, and whom it waits for"
    case .fenced: "its log says why; it is made anew by itself when another owner serves and damaged/ has room"
    case .down:
      "start it again; if its disk is lost, with an empty data directory: it is filled, and then everything goes. "
        + "Nothing may be removed by hand"
    case .otherOwners: "start all nodes with the same --initial-cluster"
    case .unvalidated: "wait some seconds; if it stays, the logs of both nodes say what one holds against the other"
    case .unsynced: "wait a second; if it stays, the disk of this node does not answer"
    case .cursorLag: "wait while the number falls; if it does not, look at its disk, and at the link between the nodes"
    case .feedLag: "wait while the number falls; if it does not, look at this node's disk, and at the link to that one"
    case .hold: "wait: they go by themselves when tombstone_hold is over"
    case .antiEntropy: "wait: the round begins by itself; if it stays, cairn anti-entropy --run says what is in its way"
    case .backup: "wait: they go by themselves when the backup has its snapshots, or has ended"
    case .purging: "nothing"
    case .mergeOverlap: "nothing; a merge frees them by and by, and curl -X POST URL/admin/merge does so now"
    case .clockDoubted: "set its clock right; nothing waits for it, but the ages that it tells are wrong"
    }
  }
}
