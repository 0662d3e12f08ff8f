package import Platform
package import Protocols

// What became of a request that was given to a pump.

/// Why a request has no answer.
package enum PumpFailure: Error, Equatable, Sendable {
  /// No connection was made.
  case notReached(Errno)
  /// The node closed the connection.
  case closed
  case broken(Errno)
  /// Nothing came for as long as the pump waits.
  case silent
  /// What came is no answer in the protocol that is spoken, or one that passes a bound; says what.
  case notUnderstood(String, as: PumpWire)
}

package struct PumpCompletion: Sendable {
  package enum Outcome: Sendable {
    /// The node's answer, whatever its status; its parts are places in the pump's bytes.
    case answered(HTTPAnswer)
    /// The same of a pump that speaks Protocol Buffers, whatever it says.
    case answeredFrame(PBAnswer)
    /// It did not leave this process whole, or came to the node behind the end of the connection: sending it again is
    /// safe.
    case notPerformed(PumpFailure)
    /// It was sent and no answer came: it may have been performed, or may be yet.
    case unanswered(PumpFailure)
  }

  /// As it was given with the request.
  package let tag: UInt64
  /// Which of the pump's connections carried it.
  package let connection: Int
  package let outcome: Outcome

  /// The status of an HTTP answer; nil when there is none.
  package var status: Int? { if case .answered(let answer) = outcome { answer.status } else { nil } }
}

extension PumpFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notReached(let error): "cannot be reached: \(error)"
    case .closed: "closed the connection"
    case .broken(let error): "\(error)"
    case .silent: "did not answer in time"
    case .notUnderstood(let what, let wire): "does not speak \(wire.name): \(what)"
    }
  }
}
