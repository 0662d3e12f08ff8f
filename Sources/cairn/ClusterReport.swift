import Platform
import Primitives
import Protocols

// What several nodes say of their cluster, put together: a row per member, and a line for everything that is wrong.
// Pure: documents in, text out.

/// What one node says.
struct NodeView {
  let url: String
  /// Of `/admin/status`, `/admin/members` and `/admin/ring`.
  let status: JSON
  let members: JSON
  let ring: JSON

  var name: String { status["name"]?.string ?? "?" }
  var isServing: Bool { status["state"]?.string == "serving" }
  func peer(_ name: String) -> JSON? { status["peers"]?.array?.first { $0["name"]?.string == name } }
}

/// A member as the first node that was asked sees it, and as it sees itself if it was asked too.
struct MemberRow {
  let name: String
  let address: String
  let partitions: Int?
  /// `up`, `suspect`, `down` or `refused`; nil for the node that was asked.
  let link: String?
  let linkReason: String
  let silentMilliseconds: Int?
  let clockOffsetMilliseconds: Int?
  let own: NodeView?

  var state: String { own?.status["state"]?.string ?? "-" }

  /// It answers requests, as far as anybody who was asked knows.
  var isUsable: Bool { own?.isServing ?? (link == "up") }

  var cells: [String] {
    func cell(_ value: Int?) -> String { value.map(String.init) ?? "-" }
    let memory = own?.status["memory_bytes"]?.integer.map { "\(($0 + 1 << 19) >> 20) MiB" }
    let clock = clockOffsetMilliseconds.map { "\($0 > 0 ? "+" : "")\($0) ms" }
    return [
      name, address, state, link ?? "(asked)", cell(partitions), cell(own?.status["keys_live"]?.integer),
      cell(own?.status["tombstones"]?.integer), clock ?? "-", memory ?? "-",
    ]
  }

  var json: JSON {
    func number(_ value: Int?) -> JSON { .optional(value) { .integer($0) } }
    return .object([
      "name": .string(name), "address": .string(address), "url": .optional(own) { .string($0.url) },
      "state": .optional(own?.status["state"]?.string) { .string($0) }, "link": .optional(link) { .string($0) },
      "link_reason": .string(linkReason), "silent_ms": number(silentMilliseconds), "partitions": number(partitions),
      "keys_live": number(own?.status["keys_live"]?.integer),
      "tombstones": number(own?.status["tombstones"]?.integer), "clock_offset_ms": number(clockOffsetMilliseconds),
      "memory_bytes": number(own?.status["memory_bytes"]?.integer),
    ])
  }
}

struct ClusterReport {
  /// Clocks further apart than this make a node hand its writes to others.
  static let clockOffsetMillisecondsMax = 30_000

  let rows: [MemberRow]
  private(set) var problems: [String]
  private let views: [NodeView]

  /// - Parameters:
  ///   - views: What the nodes that answered say, at least one.
  ///   - unreachable: Why others did not, a line each.
  init(_ views: [NodeView], unreachable: [String]) {
    let cluster = views[0].status["cluster_id"]
    let strangers = views.filter { $0.status["cluster_id"] != cluster }
    self.views = views.filter { $0.status["cluster_id"] == cluster }
    rows = ClusterReport.rows(self.views)
    problems = unreachable
    problems += strangers.map { "\($0.url) (\($0.name)) belongs to another cluster than \(views[0].url)" }
    addMembers()
    addClocks()
    addDisks()
    addStores()
    addQuorums()
  }

  private static func rows(_ views: [NodeView]) -> [MemberRow] {
    let first = views[0]
    return (first.members["members"]?.array ?? []).map { member in
      let name = member["name"]?.string ?? "?"
      let peer = first.peer(name)
      return MemberRow(
        name: name, address: member["address"]?.string ?? "?", partitions: member["partitions"]?.integer,
        link: peer.map { $0["link"]?.string ?? "?" }, linkReason: peer?["reason"]?.string ?? "",
        silentMilliseconds: peer?["silent_ms"]?.integer, clockOffsetMilliseconds: peer?["clock_offset_ms"]?.integer,
        own: views.first { $0.name == name })
    }
  }

  // MARK: What is wrong

  private mutating func addMembers() {
    for row in rows {
      if let own = row.own, !own.isServing {
        let reason = own.status["reason"]?.string ?? ""
        problems.append("\(row.name) does not serve yet\(reason.isEmpty ? "" : ": \(reason)")")
      }
    }
    for view in views {
      for peer in view.status["peers"]?.array ?? [] {
        let name = peer["name"]?.string ?? "?"
        let reason = peer["reason"]?.string ?? ""
        switch peer["link"]?.string {
        case "down":
          let since =
            peer["silent_ms"]?.integer.map { "not heard for \(durationText(milliseconds: $0))" }
            ?? "never heard since its start"
          problems.append("\(name) is down for \(view.name), \(since)\(reason.isEmpty ? "" : ": \(reason)")")
        case "suspect": problems.append("\(name) does not answer \(view.name), and is routed around: \(reason)")
        case "refused": problems.append("\(name) and \(view.name) do not work together: \(reason)")
        default: break
        }
      }
    }
  }

  private mutating func addClocks() {
    for view in views {
      if view.status["clock_in_doubt"]?.bool == true {
        problems.append(
          "\(view.name) doubts its own clock, and hands the writes it should coordinate to others: set its clock")
      }
      for peer in view.status["peers"]?.array ?? [] {
        guard let offset = peer["clock_offset_ms"]?.integer, abs(offset) > ClusterReport.clockOffsetMillisecondsMax
        else { continue }
        problems.append(
          "the clock of \(peer["name"]?.string ?? "?") is \(durationText(milliseconds: abs(offset))) \(offset > 0 ? "ahead of" : "behind") "
            + "that of \(view.name)")
      }
    }
  }

  private mutating func addDisks() {
    for view in views where view.status["disk"]?["puts_refused"]?.bool == true {
      let free = view.status["disk"]?["free_bytes"]?.integer
      let room = free.map { "\($0 >> 20) MiB are free" } ?? "a write found no room"
      problems.append("the disk of \(view.name) is full (\(room)), and it refuses puts: make room there")
    }
  }

  private mutating func addStores() {
    for view in views {
      let stores = view.status["stores"]?.array ?? []
      let idle = stores.filter { $0["role"]?.string != "active" }
      if !idle.isEmpty && view.isServing {
        let names = idle.map { "\($0["store"]?.string ?? "?") (\($0["role"]?.string ?? "?"))" }
        let shown = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
        problems.append("\(view.name): \(idle.count) of \(plural(stores.count, "store")) not active: \(shown)")
      }
      for line in view.status["recovery"]?["damaged"]?.array ?? [] {
        problems.append("\(view.name) found damage when it started: \(line.string ?? "?")")
      }
    }
  }

  /// Whether a node can be asked for the keys of a partition, as far as anybody who was asked knows.
  private func serves(_ name: String, _ partition: Int) -> Bool {
    guard let row = rows.first(where: { $0.name == name }), row.isUsable else { return false }
    let store = row.own?.status["stores"]?.array?.first { $0["partition"]?.integer == partition }
    return store?["role"]?.string ?? "active" == "active"
  }

  private mutating func addQuorums() {
    guard let owners = views[0].ring["owners"]?.array, let copies = views[0].ring["n_val"]?.integer, copies > 0,
      !owners.isEmpty
    else { return }
    let quorum = copies / 2 + 1
    var lost = 0
    var atRisk = 0
    for (partition, list) in owners.enumerated() {
      let count = (list.array ?? []).count { serves($0.string ?? "?", partition) }
      if count < quorum { lost += 1 } else if count == quorum && count < copies { atRisk += 1 }
    }
    func share(_ count: Int) -> String {
      count == owners.count ? "all \(count) partitions" : "\(count) of \(owners.count) partitions"
    }
    if lost > 0 {
      problems.append(
        "\(share(lost)) have fewer than \(quorum) of their \(copies) owners: reads and writes there fail until one is back"
      )
    }
    if atRisk > 0 {
      problems.append(
        "reads and writes \(lost > 0 ? "elsewhere " : "")go on; one more node down and \(share(atRisk)) have fewer than "
          + "\(quorum) of their \(copies) owners")
    }
  }

  // MARK: Printing

  var text: String {
    let first = views[0]
    let partitions = first.ring["partitions"]?.integer ?? 0
    let epoch = first.ring["epoch"]?.integer ?? 0
    let ring =
      partitions == 0
      ? "not founded yet"
      : "epoch \(epoch), \(partitions) partitions, each on \(first.ring["n_val"]?.integer ?? 0) nodes (n_val)"
    let header = ["NODE", "ADDRESS", "STATE", "LINK", "PARTITIONS", "KEYS", "TOMBSTONES", "CLOCK", "MEMORY"]
    let table = aligned([header] + rows.map { $0.cells.map(oneLine) })
    let wrong = problems.isEmpty ? ["nothing is wrong, as \(first.name) sees it"] : problems.map { "! " + oneLine($0) }
    return ([ring, ""] + table + [""] + wrong).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "asked": .string(views[0].name), "ring_epoch": views[0].ring["epoch"] ?? .null,
      "partitions": views[0].ring["partitions"] ?? .null, "n_val": views[0].ring["n_val"] ?? .null,
      "members": .array(rows.map(\.json)), "problems": .array(problems.map { .string($0) }),
    ])
  }
}
