import Messages
import Platform
import Primitives
import Protocols
import Storage

// `cairn store repair`: a new store of all that is whole in a damaged one, and exactly what was not.

@Sendable func storeRepair(_ arguments: Arguments) throws -> Int32 {
  let (word, target) = try operands(of: arguments)
  let place = try StorePlace(word, arguments)
  guard !place.isNode else {
    throw arguments.problem(
      "\(place.path) is a node's directory, and one store is repaired at a time",
      hint: "cairn store verify \(shellQuoted(place.path)) says which one; name it: \(place.path)/stores/p000-n3 TO")
  }
  let owner = try arguments.value("--node").map { try StorePlace($0, arguments) }
  if let owner, !owner.isNode {
    throw arguments.problem("\(owner.path) is a store", hint: "--node wants the directory of the node it belongs to")
  }
  guard target != place.path, !target.hasPrefix(place.path + "/") else {
    throw arguments.problem("\(target) is inside \(place.path), which is not changed", hint: "name another directory")
  }
  let directory = owner?.nodeDirectory ?? place.nodeDirectory
  var files = PosixFileSystem()
  let contents = try contents(of: place.path, &files)
  var line = ProgressLine("salvaging", .bytes, total: contents.files.reduce(0) { $0 + $1.size })
  let report: RepairReport
  do throws(StorageError) {
    report = try StoreRepair.run(
      contents, node: (owner ?? place).node, journal: directory.map(StorePath.journal), to: target, on: &files,
      progress: { line.advance(by: $0) })
  } catch {
    line.finish()
    throw Failure(leftover(target, contents, error))
  }
  line.finish()
  try printOut(arguments.has("--json") ? json(report) : text(report, place))
  guard report.lossCount > 0 else { return 0 }
  let more = report.bytesLost > 0 ? ", \(plural(report.bytesLost, "byte"))" : ""
  throw Failure("\(plural(report.lossCount, "place"))\(more) could not be salvaged, see above")
}

/// DIR and TO, the latter in full.
private func operands(of arguments: Arguments) throws -> (String, String) {
  guard arguments.positionals.count == 2 else {
    throw arguments.problem(
      arguments.positionals.isEmpty ? "which store?" : "a store and a new directory are named, in this order",
      hint: "cairn store repair ./.cairn/n1/stores/p000-n3 ./p000-n3.new")
  }
  var target = arguments.positionals[1]
  while target.count > 1, target.hasSuffix("/") { target.removeLast() }
  if FileTree.exists(target) {
    throw arguments.problem(
      "\(target) exists already",
      hint: "name a directory that does not; one without a manifest is left from a repair "
        + "that did not finish, and can be removed")
  }
  let slash = target.lastIndex(of: "/")
  let parent = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
  do throws(Errno) {
    let name = slash.map { String(target[target.index(after: $0)...]) } ?? target
    let resolved = try FileTree.resolved(parent)
    return (arguments.positionals[0], resolved == "/" ? "/" + name : resolved + "/" + name)
  } catch {
    throw Failure("cannot find \(parent), where \(target) is to be: \(error)")
  }
}

/// What an interrupted repair leaves is told with the reason.
private func leftover(_ target: String, _ contents: StoreContents, _ error: StorageError) -> String {
  FileTree.exists(target) ? "\(error); \(target) is not finished, remove it" : "\(error)"
}

// MARK: For eyes

private func text(_ report: RepairReport, _ place: StorePlace) -> String {
  let journal = report.journalRecords == 0 ? "" : ", \(report.journalRecords) of them only from the journal"
  let consequence = report.role == .fenced ? "serves nothing from it" : "hands over what is left"
  let facts: [[String]] = [
    ["store", "\(report.store.title), incarnation \(report.incarnation)"],
    ["read", "\(place.path): \(plural(report.filesRead, "data file")), \(byteText(Double(report.bytesRead)))"],
    [
      "written",
      "\(report.target): \(plural(report.filesWritten, "data file")), \(byteText(Double(report.bytesWritten))), "
        + plural(report.hintsWritten, "hint"),
    ],
    ["salvaged", "\(plural(report.records, "record"))\(journal)"],
    ["of these", "\(plural(report.tombstones, "tombstone")), \(report.superseded) superseded by newer ones"],
    ["role", "\(report.role): its node \(consequence)"],
  ]
  var lines = aligned(facts)
  for finding in report.notes.all {
    let at = finding.offset.map { " at byte \($0)" } ?? ""
    lines.append("note: \(place.relative(finding.path))\(at): \(finding.text)")
  }
  if report.belowFloor > 0 {
    lines.append(
      "note: \(report.belowFloor) writes of the journal may be of purged keys, and were left out as a start does")
  }
  lines += [""] + table(report, place) + [summary(report)]
  return lines.map(oneLine).joined(separator: "\n") + "\n"
}

/// Under each place, indented, the keys around it.
private func table(_ report: RepairReport, _ place: StorePlace) -> [String] {
  if report.unsalvaged.isEmpty { return [] }
  let header = ["NOT SALVAGED", "OFFSET", "LENGTH", "LOST", "REASON"]
  let rows = aligned([header] + report.unsalvaged.map { cells($0, place) })
  var lines = [rows[0]]
  for (range, row) in zip(report.unsalvaged, rows.dropFirst()) {
    lines.append(row)
    if range.keys == NearbyKeys() { continue }
    let near = [
      ("key hit, probably", range.keys.hit), ("last key before", range.keys.before),
      ("next key behind", range.keys.after),
    ]
    for (name, key) in near { lines.append("  \(name): \(key.map(objectName) ?? "none that can be read")") }
  }
  if report.leftOut > 0 { lines.append("and \(report.leftOut) more") }
  return lines + [""]
}

private func cells(_ range: UnsalvagedRange, _ place: StorePlace) -> [String] {
  [
    place.relative(range.path), "\(range.offset)", range.length == 0 ? "?" : "\(range.length)",
    range.isLoss ? "yes" : "no, it was never durable", range.reason,
  ]
}

private func summary(_ report: RepairReport) -> String {
  let cut = report.bytesCut == 0 ? "" : "; \(plural(report.bytesCut, "byte")) that were never durable left out"
  if report.lossCount == 0 { return "complete: nothing durable was lost\(cut)" }
  let what = plural(report.lossCount, "place")
  return "NOT complete: \(what), \(plural(report.bytesLost, "byte")) lost\(cut)"
}

// MARK: For programs

private func json(_ report: RepairReport) -> String {
  let document = JSON.object([
    "complete": .bool(report.lossCount == 0), "from": .string(report.directory), "to": .string(report.target),
    "store": .string("\(report.store)"), "incarnation": .string(report.incarnation.description),
    "role": .string("\(report.role)"), "files_read": .count(report.filesRead), "bytes_read": .count(report.bytesRead),
    "files_written": .count(report.filesWritten), "bytes_written": .count(report.bytesWritten),
    "hints_written": .count(report.hintsWritten), "records": .count(report.records),
    "tombstones": .count(report.tombstones), "superseded": .count(report.superseded),
    "journal_records": .count(report.journalRecords), "journal_records_below_floor": .count(report.belowFloor),
    "bytes_lost": .count(report.bytesLost), "bytes_never_durable": .count(report.bytesCut),
    "losses": .count(report.lossCount), "not_salvaged": .array(report.unsalvaged.map(json)),
    "not_salvaged_left_out": .count(report.leftOut),
    "notes": .array(report.notes.all.map { .object(["path": .string($0.path), "text": .string($0.text)]) }),
  ])
  return document.text(indent: true) + "\n"
}

private func json(_ range: UnsalvagedRange) -> JSON {
  .object([
    "path": .string(range.path), "offset": .count(range.offset), "length": .count(range.length),
    "lost": .bool(range.isLoss), "reason": .string(range.reason),
    "key_hit": .optional(range.keys.hit) { .string(objectName($0)) },
    "key_before": .optional(range.keys.before) { .string(objectName($0)) },
    "key_after": .optional(range.keys.after) { .string(objectName($0)) },
  ])
}
