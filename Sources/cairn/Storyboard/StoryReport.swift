import Platform
import Protocols

// The story as text and as one JSON object.

extension Story {
  var text: String {
    var lines = [
      "PUT in file 3, DELETE in file 7, merge of files 5 to 7, crash, restart. key@9 is the version of stamp 9.",
      "rule \(rule.rawValue): \(rule.meaning)", "gap \(gap.rawValue): \(gap.meaning)", "",
    ]
    for scene in scenes { lines += scene.lines + [""] }
    lines += [getLine(found), "Verdict: \(verdict.rawValue)."] + moral
    for scene in epilogue { lines += [""] + scene.lines }
    if !epilogue.isEmpty { lines += ["", getLine(foundAtLast)] }
    return lines.joined(separator: "\n") + "\n"
  }

  private func getLine(_ found: String?) -> String { "GET \(Story.key): \(found ?? "not found")" }

  var json: JSON {
    .object([
      "rule": .string(rule.rawValue), "gap": .string(gap.rawValue), "scenes": .array(scenes.map(\.json)),
      "get": Story.json(found), "verdict": .string(verdict.rawValue), "as_promised": .bool(isAsPromised),
      "epilogue": epilogue.isEmpty
        ? .null : .object(["scenes": .array(epilogue.map(\.json)), "get": Story.json(foundAtLast)]),
    ])
  }

  private static func json(_ found: String?) -> JSON {
    .object(["key": .string(key), "value": .optional(found) { .string($0) }])
  }
}

extension StoryScene {
  fileprivate static let indent = "   "

  fileprivate var lines: [String] {
    var lines = [(number.map { "\($0). " } ?? "") + title] + text.map { StoryScene.indent + $0 } + [""]
    lines += aligned([["FILE", "RECORDS"]] + state.files.map(\.cells), indent: StoryScene.indent) + [""]
    if let keydir = state.keydir {
      lines += aligned([["KEY", "KEYDIR"]] + keydir.map(\.cells), indent: StoryScene.indent)
    } else {
      lines.append(StoryScene.indent + "no keydir")
    }
    if state.floor > 0 { lines.append(StoryScene.indent + "floor @\(state.floor)") }
    return lines
  }

  fileprivate var json: JSON {
    .object([
      "step": .optional(number) { .count($0) }, "title": .string(title),
      "explanation": .string(text.joined(separator: " ")), "files": .array(state.files.map(\.json)),
      "keydir": .optional(state.keydir) { .array($0.map(\.json)) }, "floor": .count(state.floor),
    ])
  }
}

extension StoryFile {
  fileprivate var cells: [String] { [name] + records.map(\.text) }
  fileprivate var json: JSON { .object(["file": .string(name), "records": .array(records.map(\.json))]) }
}

extension StoryRecord {
  fileprivate var kind: String { isTombstone ? "delete" : "put" }

  fileprivate var text: String {
    let state = isLive.map { $0 ? " live" : " dead" } ?? ""
    let reason = blockers.isEmpty ? "" : ", blocked by " + blockers.joined(separator: " ")
    return "\(kind) \(key)@\(stamp)\(state)\(reason)"
  }

  fileprivate var json: JSON {
    .object([
      "kind": .string(kind), "key": .string(key), "stamp": .count(stamp), "live": .optional(isLive) { .bool($0) },
      "blocked_by": .array(blockers.map { .string($0) }),
    ])
  }
}

extension StorySlot {
  fileprivate var cells: [String] { [key, "\(file):\(offset)" + (isTombstone ? " tombstone" : "")] }
  fileprivate var json: JSON {
    .object([
      "key": .string(key), "file": .string(file), "offset": .count(offset), "tombstone": .bool(isTombstone),
    ])
  }
}
