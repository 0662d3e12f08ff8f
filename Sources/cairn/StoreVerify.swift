import Messages
import Platform
import Primitives
import Protocols
import Storage

// `cairn store verify`: every byte of stores and nodes, and what is wrong with them.

@Sendable func storeVerify(_ arguments: Arguments) throws -> Int32 {
  guard !arguments.positionals.isEmpty else {
    throw arguments.problem("which directory?", hint: "name a node's directory: cairn store verify ./.cairn/n1")
  }
  var places: [StorePlace] = []
  for word in arguments.positionals {
    let place = try StorePlace(word, arguments)
    // Named twice, or by two names: looked at once.
    if !places.contains(where: { $0.path == place.path }) { places.append(place) }
  }
  var files = PosixFileSystem()
  let plans = try places.map { try VerifyPlan($0, &files) }
  var line = ProgressLine("reading", .bytes, total: plans.reduce(0) { $0 + $1.bytes })
  let verified = plans.map { $0.run(&files, progress: { line.advance(by: $0) }) }
  line.finish()
  try printOut(arguments.has("--json") ? json(verified) : text(verified))
  let errors = verified.reduce(0) { $0 + $1.errorCount }
  if errors > 0 {
    throw Failure("\(plural(errors, "error")): what was durable is gone or changed, see above")
  }
  return 0
}

/// One directory to check.
private struct VerifyPlan {
  let place: StorePlace
  let stores: [StoreContents]

  init(_ place: StorePlace, _ files: inout PosixFileSystem) throws {
    self.place = place
    stores = try place.stores.map { try contents(of: $0, &files) }
  }

  var bytes: UInt64 { stores.reduce(0) { $0 + $1.files.reduce(0) { $0 + $1.size } } }

  func run(_ files: inout PosixFileSystem, progress: (UInt64) -> Void) -> Verified {
    var verified = Verified(place: place)
    if let contents = place.nodeContents {
      verified.node = NodeCheck.run(contents, on: &files)
    } else if let problem = place.nodeProblem {
      // The store itself may be whole: what is wrong above it is told, and checked without.
      verified.nodeProblem = StoreFinding(problem)
    }
    for store in stores {
      verified.stores.append(
        StoreCheck.run(store, node: place.node, hash: place.node?.ringHash, on: &files, progress: progress))
    }
    return verified
  }
}

private struct Verified {
  let place: StorePlace
  var node: NodeReport?
  var nodeProblem: StoreFinding?
  var stores: [StoreReport] = []

  var errorCount: Int {
    (node?.findings.errorCount ?? 0) + (nodeProblem == nil ? 0 : 1)
      + stores.reduce(0) { $0 + $1.findings.errorCount }
  }

  /// The node's own first.
  var findings: [StoreFinding] {
    (nodeProblem.map { [$0] } ?? []) + (node?.findings.all ?? []) + stores.flatMap(\.findings.all)
  }

  var leftOut: Int { (node?.findings.leftOut ?? 0) + stores.reduce(0) { $0 + $1.findings.leftOut } }
}

// MARK: For eyes

private func text(_ verified: [Verified]) -> String {
  var blocks: [String] = []
  for one in verified {
    var lines = [one.place.path]
    let header = ["STORE", "FILES", "RECORDS", "TOMBSTONES", "BYTES", "TAIL", "HINTS", "RESULT"]
    lines += aligned([header] + one.stores.map(row), indent: "  ")
    if let node = one.node, node.segments > 0 { lines.append("  " + journalLine(node)) }
    if one.place.node?.cluster == nil {
      lines.append(
        "  note: which node this store belongs to is not known here; what depends on its ring was not checked")
    }
    for finding in one.findings { lines += findingLines(finding, one.place) }
    if one.leftOut > 0 { lines.append("  and \(one.leftOut) more") }
    blocks.append(lines.joined(separator: "\n"))
  }
  return (blocks + [summary(verified)]).joined(separator: "\n\n") + "\n"
}

private func row(_ store: StoreReport) -> [String] {
  let errors = store.findings.errorCount
  let result = errors == 0 ? "clean" : plural(errors, "error")
  return [
    StorePlace.title(store.directory), "\(store.files)", "\(store.records)", "\(store.tombstones)", "\(store.bytes)",
    "\(store.tailBytes)", "\(store.hints)", result,
  ]
}

private func journalLine(_ node: NodeReport) -> String {
  let skipped = node.skippedFrames == 0 ? "" : ", \(node.skippedFrames) of them for stores that are gone"
  let size = "\(plural(node.segments, "segment")), \(plural(node.journalBytes, "byte"))"
  return "journal: \(size), \(plural(node.frames, "write"))\(skipped)"
}

private func findingLines(_ finding: StoreFinding, _ place: StorePlace) -> [String] {
  let at = finding.offset.map { " at byte \($0)" } ?? ""
  var lines = ["  \(finding.gravity.rawValue): \(place.relative(finding.path))\(at): \(finding.text)"]
  if let keys = finding.keys {
    let near = [("key hit, probably", keys.hit), ("last key before", keys.before), ("next key behind", keys.after)]
    for (name, key) in near { lines.append("    \(name): \(key.map(objectName) ?? "none that can be read")") }
  }
  return lines.map(oneLine)
}

private func summary(_ verified: [Verified]) -> String {
  let stores = verified.reduce(0) { $0 + $1.stores.count }
  let records = verified.reduce(0) { $0 + $1.stores.reduce(0) { $0 + $1.records } }
  let bytes = verified.reduce(0) { $0 + $1.stores.reduce(0) { $0 + $1.bytes } }
  let errors = verified.reduce(0) { $0 + $1.errorCount }
  let what = "\(plural(stores, "store")), \(plural(records, "record")), \(byteText(Double(bytes)))"
  return errors == 0 ? "clean: \(what)" : "NOT clean: \(plural(errors, "error")) in \(what)"
}

// MARK: For programs

private func json(_ verified: [Verified]) -> String {
  let stores = verified.flatMap(\.stores).map { store in
    JSON.object([
      "store": .string(store.directory), "files": .count(store.files), "records": .count(store.records),
      "tombstones": .count(store.tombstones), "bytes": .count(store.bytes), "tail_bytes": .count(store.tailBytes),
      "hints": .count(store.hints), "errors": .count(store.findings.errorCount),
    ])
  }
  let nodes = verified.compactMap(\.node).map { node in
    JSON.object([
      "node": .string(node.directory), "journal_segments": .count(node.segments),
      "journal_bytes": .count(node.journalBytes), "journal_writes": .count(node.frames),
      "journal_writes_skipped": .count(node.skippedFrames), "errors": .count(node.findings.errorCount),
    ])
  }
  let document = JSON.object([
    "clean": .bool(verified.allSatisfy { $0.errorCount == 0 }), "nodes": .array(nodes), "stores": .array(stores),
    "findings": .array(verified.flatMap(\.findings).map(json)),
    "findings_left_out": .count(verified.reduce(0) { $0 + $1.leftOut }),
  ])
  return document.text(indent: true) + "\n"
}

private func json(_ finding: StoreFinding) -> JSON {
  .object([
    "gravity": .string(finding.gravity.rawValue), "path": .string(finding.path),
    "offset": .optional(finding.offset) { .count($0) }, "text": .string(finding.text),
    "key_hit": .optional(finding.keys?.hit) { .string(objectName($0)) },
    "key_before": .optional(finding.keys?.before) { .string(objectName($0)) },
    "key_after": .optional(finding.keys?.after) { .string(objectName($0)) },
  ])
}
