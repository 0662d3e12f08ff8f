import Messages

// What a client is told in place of what it asked for. Riak's clients compare these texts: where Riak has one, it is that
// and nothing more; what Riak has no words for is said as over HTTP.

/// A request that is answered without the node; the connection goes on.
struct PBRefusal: Error, Equatable, Sendable {
  let text: String
  init(_ text: String) { self.text = text }
  init(_ problem: PBProblem) { text = "Error processing incoming message: \(problem.text)" }

  static let emptyBucket = PBRefusal("Bucket cannot be zero-length")
  static let emptyKey = PBRefusal("Key cannot be zero-length")
  static let emptyType = PBRefusal("Type cannot be zero-length")
  static let nameTooLong = PBRefusal("bucket and key are longer than \(ObjectKey.byteCountMax) bytes")
  static let foreignClock = PBRefusal(
    PBProblem("the vclock is none that was made here: send what a read returned, or nothing"))
  static let clockAhead = PBRefusal("the vclock is ahead of every clock: send what a read returned")
  static let noKeysMade = PBRefusal("Keys are not made here: name one")
  static let modified = PBRefusal("modified")
  static let matchFound = PBRefusal("match_found")
  static let notFound = PBRefusal("notfound")

  static func noType(_ name: PBBytes) -> PBRefusal {
    PBRefusal("No bucket-type named '\(String(decoding: name.prefix(PBLimits.quotedBytesMax), as: UTF8.self))'")
  }

  static func invalidProperty(_ name: StaticString, _ reason: String) -> PBRefusal {
    PBRefusal("Invalid bucket properties: [{\(name),\(reason)}]")
  }

  static func unknown(code: UInt8) -> PBRefusal {
    if code == 255 { return PBRefusal("Security not enabled; STARTTLS not allowed.") }
    if let name = PBCode.absent(code) { return PBRefusal("\(name) is not supported here (message code \(code))") }
    return PBRefusal("Unknown message code: \(code)")
  }

  /// What the node could not do.
  init(_ failure: ClientFailure) {
    switch failure {
    case .unsatisfied(let quorum, let wanted, let got, _): text = "{\(quorum)_val_unsatisfied,\(wanted),\(got)}"
    case .timeout: text = "timeout"
    case .invalidQuorum(let n): text = "{n_val_violation,\(n)}"
    case .invalidContext: self = .clockAhead
    case .overloaded: text = "overload"
    case .notReady, .damaged, .full, .unavailable: text = HTTPReply.text(failure)
    }
  }
}
