import Client
import Platform
import Primitives

// Asking several nodes at once to hand their hints over. Each answers when its round is over, which may take minutes; a
// thread waits for each of them. Meanwhile this one looks at what is left: for the progress line, and because a node
// whose machine is gone would otherwise be waited for in vain.

struct HintDrain {
  private let endpoints: [Endpoint]
  static let lookMilliseconds: UInt64 = 500

  init(_ endpoints: [Endpoint]) { self.endpoints = endpoints }

  /// A node's round: what it is called, what was left when it was looked at last, and what became of the round.
  private struct Round {
    let endpoint: Endpoint
    var name: String
    var left = 0
    var task: PendingTask?
    var outcome: DrainOutcome?

    /// Looks at the node; its round does not begin yet.
    init(_ endpoint: Endpoint) {
      self.endpoint = endpoint
      name = "\(endpoint)"
      do throws(Failure) {
        let view = try Round.look(endpoint)
        name = view.name
        left = view.count
      } catch {
        outcome = DrainOutcome(answer: .failure(error), name: name)
      }
    }

    static func look(_ endpoint: Endpoint) throws(Failure) -> HintView {
      HintView(
        document: try askedDocument("GET", HintView.path, endpoint, patienceMilliseconds: lookMillisecondsMax))
    }
  }

  /// What became of each node's round, in the order of the endpoints.
  func run() throws -> [DrainOutcome] {
    var rounds = endpoints.map { Round($0) }
    for index in rounds.indices where rounds[index].outcome == nil {
      rounds[index].task = try PendingTask("/admin/drain-hints", rounds[index].endpoint)
    }
    var line = ProgressLine("handing over", .items("hints"), total: UInt64(rounds.reduce(0) { $0 + $1.left }))
    defer { line.finish() }
    let clock = SystemClock()
    var next = clock.instant().adding(milliseconds: HintDrain.lookMilliseconds)
    while true {
      for index in rounds.indices where rounds[index].outcome == nil {
        rounds[index].outcome = rounds[index].task?.answer.map { DrainOutcome(answer: $0, name: rounds[index].name) }
      }
      guard rounds.contains(where: { $0.outcome == nil }) else { return rounds.compactMap(\.outcome) }
      pause(milliseconds: 10)
      guard clock.instant() >= next else { continue }
      next = clock.instant().adding(milliseconds: HintDrain.lookMilliseconds)
      for index in rounds.indices where rounds[index].outcome == nil { HintDrain.look(at: &rounds[index], &line) }
    }
  }

  private static func look(at round: inout Round, _ line: inout ProgressLine) {
    do throws(Failure) {
      let left = try Round.look(round.endpoint).count
      line.advance(by: UInt64(max(0, round.left - left)))
      round.left = min(round.left, left)
    } catch {
      round.outcome = DrainOutcome(answer: .failure(error), name: round.name)
    }
  }
}
