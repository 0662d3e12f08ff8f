import Platform
import Primitives
import Protocols
import Storage

// `cairn store hints`: which data file has a hint, whether it fits, and with --write those that are missing.

@Sendable func storeHints(_ arguments: Arguments) throws -> Int32 {
  let writes = arguments.has("--write")
  let place = try StorePlace(try arguments.oneDirectory(), arguments, writes: writes)
  if let problem = place.nodeProblem { throw Failure("\(problem)") }
  let hash = place.node?.ringHash
  if writes && hash == nil {
    throw Failure("\(place.path) belongs to no node that is known here, and a hint needs its ring's seed")
  }
  var files = PosixFileSystem()
  var rows: [HintRow] = []
  for store in place.stores {
    for file in try contents(of: store, &files).files where file.counts {
      rows.append(try row(file, in: store, hash: hash, &files))
    }
  }
  if writes, let hash { try write(&rows, hash, &files) }
  try printOut(arguments.has("--json") ? JSON.array(rows.map(\.json)).text(indent: true) + "\n" : text(rows, place))
  if let failed = rows.first(where: { $0.hasFailed }) {
    throw Failure("no hint could be written for \(failed.file.path); cairn store verify says what is wrong with it")
  }
  return 0
}

private struct HintRow {
  let store: String
  let file: DataFileFacts
  var state: HintState
  var wasWritten = false
  var hasFailed = false

  /// The file takes no more records, all of it is durable, and its hint does not cover it.
  var isDue: Bool {
    guard file.entry?.isSealed == true, file.syncedLength == file.size, file.problem == nil else { return false }
    if case .fits(_, let covered) = state { return covered < file.size }
    return true
  }

  /// The state in a word; how many keys it knows, how many bytes of the file it covers, and what else is to be said.
  var parts: (word: String, entries: UInt64?, covered: UInt64?, reason: String) {
    switch state {
    case .missing: ("missing", nil, nil, "")
    case .fits(let entries, let covered):
      (covered == file.size ? "fits" : "fits the first part", entries, covered, "")
    case .stale(let reason): ("stale", nil, nil, reason)
    case .damaged(let reason): ("damaged", nil, nil, reason)
    }
  }

  var cells: [String] {
    let parts = parts
    return [
      store, fileName(file.path), "\(file.size)", file.entry?.isSealed == true ? "yes" : "no",
      parts.word + (wasWritten ? " (written now)" : ""), parts.entries.map { "\($0)" } ?? "-",
      parts.covered.map { "\($0)" } ?? "-", parts.reason,
    ]
  }

  var json: JSON {
    let parts = parts
    return .object([
      "store": .string(store), "file": .string(fileName(file.path)), "bytes": .count(file.size),
      "sealed": .bool(file.entry?.isSealed == true), "hint": .string(parts.word), "reason": .string(parts.reason),
      "keys": .optional(parts.entries) { .count($0) }, "covered_bytes": .optional(parts.covered) { .count($0) },
      "written": .bool(wasWritten),
    ])
  }
}

private func row(
  _ file: DataFileFacts, in store: String, hash: RingHash?, _ files: inout PosixFileSystem
) throws(Failure) -> HintRow {
  do throws(StorageError) {
    let state = try HintFile.state(of: file, in: store, hash: hash, on: &files)
    return HintRow(store: StorePlace.name(store), file: file, state: state)
  } catch {
    throw Failure("\(error)")
  }
}

private func write(_ rows: inout [HintRow], _ hash: RingHash, _ files: inout PosixFileSystem) throws(Failure) {
  let due = rows.indices.filter { rows[$0].isDue }
  var line = ProgressLine("writing hints", .bytes, total: due.reduce(0) { $0 + rows[$1].file.size })
  defer { line.finish() }
  for index in due {
    let file = rows[index].file
    let store = String(file.path.dropLast(fileName(file.path).count + 1))
    do throws(StorageError) {
      try DiskStep.writeHint(dataPath: file.path, hintPath: StorePath.hint(store, file.id), hash: hash)
        .perform(on: &files)
    } catch {
      throw Failure("\(error)")
    }
    rows[index].state = try row(file, in: store, hash: hash, &files).state
    // A data file that does not read to its end is left without a hint, and without an error.
    rows[index].hasFailed = rows[index].isDue
    rows[index].wasWritten = !rows[index].hasFailed
    line.advance(by: file.size)
  }
}

private func text(_ rows: [HintRow], _ place: StorePlace) -> String {
  if rows.isEmpty { return "\(place.path) has no data files\n" }
  let header = ["STORE", "FILE", "BYTES", "SEALED", "HINT", "KEYS", "COVERS", "REASON"]
  return aligned([header] + rows.map(\.cells)).map(trimmed).joined(separator: "\n") + "\n"
}

/// Without spaces at the end.
func trimmed(_ line: String) -> String {
  var line = line
  while line.last == " " { line.removeLast() }
  return line
}
