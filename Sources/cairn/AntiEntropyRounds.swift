import Client
import Platform
import Primitives
import Protocols

// Asking several nodes, one after the other, to compare everything with their peers now. Each answers when that is done;
// meanwhile it is looked at: for the progress line, and because a node whose machine is gone would otherwise be waited
// for in vain.

struct AntiEntropyRounds {
  private static let lookMilliseconds: UInt64 = 500
  private let endpoints: [Endpoint]

  init(_ endpoints: [Endpoint]) { self.endpoints = endpoints }

  /// What became of each node's round, in the order of the endpoints.
  func run() throws -> [RoundOutcome] {
    let looks = endpoints.map { endpoint in
      Result { () throws(Failure) in try AntiEntropyRounds.look(endpoint) }
    }
    let total = looks.reduce(0) { $0 + ((try? $1.get()).map(AntiEntropyRounds.comparisons) ?? 0) }
    var line = ProgressLine("comparing stores", .items("comparisons"), total: UInt64(total))
    defer { line.finish() }
    return try zip(endpoints, looks).map { endpoint, look in
      switch look {
      case .success(let document): try AntiEntropyRounds.round(of: endpoint, shownBefore: document, &line)
      case .failure(let failure): RoundOutcome(answer: .failure(failure), name: "\(endpoint)")
      }
    }
  }

  private static func look(_ endpoint: Endpoint) throws(Failure) -> JSON {
    try askedDocument("GET", AntiEntropyReport.path, endpoint, patienceMilliseconds: lookMillisecondsMax)
  }

  /// How many a round of this node is made of.
  private static func comparisons(_ document: JSON) -> Int {
    (document["peers"]?.array ?? []).reduce(0) { $0 + ($1["stores"]?.integer ?? 0) }
  }

  /// How many have come to an end since the node's process began, well or not.
  private static func ended(_ document: JSON) -> Int {
    (document["rounds"]?["done"]?.integer ?? 0) + (document["rounds"]?["failed"]?.integer ?? 0)
  }

  private static func round(
    of endpoint: Endpoint, shownBefore before: JSON, _ line: inout ProgressLine
  ) throws -> RoundOutcome {
    let name = before["node"]?.string ?? "\(endpoint)"
    let total = comparisons(before)
    let task = try PendingTask(AntiEntropyReport.path, endpoint)
    let clock = SystemClock()
    var next = clock.instant().adding(milliseconds: lookMilliseconds)
    var shown = 0
    while true {
      if let answer = task.answer {
        line.advance(by: UInt64(total - shown))
        return RoundOutcome(answer: answer, name: name)
      }
      pause(milliseconds: 10)
      guard clock.instant() >= next else { continue }
      next = clock.instant().adding(milliseconds: lookMilliseconds)
      do throws(Failure) {
        // Rounds that were due anyway count too; more than all is never shown.
        let done = min(total, max(shown, ended(try look(endpoint)) - ended(before)))
        line.advance(by: UInt64(done - shown))
        shown = done
      } catch {
        return RoundOutcome(answer: .failure(error), name: name)
      }
    }
  }
}
