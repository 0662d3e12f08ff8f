import Platform
import Protocols

// The story of the late hint as text, a step as soon as it is over, and as one JSON object.

extension LateHintScene {
  private static let indent = "   "

  var shown: String {
    let time = rounded(Double(milliseconds) / 1000, 1) + " s"
    var lines = ["\(number). \(title)  (\(time))"] + text.map { LateHintScene.indent + $0 } + [""]
    lines += aligned(
      [["NODE", "HINTS FOR n3", "TURNED AWAY", "QUARANTINE", "HOLDS"]] + nodes.map(\.cells),
      indent: LateHintScene.indent)
    return lines.joined(separator: "\n") + "\n\n"
  }

  fileprivate var json: JSON {
    .object([
      "step": .count(number), "title": .string(title), "explanation": .string(text.joined(separator: " ")),
      "milliseconds": .count(milliseconds), "nodes": .array(nodes.map(\.json)),
    ])
  }
}

extension StageNode {
  fileprivate var cells: [String] {
    func cell(_ count: Int) -> String { count == 0 ? "-" : "\(count)" }
    return [name, cell(hints), cell(turnedAway), cell(quarantined), oneLine(holds)]
  }

  fileprivate var json: JSON {
    .object([
      "node": .string(name), "up": .bool(isUp), "values": .count(values), "tombstones": .count(tombstones),
      "blocked_by": reason.isEmpty ? .null : .string(reason), "hints": .count(hints),
      "turned_away": .count(turnedAway), "quarantined": .count(quarantined),
    ])
  }
}

extension LateHintRead {
  /// `404`, or `200 red`.
  fileprivate var cell: String {
    guard let value = answer.value else { return "\(answer.status)" }
    return "\(answer.status) " + (value.utf8.count > 16 ? byteText(Double(value.utf8.count)) : oneLine(value))
  }

  fileprivate var json: JSON {
    .object([
      "key": .string(key), "r": .count(r), "node": .string("n\(node)"), "status": .count(answer.status),
      "value": .optional(answer.value) { .string($0.utf8.count > 16 ? String($0.prefix(16)) + "…" : $0) },
    ])
  }
}

extension LateHintStory {
  /// What is printed before anything happens.
  static func opening(_ place: String) -> String {
    """
    A hint that is late: n3 is down while keys are written, and is sent them when nobody remembers their delete any more.
    \(place)
    TURNED AWAY: copies that came late and created nothing. QUARANTINE: values of such copies, kept aside.


    """
  }

  /// The reads: a row for each key and r, a column for each node. All of one key stand for the rest when all are alike.
  var readsText: String {
    var rows = [["GET", "r", "n1", "n2", "n3"]]
    for key in staysDeleted ? LateHintStory.keys.prefix(1) : LateHintStory.keys[...] {
      let name = staysDeleted ? "each of the \(LateHintStory.keys.count) keys" : key
      for r in 1...3 {
        rows.append([name, "\(r)"] + reads.filter { $0.key == key && $0.r == r }.map(\.cell))
      }
    }
    return aligned(rows).joined(separator: "\n") + "\n\n"
  }

  /// What it comes to.
  var verdictText: String {
    if staysDeleted { return "Verdict: the keys stay deleted.\n" }
    guard let back else { return "Verdict: not every read was answered.\n" }
    return "Verdict: \(back.key), deleted with a 204, is back.\n"
  }

  /// - Parameter kept: The same with every rule, where one was left out.
  func json(on stage: String, without rule: String? = nil, kept: LateHintStory? = nil) -> JSON {
    .object([
      "stage": .string(stage), "without": .optional(rule) { .string($0) }, "scenes": .array(scenes.map(\.json)),
      "reads": .array(reads.map(\.json)), "verdict": .string(verdict.rawValue), "stays_deleted": .bool(staysDeleted),
      "with_all_rules": .optional(kept) { $0.json(on: stage) },
    ])
  }
}
