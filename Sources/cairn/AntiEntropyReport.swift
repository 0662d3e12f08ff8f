import Platform
import Primitives
import Protocols

// What several nodes say of anti-entropy, put together: a row per node and peer (or store), a row for each store that is
// being filled, a row of each node's scrub, and a line for everything that deserves a look. Pure: documents in, text out.

struct AntiEntropyReport {
  static let path = "/admin/anti-entropy"
  private let documents: [JSON]
  private let unreachable: [String]

  /// - Parameters:
  ///   - documents: `/admin/anti-entropy` of each node that answered.
  ///   - unreachable: Why other nodes did not, a line each.
  init(_ documents: [JSON], unreachable: [String]) {
    self.documents = documents
    self.unreachable = unreachable
  }

  func text(perStore: Bool) -> String {
    let parts = [
      perStore ? storeTable : peerTable, refillTable(perStore: perStore), scrubTable,
      documents.flatMap(AntiEntropyReport.warnings).map { "! " + oneLine($0) },
    ]
    return parts.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") + "\n" }.joined(separator: "\n")
  }

  var json: JSON {
    .object(["nodes": .array(documents), "unreachable": .array(unreachable.map { .string($0) })])
  }

  // MARK: Rounds

  private var peerTable: [String] {
    let rows = documents.flatMap { document in
      document.rows("peers").map { peer in
        [
          document.name, peer.text("peer"), grouped(peer.count("stores")), AntiEntropyReport.lastRound(peer),
          grouped(peer.count("differences")), grouped(peer.count("keys_pulled")), peer.bytes("bytes_pulled"),
          AntiEntropyReport.state(ofPeer: peer),
        ]
      }
    }
    guard !rows.isEmpty else { return ["no store is shared with another node"] }
    return table(["NODE", "PEER", "STORES", "LAST ROUND", "DIFFERENCES", "PULLED", "BYTES", "STATE"], rows)
  }

  private var storeTable: [String] {
    let rows = documents.flatMap { document in
      document.rows("pairs").map { pair in
        [
          document.name, pair.text("store"), pair.text("peer"), AntiEntropyReport.lastRound(pair),
          grouped(pair.count("differences")), grouped(pair.count("keys_pulled")), pair.bytes("bytes_pulled"),
          [pair.text("state"), pair["reason"]?.string ?? ""].filter { !$0.isEmpty }.joined(separator: ": "),
        ]
      }
    }
    guard !rows.isEmpty else { return ["no store is shared with another node"] }
    let left = documents.compactMap { document -> String? in
      let left = document.count("pairs_total") - document.rows("pairs").count
      return left > 0 ? "and \(grouped(left)) more of \(oneLine(document.name)), which it does not show" : nil
    }
    return table(["NODE", "STORE", "PEER", "LAST ROUND", "DIFFERENCES", "PULLED", "BYTES", "STATE"], rows) + left
  }

  /// `12 s ago`, of a peer that of the oldest of its stores; or `never`.
  private static func lastRound(_ row: JSON) -> String {
    let never = row["never"]?.integer ?? 0
    guard let age = row["last_round_seconds"]?.integer else { return "never" }
    return AntiEntropyReport.ago(age) + (never > 0 ? ", \(grouped(never)) never" : "")
  }

  private static func state(ofPeer peer: JSON) -> String {
    var parts: [String] = []
    if peer.count("running") > 0 { parts.append("running") }
    if peer.count("failed") > 0 { parts.append("failed for \(grouped(peer.count("failed")))") }
    return parts.isEmpty ? "idle" : parts.joined(separator: ", ")
  }

  fileprivate static func ago(_ seconds: Int) -> String { "\(ageText(seconds: seconds)) ago" }

  // MARK: Stores that are being filled

  private func refillTable(perStore: Bool) -> [String] {
    let refills = documents.flatMap { document in document.rows("refills").map { (document.name, $0) } }
    guard !refills.isEmpty else { return [] }
    let rows = documents.flatMap { document in
      AntiEntropyReport.refillRows(document.name, document.rows("refills"), perStore: perStore)
    }
    let keys = refills.reduce(0) { $0 + $1.1.count("keys") }
    let all = refills.reduce(0) { $0 + $1.1.count("keys_total") }
    let count = documents.reduce(0) { $0 + max($1.count("refills_total"), $1.rows("refills").count) }
    let isKnown = refills.allSatisfy { AntiEntropyReport.knowsTotal($0.1) }
    let part =
      isKnown
      ? "\(grouped(keys)) of \(grouped(all)) keys, \(AntiEntropyReport.share(keys, all))"
      : "\(grouped(keys)) keys are there"
    return table(["FILLING", "STORE", "FROM", "KEYS", "BYTES", "DONE", "STATE"], rows)
      + ["total: \(grouped(count)) \(count == 1 ? "store is" : "stores are") being filled; \(part)"]
  }

  /// Stores of one node that wait for the same share a row: `61 stores`.
  private static func refillRows(_ name: String, _ refills: [JSON], perStore: Bool) -> [[String]] {
    var rows: [[String]] = []
    var waiting: [(reason: String, refills: [JSON])] = []
    for refill in refills {
      guard !perStore, let reason = refill["waiting"]?.string, !reason.isEmpty else {
        rows.append(row(name, refill))
        continue
      }
      if let place = waiting.firstIndex(where: { $0.reason == reason }) {
        waiting[place].refills.append(refill)
      } else {
        waiting.append((reason, [refill]))
      }
    }
    return rows
      + waiting.map { reason, refills in
        guard refills.count > 1 else { return row(name, refills[0]) }
        let bytes = refills.reduce(0) { $0 + $1.count("bytes") }
        return [
          name, "\(grouped(refills.count)) stores", "-", grouped(refills.reduce(0) { $0 + $1.count("keys") }),
          byteText(Double(bytes)), "-", "waiting: \(reason)",
        ]
      }
  }

  private static func row(_ name: String, _ refill: JSON) -> [String] {
    [
      name, refill.text("store"), refill["source"]?.string ?? "-", part(refill, "keys", grouped),
      part(refill, "bytes") { byteText(Double($0)) },
      knowsTotal(refill) ? share(refill.count("keys"), refill.count("keys_total")) : "-", state(ofRefill: refill),
    ]
  }

  /// A source has said how much there is.
  private static func knowsTotal(_ refill: JSON) -> Bool {
    refill["source"]?.string != nil || refill.count("keys_total") > refill.count("keys")
  }

  /// `100 of 400`, or what is there as long as nobody has said how much that is of.
  private static func part(_ refill: JSON, _ name: String, _ text: (Int) -> String) -> String {
    let there = text(refill.count(name))
    return knowsTotal(refill) ? "\(there) of \(text(refill.count("\(name)_total")))" : there
  }

  /// Rounded down: 100 % is all of it.
  private static func share(_ part: Int, _ whole: Int) -> String {
    whole > 0 ? "\(Int(Double(min(part, whole)) / Double(whole) * 100)) %" : "-"
  }

  private static func state(ofRefill refill: JSON) -> String {
    if let reason = refill["waiting"]?.string, !reason.isEmpty { return "waiting: \(reason)" }
    let elapsed = "for \(durationText(milliseconds: refill.count("elapsed_seconds") * 1000))"
    return refill["eta_seconds"]?.integer.map { "\(durationText(milliseconds: $0 * 1000)) left" } ?? elapsed
  }

  // MARK: The scrub

  private var scrubTable: [String] {
    let rows = documents.compactMap { document -> [String]? in
      guard let scrub = document["scrub"] else { return nil }
      let total = scrub.count("bytes_total")
      let progress =
        scrub.count("interval_seconds") == 0
        ? "off"
        : total == 0
          ? "nothing to read"
          : "\(AntiEntropyReport.share(scrub.count("bytes_done"), total)) of \(byteText(Double(total)))"
      return [
        document.name, progress, scrub["last_pass_seconds"]?.integer.map(AntiEntropyReport.ago) ?? "-",
        grouped(scrub.count("damaged_found")), grouped(scrub.count("repaired")), grouped(scrub.count("lost")),
      ]
    }
    return rows.isEmpty ? [] : table(["SCRUB", "PASS", "LAST PASS", "DAMAGED", "REPAIRED", "LOST"], rows)
  }

  // MARK: What deserves a look

  private static func warnings(_ document: JSON) -> [String] {
    let name = document.name
    var lines: [String] = []
    let lost = document["scrub"]?.count("lost") ?? 0
    if lost > 0 {
      lines.append(
        "\(name) has lost \(grouped(lost)) \(lost == 1 ? "record" : "records"): damaged, and no other owner had it; "
          + "its log names each")
    }
    let aside = (document["set_aside"]?.array ?? []).compactMap(\.string)
    if !aside.isEmpty {
      lines.append(
        "\(name) keeps what it has set aside as damaged, until you delete it: \(aside.joined(separator: ", "))")
    }
    for peer in document.rows("peers") where peer.count("failed") > 0 {
      let stores = peer.count("failed") == 1 ? "1 store" : "\(grouped(peer.count("failed"))) stores"
      lines.append("\(name) could not compare \(stores) with \(peer.text("peer")): \(peer["reason"]?.string ?? "")")
    }
    if document["interval_seconds"]?.integer == 0 {
      lines.append("\(name) compares nothing by itself: anti_entropy_interval = 0")
    }
    return lines
  }
}

/// Rows under a header; what a node says cannot break them.
func table(_ header: [String], _ rows: [[String]]) -> [String] { aligned([header] + rows.map { $0.map(oneLine) }) }

/// A document of a node as far as it says anything.
extension JSON {
  var name: String { text("node") }
  func text(_ name: String) -> String { self[name]?.string ?? "?" }
  func count(_ name: String) -> Int { self[name]?.integer ?? 0 }
  func rows(_ name: String) -> [JSON] { self[name]?.array ?? [] }
  func bytes(_ name: String) -> String { byteText(Double(count(name))) }
}
