import Messages

// Kinds of messages that may come later than others (`DeleteOptions.late`): each has something of its own that it may
// have been overtaken by.

package enum LateMessage: CaseIterable, Sendable {
  /// A write or a repair.
  case push
  /// A hint that is handed over.
  case handoff
  case read, readReply
  case pull, pullReply
  /// How far stores are, and tombstones.
  case feed

  init?(_ body: PeerBody) {
    switch body {
    case .push(let push): self = push.kind == .handoff ? .handoff : .push
    case .read: self = .read
    case .readReply: self = .readReply
    case .pull: self = .pull
    case .pullReply: self = .pullReply
    case .storeStates, .storeStatesReply: self = .feed
    default: return nil
    }
  }
}
