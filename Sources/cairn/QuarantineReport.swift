import Causality
import Client
import Platform
import Protocols

// What several nodes keep in quarantine, put together. Names of objects are text that moves no cursor already.

/// One object, as it is listed.
struct QuarantineName: Equatable {
  let type: String
  let bucket: String
  let key: String

  init(type: String, bucket: String, key: String) {
    self.type = type
    self.bucket = bucket
    self.key = key
  }

  /// Nil when no object is named.
  init?(_ arguments: Arguments) throws {
    let words = arguments.positionals
    guard !words.isEmpty else { return nil }
    guard words.count == 2 else { throw arguments.problem("an object is named by BUCKET and KEY") }
    self.init(type: arguments.value("--type") ?? "default", bucket: words[0], key: words[1])
  }

  var text: String { (type == "default" ? "" : type + "/") + bucket + "/" + key }
  var absent: String { "\(text) is not in quarantine on any of these nodes" }

  /// The request that concerns this object alone.
  var target: String {
    let parts = [("type", type), ("bucket", bucket), ("key", key)]
    return QuarantineView.path + "?" + parts.map { "\($0.0)=\(escaped($0.1))" }.joined(separator: "&")
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

/// What one node keeps of one object.
struct QuarantineCopy {
  let name: QuarantineName
  let stamp: String
  let endpoint: Endpoint

  static func one(_ name: QuarantineName, _ endpoint: Endpoint) throws(Failure) -> [QuarantineCopy] {
    guard
      let value = try askedDocumentIfThere("GET", name.target, endpoint, patienceMilliseconds: lookMillisecondsMax)
    else { return [] }
    return [QuarantineCopy(name: name, stamp: value["stamp"]?.string ?? "?", endpoint: endpoint)]
  }
}

/// What nodes keep of one object.
struct QuarantinedValue {
  let name: String
  /// The newest first.
  private(set) var copies: [QuarantineCopy]

  static func all(_ copies: [QuarantineCopy]) -> [QuarantinedValue] {
    var values: [QuarantinedValue] = []
    var places: [String: Int] = [:]
    for copy in copies {
      if let place = places[copy.name.text] {
        values[place].copies.append(copy)
      } else {
        places[copy.name.text] = values.count
        values.append(QuarantinedValue(name: copy.name.text, copies: [copy]))
      }
    }
    for index in values.indices {
      values[index].copies.sort { Stamp($0.stamp) ?? .zero > Stamp($1.stamp) ?? .zero }
    }
    return values
  }

  /// Of several values the newest is written anew, once; then the others have nothing to wait for.
  func perform(_ task: QuarantineTask) throws(Failure) {
    for (index, copy) in copies.enumerated() {
      let word = index == 0 ? task : .discard
      _ = try askedDocument(
        "POST", copy.name.target + "&do=\(word.rawValue)&stamp=\(copy.stamp)", copy.endpoint,
        patienceMilliseconds: 4 * lookMillisecondsMax)
    }
  }
}

/// What one node keeps: so many pages of it.
struct QuarantineView {
  static let path = "/admin/quarantine"

  let endpoint: Endpoint
  private(set) var name: String
  private(set) var count = 0
  private(set) var bytes = 0
  private(set) var entries: [JSON] = []
  /// Where the list goes on; nil at its end.
  private(set) var next: String?

  /// - Parameters:
  ///   - from: A page; nil for the first.
  ///   - limit: The page that brings so many is the last.
  init(_ endpoint: Endpoint, from: String?, limit: Int) throws(Failure) {
    self.endpoint = endpoint
    name = "\(endpoint)"
    next = from
    repeat {
      let page = try askedDocument(
        "GET", QuarantineView.path + (next.map { "?from=\($0)" } ?? ""), endpoint,
        patienceMilliseconds: lookMillisecondsMax)
      name = page["node"]?.string ?? name
      count = page["count"]?.integer ?? 0
      bytes = page["bytes"]?.integer ?? 0
      entries += page["entries"]?.array ?? []
      next = page["next"]?.string
    } while next != nil && entries.count < limit
  }

  static func name(of entry: JSON) -> QuarantineName {
    QuarantineName(
      type: entry["type"]?.string ?? "default", bucket: entry["bucket"]?.string ?? "?",
      key: entry["key"]?.string ?? "?")
  }

  var copies: [QuarantineCopy] {
    entries.map {
      QuarantineCopy(name: QuarantineView.name(of: $0), stamp: $0["stamp"]?.string ?? "?", endpoint: endpoint)
    }
  }
}

struct QuarantineReport {
  /// Values of one node.
  static let limitDefault = 100
  static let limitMax = 100_000
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
      rows += view.entries.map { [view.name, QuarantineView.name(of: $0).text, $0["written"]?.string ?? "?"] }
    }
    let count = kept.reduce(0) { $0 + $1.count }
    let bytes = kept.reduce(0) { $0 + $1.bytes }
    let rest = kept.compactMap { view in
      view.next.map { "more on \(view.name): cairn quarantine list --url \(view.endpoint) --from \($0)" }
    }
    let total = "total: \(plural(count, "value")), \(byteText(Double(bytes)))"
    return (aligned(rows.map { $0.map(oneLine) }) + rest + [total]).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "count": .count(views.reduce(0) { $0 + $1.count }),
      "nodes": .array(
        views.map {
          .object([
            "node": .string($0.name), "count": .count($0.count), "bytes": .count($0.bytes),
            "entries": .array($0.entries), "next": .optional($0.next) { .string($0) },
          ])
        }),
      "unreachable": .array(unreachable.map { .string($0) }),
    ])
  }
}
