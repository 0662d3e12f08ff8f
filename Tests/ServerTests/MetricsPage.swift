/// A page of metrics, read as strictly as Prometheus reads it: HELP, TYPE, then samples of that family alone.
struct MetricsPage {
  struct Family: Equatable {
    let name: String
    let kind: String
    let help: String
    /// Name, labels and all, as they stand; in order.
    var samples: [(key: String, value: Double)] = []

    static func == (a: Family, b: Family) -> Bool { a.name == b.name && a.kind == b.kind && a.help == b.help }
  }

  struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private(set) var families: [Family] = []

  init(_ text: String) throws {
    guard text.hasSuffix("\n") else { throw Violation(description: "the last line does not end") }
    var help: (name: String, text: String)?
    var seenFamilies: Set<String> = []
    var seenSamples: Set<String> = []
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3).map(String.init)
      if line.hasPrefix("# HELP ") {
        guard words.count == 4 else { throw Violation(description: "no help: \(line)") }
        help = (words[2], words[3])
      } else if line.hasPrefix("# TYPE ") {
        guard words.count == 4, let before = help, before.name == words[2] else {
          throw Violation(description: "no HELP before: \(line)")
        }
        guard seenFamilies.insert(words[2]).inserted else { throw Violation(description: "\(words[2]) twice") }
        families.append(Family(name: words[2], kind: words[3], help: before.text))
      } else {
        guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
          throw Violation(description: "no sample: \(line)")
        }
        let key = String(line[..<space])
        guard seenSamples.insert(key).inserted else { throw Violation(description: "twice: \(key)") }
        try add(key, value)
      }
    }
  }

  private mutating func add(_ key: String, _ value: Double) throws {
    let name = key.prefix { $0 != "{" }
    guard let family = families.last else { throw Violation(description: "a sample before any family: \(key)") }
    let suffixes = family.kind == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
    guard suffixes.contains(where: { family.name + $0 == name }) else {
      throw Violation(description: "\(key) stands under \(family.name)")
    }
    families[families.count - 1].samples.append((key, value))
  }

  /// The value of a sample, `name` or `name{label="value"}`; nil when there is none.
  subscript(key: String) -> Double? {
    for family in families { if let sample = family.samples.first(where: { $0.key == key }) { return sample.value } }
    return nil
  }

  var names: [String] { families.map(\.name) }
}
