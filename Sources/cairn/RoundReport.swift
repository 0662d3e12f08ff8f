import Platform
import Primitives
import Protocols

// What became of rounds that were asked for: a row per node, and a line for everything that could not be compared. Pure:
// answers in, text out.

/// What became of one node's round.
struct RoundOutcome {
  /// The answer of `POST /admin/anti-entropy`, or why there is none.
  let answer: Result<JSON, Failure>
  let name: String
}

struct RoundReport {
  /// Reasons for which one node could not compare something that have a line, at most; the rest is counted.
  static let causesShown = 16

  private let rounds: [(name: String, document: JSON)]
  private let problems: [String]

  init(_ outcomes: [RoundOutcome]) {
    rounds = outcomes.compactMap { outcome in (try? outcome.answer.get()).map { (outcome.name, $0) } }
    problems = outcomes.compactMap { if case .failure(let failure) = $0.answer { failure.message } else { nil } }
  }

  /// Some node had an answer.
  var isWorthPrinting: Bool { !rounds.isEmpty }

  private func sum(_ name: String) -> Int { rounds.reduce(0) { $0 + $1.document.count(name) } }

  /// What could not be compared: a store with a peer, or all of them.
  private static func failed(_ document: JSON) -> Int {
    max(document.count("failed_total"), document.rows("failed").count)
  }

  private var failed: Int { rounds.reduce(0) { $0 + RoundReport.failed($1.document) } }

  var text: String {
    let rows = rounds.map { name, document in
      [
        name, grouped(document.count("stores")), grouped(document.count("differing")),
        grouped(document.count("keys_pulled")), document.bytes("bytes_pulled"),
        document["milliseconds"]?.integer.map { durationText(milliseconds: $0) } ?? "-",
      ]
    }
    let keys = sum("keys_pulled")
    let total = "total: \(grouped(keys)) \(keys == 1 ? "key" : "keys") pulled, \(byteText(Double(sum("bytes_pulled"))))"
    let lines =
      table(["NODE", "STORES", "DIFFERING", "PULLED", "BYTES", "TIME"], rows) + [total]
      + rounds.flatMap { RoundReport.warnings($0.name, $0.document) }.map { "! " + oneLine($0) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// A line for each peer and reason.
  private static func warnings(_ name: String, _ document: JSON) -> [String] {
    var causes: [(peer: String, reason: String, stores: [String?])] = []
    for failure in document.rows("failed") {
      let (peer, reason) = (failure.text("peer"), failure["reason"]?.string ?? "")
      let store = failure["store"]?.string
      if let place = causes.firstIndex(where: { $0.peer == peer && $0.reason == reason }) {
        causes[place].stores.append(store)
      } else {
        causes.append((peer, reason, [store]))
      }
    }
    let shown = causes.prefix(causesShown)
    var lines = shown.map { cause in
      let what = cause.stores.count > 1 ? "\(grouped(cause.stores.count)) stores" : cause.stores[0] ?? "its stores"
      return "\(name) could not compare \(what) with \(cause.peer): \(cause.reason)"
    }
    let more = failed(document) - shown.reduce(0) { $0 + $1.stores.count }
    if more > 0 { lines.append("\(name) could not compare \(grouped(more)) more") }
    let differing = document.count("still_differing")
    if differing > 0 {
      lines.append(
        "\(name): \(differing == 1 ? "1 store differs" : "\(grouped(differing)) stores differ") from a peer's again: "
          + "writes came meanwhile, or it is still pulling")
    }
    return lines
  }

  var json: JSON {
    let nodes = rounds.map { round in
      JSON.object([JSON.Member(name: "node", value: .string(round.name))] + (round.document.members ?? []))
    }
    return .object([
      "keys_pulled": .count(sum("keys_pulled")), "bytes_pulled": .count(sum("bytes_pulled")),
      "failed": .count(failed), "nodes": .array(nodes), "unreachable": .array(problems.map { .string($0) }),
    ])
  }

  /// Why this is no success, or nil.
  var failure: String? {
    let rest = failed > 0 ? ["not everything could be compared, see above"] : []
    let lines = rest + problems
    return lines.isEmpty ? nil : lines.joined(separator: "; ")
  }
}
