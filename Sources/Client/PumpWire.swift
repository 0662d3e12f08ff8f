import Protocols

// What a pump's connections speak: where an answer ends, and what the pump must know of it.

package enum PumpWire: Sendable {
  case http
  /// Riak's Protocol Buffers.
  case pb

  /// As it is called in errors.
  var name: StaticString {
    switch self {
    case .http: "HTTP"
    case .pb: "Protocol Buffers"
    }
  }

  /// The answer that begins at `start`; nil when it is not all there yet.
  func answer(
    in bytes: [UInt8], from start: Int, to request: PumpRequest, bytesMax: Int
  ) throws(PumpFailure) -> PumpAnswer? {
    switch self {
    case .http:
      do throws(HTTPResponseError) {
        return try HTTPAnswer.find(in: bytes, from: start, toHead: request.toHead, bodyBytesMax: bytesMax)
          .map(PumpAnswer.init)
      } catch {
        switch error {
        case .malformed(let what): throw .notUnderstood(what, as: self)
        case .truncated: throw .closed
        }
      }
    case .pb:
      do throws(PBProblem) {
        return try PBAnswer.find(in: bytes, from: start, valueBytesMax: bytesMax).map(PumpAnswer.init)
      } catch {
        throw .notUnderstood(error.text, as: self)
      }
    }
  }
}

/// An answer on either wire.
struct PumpAnswer {
  let outcome: PumpCompletion.Outcome
  let end: Int
  let keepsConnection: Bool
  /// The node says that it has no room for now.
  let isOverloaded: Bool

  init(_ answer: HTTPAnswer) {
    outcome = .answered(answer)
    end = answer.body.upperBound
    keepsConnection = answer.keepsConnection
    isOverloaded = answer.status == 503 || answer.status == 507
  }

  init(_ answer: PBAnswer) {
    outcome = .answeredFrame(answer)
    end = answer.end
    keepsConnection = true
    isOverloaded = answer.outcome == .refused("overload")
  }
}
