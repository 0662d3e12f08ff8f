import Platform
import Protocols

// What several nodes say of the tombstones that wait on them, put together: a row for each node and store, a line for the
// whole, and one for each reason. Pure: documents in, text out.

/// What one node says: `/admin/tombstones`.
struct TombstoneView {
  static let path = "/admin/tombstones"
  let document: JSON

  var name: String { document["node"]?.string ?? "?" }
  var pending: Int { document["pending"]?.integer ?? 0 }
  var stores: [JSON] { document["stores"]?.array ?? [] }
  /// Stores that the document leaves out.
  var storesLeft: Int { max(0, (document["stores_total"]?.integer ?? 0) - stores.count) }

  /// How much of a store of this node is filled.
  func percentLoaded(_ store: String) -> Int? {
    document["loading"]?.array?.first { $0["store"]?.string == store }?["percent"]?.integer
  }
}

struct TombstoneReport {
  /// Of all nodes together, those that have waited longest.
  static let rowsMax = 64

  private let views: [TombstoneView]
  private let unreachable: [String]

  /// - Parameter unreachable: Why other nodes did not answer, a line each.
  init(_ views: [TombstoneView], unreachable: [String]) {
    self.views = views
    self.unreachable = unreachable
  }

  // MARK: Rows

  private struct Row {
    let node: String
    let store: JSON
    let reason: String

    var oldest: Int { store["oldest_seconds"]?.integer ?? 0 }
    var pending: Int { store["pending"]?.integer ?? 0 }

    var cells: [String] {
      let bytes = byteText(Double(store["bytes"]?.integer ?? 0))
      return [
        node, store["store"]?.string ?? "?", grouped(pending),
        (store["bytes_estimated"]?.bool == true ? "~" : "") + bytes, pending == 0 ? "-" : ageText(seconds: oldest),
        reason,
      ]
    }
  }

  private var rows: [Row] {
    let rows = views.flatMap { view in
      view.stores.map { Row(node: view.name, store: $0, reason: reason(of: $0)) }
    }
    // A sort that keeps the order of equals: nodes as they were asked, stores in their own order.
    return rows.enumerated().sorted { ($1.element.oldest, $0.offset) < ($0.element.oldest, $1.offset) }.map(\.element)
  }

  /// The first reason in words; how far a node is that is being filled it knows itself.
  private func reason(of store: JSON) -> String {
    let text = store["reason"]?.string ?? "?"
    guard let first = store["blocked_by"]?.array?.first, first["reason"]?.string == "loading",
      first["percent"]?.integer == nil, let loading = views.first(where: { $0.name == first["node"]?.string }),
      let percent = loading.percentLoaded(store["store"]?.string ?? "")
    else { return text }
    return "\(text), \(percent) %"
  }

  // MARK: Reasons

  /// A reason, whoever says it: with which nodes it lies, and what it keeps.
  private struct Cause {
    let reason: String
    let advice: String
    var nodes: [String] = []
    var pending = 0
    var oldest = 0
  }

  /// What the oldest waits for first.
  private var causes: [Cause] {
    var causes: [Cause] = []
    for block in views.flatMap({ $0.document["blocked_by"]?.array ?? [] }) {
      let reason = block["reason"]?.string ?? "?"
      let node = block["node"]?.string ?? "?"
      let place = causes.firstIndex { $0.reason == reason } ?? causes.count
      if place == causes.count { causes.append(Cause(reason: reason, advice: block["do"]?.string ?? "")) }
      if !causes[place].nodes.contains(node) { causes[place].nodes.append(node) }
      causes[place].pending += block["pending"]?.integer ?? 0
      causes[place].oldest = max(causes[place].oldest, block["oldest_seconds"]?.integer ?? 0)
    }
    return causes.enumerated().sorted { ($1.element.oldest, $0.offset) < ($0.element.oldest, $1.offset) }
      .map(\.element)
  }

  // MARK: Printing

  private var total: String {
    let pending = views.reduce(0) { $0 + $1.pending }
    let bytes = views.reduce(0) { $0 + ($1.document["bytes"]?.integer ?? 0) }
    let blocked = views.reduce(0) { $0 + ($1.document["blocked_bytes"]?.integer ?? 0) }
    let oldest = views.compactMap { $0.document["oldest_seconds"]?.integer }.max()
    let age = oldest.map { ", the oldest for \(ageText(seconds: $0))" } ?? ""
    let rest = blocked > 0 ? "; \(byteText(Double(blocked))) of forgotten ones wait for a merge" : ""
    return "total: \(plural(pending, "tombstone")), \(byteText(Double(bytes)))\(age)\(rest)"
  }

  var text: String {
    let rows = rows
    guard !rows.isEmpty else {
      let place = unreachable.isEmpty ? "anywhere" : "on \(views.map(\.name).joined(separator: ", "))"
      return "no tombstones wait \(place)\n"
    }
    let header = ["NODE", "STORE", "PENDING", "BYTES", "OLDEST", "BLOCKED BY"]
    let shown = rows.prefix(TombstoneReport.rowsMax)
    var lines = aligned([header] + shown.map { $0.cells.map(oneLine) })
    let left = rows.count - shown.count + views.reduce(0) { $0 + $1.storesLeft }
    if left > 0 {
      lines.append("… and \(grouped(left)) more, of which --json has \(grouped(rows.count - shown.count))")
    }
    lines.append(total)
    lines += causes.map { cause in
      oneLine("what to do: \(cause.reason) (\(cause.nodes.joined(separator: ", "))): \(cause.advice)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "pending": .count(views.reduce(0) { $0 + $1.pending }),
      "oldest_seconds": .optional(views.compactMap { $0.document["oldest_seconds"]?.integer }.max()) { .integer($0) },
      "blocked_by": .array(
        causes.map { cause in
          .object([
            "reason": .string(cause.reason), "nodes": .array(cause.nodes.map { .string($0) }),
            "pending": .count(cause.pending), "oldest_seconds": .count(cause.oldest), "do": .string(cause.advice),
          ])
        }),
      "nodes": .array(views.map(\.document)), "unreachable": .array(unreachable.map { .string($0) }),
    ])
  }
}
