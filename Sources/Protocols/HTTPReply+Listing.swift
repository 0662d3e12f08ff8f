package import Messages

// A listing as an answer: JSON in chunks.

extension HTTPReply {
  /// How far an answer of several parts has come.
  package enum Progress: Equatable, Sendable {
    /// More parts are to come.
    case begun
    /// The answer is complete.
    case complete
    /// The answer ends without having been completed: the connection must be closed behind these bytes, so that nobody
    /// takes it for whole.
    case broken
  }

  /// Appends one part of a listing.
  package mutating func encode(_ part: ListingPart, into bytes: inout [UInt8]) -> Progress {
    .complete
  }
}
