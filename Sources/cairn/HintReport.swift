import Platform
import Primitives
import Protocols

// What several nodes say of the hints that they keep, put together: a row per holder and target, and a line for the
// whole. Pure: documents in, text out.

/// What one node says: `/admin/hints`, or the answer to `/admin/drain-hints`.
struct HintView {
  static let path = "/admin/hints"
  let document: JSON

  var name: String { document["node"]?.string ?? "?" }
  var count: Int { document["count"]?.integer ?? 0 }
  var targets: [JSON] { document["targets"]?.array ?? [] }
}

/// Rows of what is kept, whoever says it.
private struct HintTable {
  private let rows: [[String]]
  private let total: String

  /// - Parameter holders: Each with what it keeps for others.
  init(_ holders: [(name: String, targets: [JSON])]) {
    let queues = holders.flatMap { holder in
      holder.targets.filter { $0["count"]?.integer ?? 0 > 0 }.map { (holder: holder.name, target: $0) }
    }
    rows = queues.map { HintTable.cells($0.holder, $0.target) }
    let count = queues.reduce(0) { $0 + ($1.target["count"]?.integer ?? 0) }
    let bytes = queues.reduce(0) { $0 + ($1.target["bytes"]?.integer ?? 0) }
    let oldest = queues.compactMap { $0.target["oldest_seconds"]?.integer }.max()
    let age = oldest.map { ", the oldest kept for \(ageText(seconds: $0))" } ?? ""
    total = "total: \(grouped(count)) \(count == 1 ? "hint" : "hints"), \(byteText(Double(bytes)))\(age)"
  }

  private static func cells(_ holder: String, _ target: JSON) -> [String] {
    [
      holder, target["node"]?.string ?? "?", grouped(target["count"]?.integer ?? 0),
      byteText(Double(target["bytes"]?.integer ?? 0)),
      target["oldest_seconds"]?.integer.map(ageText) ?? "-", state(target),
    ]
  }

  /// `sending 12,400/s, 3 s left`, or `waiting: n3 is down: not connected`.
  private static func state(_ target: JSON) -> String {
    let state = target["state"]?.string ?? "?"
    if let reason = target["reason"]?.string, !reason.isEmpty { return "\(state): \(reason)" }
    guard let rate = target["per_second"]?.integer else { return state }
    let left = target["eta_seconds"]?.integer.map { ", \(durationText(milliseconds: $0 * 1000)) left" } ?? ""
    return "\(state) \(grouped(rate))/s\(left)"
  }

  var isEmpty: Bool { rows.isEmpty }

  var lines: [String] {
    aligned([["HOLDER", "FOR", "HINTS", "BYTES", "OLDEST", "STATE"]] + rows.map { $0.map(oneLine) }) + [total]
  }
}

struct HintReport {
  private let views: [HintView]
  private let unreachable: [String]

  /// - Parameter unreachable: Why other nodes did not answer, a line each.
  init(_ views: [HintView], unreachable: [String]) {
    self.views = views
    self.unreachable = unreachable
  }

  /// Hints that will not be delivered, because there was no room to keep them, or soon will be none.
  private static func warnings(_ view: HintView) -> [String] {
    let most = view.document["hints_max"]?.integer ?? 0
    let bytes = view.document["bytes"]?.integer ?? 0
    let refused = view.document["refused"]?.integer ?? 0
    var lines: [String] = []
    if bytes > 0, bytes >= most / 10 * 9 {
      let share = "\(byteText(Double(bytes))) of the \(byteText(Double(most)))"
      lines.append("\(view.name) keeps \(share) that hints_max allows: it refuses more")
    }
    if refused > 0 {
      let count = "\(grouped(refused)) \(refused == 1 ? "hint" : "hints")"
      lines.append("\(view.name) has refused \(count) since it started: those writes are left to anti-entropy")
    }
    return lines
  }

  var text: String {
    let table = HintTable(views.map { ($0.name, $0.targets) })
    var lines = table.lines
    if table.isEmpty {
      lines = [unreachable.isEmpty ? "no hints anywhere" : "no hints on \(views.map(\.name).joined(separator: ", "))"]
    }
    return (lines + views.flatMap(HintReport.warnings).map { "! " + oneLine($0) }).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "count": .count(views.reduce(0) { $0 + $1.count }), "nodes": .array(views.map(\.document)),
      "unreachable": .array(unreachable.map { .string($0) }),
    ])
  }
}

/// What became of one node's round.
struct DrainOutcome {
  /// The answer to the round, or why there is none.
  let answer: Result<JSON, Failure>
  let name: String
}

struct DrainReport {
  let views: [(name: String, document: JSON)]
  private let problems: [String]

  init(_ outcomes: [DrainOutcome]) {
    views = outcomes.compactMap { outcome in (try? outcome.answer.get()).map { (outcome.name, $0) } }
    problems = outcomes.compactMap { if case .failure(let failure) = $0.answer { failure.message } else { nil } }
  }

  private var delivered: Int { views.reduce(0) { $0 + ($1.document["delivered"]?.integer ?? 0) } }
  private var left: Int { views.reduce(0) { $0 + ($1.document["left"]?.integer ?? 0) } }

  var text: String {
    let table = HintTable(views.map { ($0.name, $0.document["targets"]?.array ?? []) })
    let first = "handed over \(grouped(delivered)) \(delivered == 1 ? "hint" : "hints")"
    let place = problems.isEmpty ? "" : " on \(views.map(\.name).joined(separator: ", "))"
    if table.isEmpty { return "\(first), none is left\(place)\n" }
    return (["\(first); what is left\(place):", ""] + table.lines).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    let nodes = views.map { view in
      JSON.object([JSON.Member(name: "node", value: .string(view.name))] + (view.document.members ?? []))
    }
    return .object([
      "delivered": .count(delivered), "left": .count(left), "nodes": .array(nodes),
      "unreachable": .array(problems.map { .string($0) }),
    ])
  }

  /// Why this is no success, or nil.
  var failure: String? {
    let rest = left > 0 ? ["\(grouped(left)) \(left == 1 ? "hint is" : "hints are") left, see above"] : []
    let lines = rest + problems
    return lines.isEmpty ? nil : lines.joined(separator: "; ")
  }
}
