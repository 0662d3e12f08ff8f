import Client
import Platform
import Protocols

// What several nodes keep in quarantine, put together. Names of objects are text that moves no cursor already.

struct QuarantineEntryView {
  let json: JSON

  var bucket: String { json["bucket"]?.string ?? "?" }
  var key: String { json["key"]?.string ?? "?" }
  var stamp: String { json["stamp"]?.string ?? "?" }
  var written: String { json["written"]?.string ?? "?" }
  private var type: String { json["type"]?.string ?? "default" }
  func isOf(_ wanted: QuarantineName) -> Bool {
    (type, bucket, key) == (wanted.type, wanted.bucket, wanted.key)
  }
  var name: String { (type == "default" ? "" : type + "/") + bucket + "/" + key }

  /// The request that concerns this entry alone.
  func target(_ rest: String) -> String {
    let parts = [("type", type), ("bucket", bucket), ("key", key)]
    return QuarantineView.path + "?" + parts.map { "\($0.0)=\(escaped($0.1))" }.joined(separator: "&") + rest
  }

  private func escaped(_ text: String) -> String {
    text.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        String(UnicodeScalar(byte))
      default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }.joined()
  }
}

/// What one node keeps: all of it, or the first page.
struct QuarantineView {
  static let path = "/admin/quarantine"

  let endpoint: Endpoint
  private(set) var name: String
  private(set) var count = 0
  private(set) var bytes = 0
  private(set) var entries: [QuarantineEntryView] = []

  /// - Parameters:
  ///   - name: Of the only object that is wanted.
  ///   - isWhole: All pages are asked for, otherwise as many as are shown.
  init(_ endpoint: Endpoint, _ wanted: QuarantineName?, isWhole: Bool) throws(Failure) {
    self.endpoint = endpoint
    name = "\(endpoint)"
    var from: String?
    repeat {
      let page = try askedDocument(
        "GET", QuarantineView.path + (from.map { "?from=\($0)" } ?? ""), endpoint,
        patienceMilliseconds: lookMillisecondsMax)
      name = page["node"]?.string ?? name
      count = page["count"]?.integer ?? 0
      bytes = page["bytes"]?.integer ?? 0
      for json in page["entries"]?.array ?? [] {
        let entry = QuarantineEntryView(json: json)
        if let wanted, !entry.isOf(wanted) { continue }
        entries.append(entry)
      }
      from = page["next"]?.string
    } while from != nil && (isWhole || entries.count < QuarantineReport.rowsMax)
  }
}

struct QuarantineReport {
  /// Rows of one node.
  static let rowsMax = 100
  /// Lines of one error.
  static let problemsMax = 10

  private let views: [QuarantineView]
  private let unreachable: [String]

  init(_ views: [QuarantineView], unreachable: [String]) {
    self.views = views
    self.unreachable = unreachable
  }

  var text: String {
    let kept = views.filter { $0.count > 0 }
    guard !kept.isEmpty else {
      return views.isEmpty ? "" : "nothing is in quarantine\(unreachable.isEmpty ? "" : " on the nodes that answer")\n"
    }
    var rows = [["NODE", "OBJECT", "WRITTEN"]]
    for view in kept {
      rows += view.entries.prefix(QuarantineReport.rowsMax).map { [view.name, $0.name, $0.written] }
      let left = view.count - min(view.entries.count, QuarantineReport.rowsMax)
      if left > 0 { rows.append([view.name, "… and \(grouped(left)) more (--json has all of them)", ""]) }
    }
    let count = kept.reduce(0) { $0 + $1.count }
    let bytes = kept.reduce(0) { $0 + $1.bytes }
    let total = "total: \(grouped(count)) \(count == 1 ? "value" : "values"), \(byteText(Double(bytes)))"
    return (aligned(rows.map { $0.map(oneLine) }) + [total]).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "count": .count(views.reduce(0) { $0 + $1.count }),
      "nodes": .array(
        views.map {
          .object([
            "node": .string($0.name), "count": .count($0.count), "bytes": .count($0.bytes),
            "entries": .array($0.entries.map(\.json)),
          ])
        }),
      "unreachable": .array(unreachable.map { .string($0) }),
    ])
  }
}
