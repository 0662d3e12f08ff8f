import Client
import Platform
import Primitives
import Protocols

// Asking several nodes at once to hand their hints over. Each answers when its round is over, which may take minutes; a
// thread waits for each of them. Meanwhile this one looks at what is left: for the progress line, and because a node
// whose machine is gone would otherwise be waited for in vain.

struct HintDrain {
  private let endpoints: [Endpoint]

  /// As long as a round may take: 32 GiB at the lowest rate would take longer, and is answered by the next round.
  private static let patienceMilliseconds = 86_400_000
  private static let lookMilliseconds: UInt64 = 500

  init(_ endpoints: [Endpoint]) { self.endpoints = endpoints }

  /// What became of each node's round, in the order of the endpoints.
  func run() throws -> [DrainOutcome] {
    var names: [String] = []
    var looks: [(endpoint: Endpoint, left: Int)] = []
    var outcomes: [DrainOutcome?] = []
    for endpoint in endpoints {
      do throws(Failure) {
        let view = try HintView(asking: endpoint)
        names.append(view.name)
        looks.append((endpoint, view.count))
        outcomes.append(nil)
      } catch {
        names.append("\(endpoint)")
        looks.append((endpoint, 0))
        outcomes.append(DrainOutcome(answer: .failure(error), name: "\(endpoint)"))
      }
    }
    let answers = Locked<[Int: Result<JSON, Failure>]>([:])
    for index in endpoints.indices where outcomes[index] == nil {
      let endpoint = endpoints[index]
      _ = try Thread {
        let answer = HintDrain.ask(endpoint)
        answers.withLock { $0[index] = answer }
      }
    }
    wait(for: answers, names, &looks, &outcomes)
    return outcomes.compactMap { $0 }
  }

  private static func ask(_ endpoint: Endpoint) -> Result<JSON, Failure> {
    do throws(Failure) {
      return .success(
        try hintAnswer("POST", "/admin/drain-hints", endpoint, patienceMilliseconds: patienceMilliseconds))
    } catch {
      return .failure(error)
    }
  }

  private func wait(
    for answers: Locked<[Int: Result<JSON, Failure>]>, _ names: [String],
    _ looks: inout [(endpoint: Endpoint, left: Int)], _ outcomes: inout [DrainOutcome?]
  ) {
    let clock = SystemClock()
    var line = ProgressLine("handing over", .items("hints"), total: UInt64(looks.reduce(0) { $0 + $1.left }))
    defer { line.finish() }
    var next = clock.instant().adding(milliseconds: HintDrain.lookMilliseconds)
    while true {
      for (index, answer) in answers.withLock({ $0 }).sorted(by: { $0.key < $1.key }) where outcomes[index] == nil {
        outcomes[index] = DrainOutcome(answer: answer, name: names[index])
      }
      guard outcomes.contains(where: { $0 == nil }) else { return }
      pause(milliseconds: 10)
      guard clock.instant() >= next else { continue }
      next = clock.instant().adding(milliseconds: HintDrain.lookMilliseconds)
      for index in looks.indices where outcomes[index] == nil {
        do throws(Failure) {
          let left = try HintView(asking: looks[index].endpoint).count
          line.advance(by: UInt64(max(0, looks[index].left - left)))
          looks[index].left = min(looks[index].left, left)
        } catch {
          outcomes[index] = DrainOutcome(answer: .failure(error), name: names[index])
        }
      }
    }
  }
}
