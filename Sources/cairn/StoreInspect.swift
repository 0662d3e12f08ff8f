import Causality
import Platform
import Primitives
import Protocols
import Storage

// `cairn store inspect`: what a store or node is by its own files, and the records in them.

@Sendable func storeInspect(_ arguments: Arguments) throws -> Int32 {
  let filter = try RecordFilter(arguments)
  let place = try StorePlace(try arguments.oneDirectory(), arguments)
  var files = PosixFileSystem()
  let stores = try place.stores.map { try contents(of: $0, &files) }
  guard let filter else {
    let summary = place.isNode ? try NodeSummary(place, stores) : nil
    if arguments.has("--json") {
      let document = try summary?.json ?? StoreSummary(place, stores[0], &files).json
      try printOut(document.text(indent: true) + "\n")
    } else {
      try printOut(summary?.text ?? StoreSummary(place, stores[0], &files).text)
    }
    return 0
  }
  var listing = RecordListing(filter, place, json: arguments.has("--json"))
  for store in stores { try listing.list(store, &files) }
  return try listing.finish()
}

/// Shows the records of stores, one after the other, reading each file from front to back.
private struct RecordListing {
  private let filter: RecordFilter
  private let place: StorePlace
  private let hash: RingHash
  private var table: RecordTable
  private var problems: [String] = []

  init(_ filter: RecordFilter, _ place: StorePlace, json: Bool) {
    self.filter = filter
    self.place = place
    hash = place.node?.ringHash ?? RingHash(seed: 0)
    table = RecordTable(json: json)
  }

  private var isFull: Bool { filter.limit.map { table.count >= $0 } ?? false }

  mutating func list(_ store: StoreContents, _ files: inout PosixFileSystem) throws {
    if let problem = store.manifestProblem { problems.append("\(problem)") }
    for file in store.files where file.counts || file.id == filter.fileID {
      guard !isFull, filter.fileID ?? file.id == file.id else { continue }
      if let problem = file.problem { problems.append("\(problem)") }
      guard let salt = file.salt else { continue }
      do throws(StorageError) {
        try list(file, salt: salt, of: StorePlace.name(store.directory), &files)
      } catch {
        problems.append("\(error)")
      }
    }
  }

  private mutating func list(
    _ file: DataFileFacts, salt: UInt32, of store: String, _ files: inout PosixFileSystem
  ) throws(StorageError) {
    let data = try files.open(file.path, .read)
    defer { files.close(data) }
    var salvage = SalvageScan(data, to: file.size, salt: salt, hash: hash)
    while true {
      switch try salvage.next(on: &files) {
      case .end: return
      case .records:
        for record in salvage.scan.records where filter.takes(record.header) {
          if isFull { return }
          let facts = RecordFacts(record, of: salvage.scan)
          guard filter.takes(facts) else { continue }
          add(facts, store: store, file: file, offset: salvage.scan.chunkOffset + UInt64(record.start))
        }
        if hasFailed { return }
      case .damage(let damage):
        // Behind the synced length the next start cuts the file here: what follows is nobody's.
        if damage.offset >= file.syncedLength && !damage.isUnknown && file.standing != .unjudged { return }
        problems.append("\(StorageError.damaged(path: file.path, offset: damage.offset, reason: damage.reason))")
        guard try salvage.resume(on: &files) != nil else { return }
      }
    }
  }

  private var failure: Failure?
  private var hasFailed: Bool { failure != nil }

  private mutating func add(_ facts: RecordFacts, store: String, file: DataFileFacts, offset: UInt64) {
    guard failure == nil else { return }
    do throws(Failure) {
      try table.add(facts, store: store, file: file, offset: offset)
    } catch {
      failure = error
    }
  }

  mutating func finish() throws -> Int32 {
    if let failure { throw failure }
    try table.flush()
    guard let first = problems.first else { return 0 }
    let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
    throw Failure("\(first)\(more); cairn store verify \(shellQuoted(place.path)) says more")
  }
}
