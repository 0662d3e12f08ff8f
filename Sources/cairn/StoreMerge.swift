import Messages
import Platform
import Primitives
import Protocols
import Storage

// `cairn store merge`: what a running node does by and by, at once, for a node that does not run. The engine is opened
// as the node would open it, its journal replayed first, so nothing here knows how a merge works.

@Sendable func storeMerge(_ arguments: Arguments) throws -> Int32 {
  let place = try StorePlace(try arguments.oneDirectory(), arguments, writes: true)
  if let problem = place.nodeProblem { throw Failure("\(problem)") }
  guard let directory = place.nodeDirectory, let node = place.node, let cluster = node.cluster else {
    throw Failure(
      "\(place.path) belongs to no node that is known here: a merge needs the node's identity and journal; "
        + "name a node's directory, or a store's below it")
  }
  var files = PosixFileSystem()
  let merger = try OfflineMerge(directory, node, cluster, only: place.isNode ? nil : place.path, &files)
  let rows = try merger.run(&files)
  try printOut(arguments.has("--json") ? json(rows) : text(rows))
  if let damaged = merger.engine.recovery.damaged.first {
    throw Failure("store \(damaged.store) was not merged: \(damaged.error.text(naming: objectName))")
  }
  return 0
}

/// A store before and after.
private struct MergeRow {
  let before: StoreStatus
  let after: StoreStatus
  let note: String
}

private struct OfflineMerge {
  let engine: Engine
  private let stores: [StoreID]
  /// Bytes of input between two looks at what else is due.
  private static let sliceBytes = 4 << 20

  init(
    _ directory: String, _ node: NodeManifest, _ cluster: ClusterIdentity, only store: String?,
    _ files: inout PosixFileSystem
  ) throws(Failure) {
    let options = EngineOptions(
      clusterID: cluster.id, nodeID: node.node, hash: RingHash(seed: cluster.ringSeed),
      ringBits: Int(cluster.partitions).trailingZeroBitCount, sync: .never)
    do throws(StorageError) {
      engine = try Engine.open(directory, options: options, stores: node.stores, on: &files)
    } catch {
      throw Failure("\(error)")
    }
    let wanted = store.flatMap { StoreID(directory: $0) }
    stores = (engine.storeIDs + engine.hintStoreIDs).filter { wanted == nil || $0 == wanted }
    if stores.isEmpty { throw Failure("\(store ?? directory) is not among the stores that its node knows") }
  }

  func run(_ files: inout PosixFileSystem) throws(Failure) -> [MergeRow] {
    let before = stores.map { engine.status($0) }
    var line = ProgressLine("merging", .bytes, total: before.reduce(0) { $0 + $1.totalBytes })
    defer { line.finish() }
    do throws(StorageError) {
      engine.requestMerge(in: stores)
      var warm: WarmBytes?
      var read: UInt64 = 0
      while engine.isMergeRequested {
        let step = try engine.continueMerge(
          at: SystemClock().instant(), hour: 0, budget: OfflineMerge.sliceBytes, warm: warm, on: &files)
        warm = nil
        if case .cold(let cold) = step { warm = try perform(cold, &files) }
        try performWork(&files)
        let total = engine.mergeStatus.totals.bytesRead
        line.advance(by: total - read)
        read = total
      }
      try engine.flush(on: &files)
      for step in engine.shutdownSteps() { try step.perform(on: &files) }
    } catch {
      throw Failure("\(error); what had been merged stays merged, the rest is as it was")
    }
    if let reason = engine.mergeStatus.postponement { throw Failure("the merge was broken off: \(reason)") }
    return zip(stores, before).map { id, before in
      MergeRow(before: before, after: engine.status(id), note: engine.mergeNote(id, hour: 0))
    }
  }

  private func perform(_ read: ColdRead, _ files: inout PosixFileSystem) throws(StorageError) -> WarmBytes? {
    guard case .bytes(let bytes) = try files.read(read.file, at: read.offset, count: read.count, mayBlock: true) else {
      return nil
    }
    return WarmBytes(read: read, bytes: bytes)
  }

  private func performWork(_ files: inout PosixFileSystem) throws(StorageError) {
    try engine.flush(on: &files)
    guard let steps = engine.work(at: SystemClock().instant(), on: &files) else { return }
    for step in steps { try step.perform(on: &files) }
    engine.completeWork()
  }
}

private func text(_ rows: [MergeRow]) -> String {
  let header = ["STORE", "FILES", "AFTER", "BYTES", "AFTER", "DEAD", "AFTER", "WHY IT STAYS"]
  let cells = rows.map { row in
    [
      row.before.id.title, "\(row.before.files)", "\(row.after.files)", "\(row.before.totalBytes)",
      "\(row.after.totalBytes)", "\(row.before.deadBytes)", "\(row.after.deadBytes)", row.note,
    ]
  }
  let before = rows.reduce(0) { $0 + $1.before.totalBytes }
  let after = rows.reduce(0) { $0 + $1.after.totalBytes }
  let summary = "\(plural(rows.count, "store")): \(byteText(Double(before))) before, \(byteText(Double(after))) after"
  return (aligned([header] + cells).map(trimmed) + [summary]).joined(separator: "\n") + "\n"
}

private func json(_ rows: [MergeRow]) -> String {
  let stores = rows.map { row in
    JSON.object([
      "store": .string("\(row.before.id)"), "files_before": .count(row.before.files), "files": .count(row.after.files),
      "bytes_before": .count(row.before.totalBytes), "bytes": .count(row.after.totalBytes),
      "dead_bytes_before": .count(row.before.deadBytes), "dead_bytes": .count(row.after.deadBytes),
      "note": .string(row.note),
    ])
  }
  return JSON.array(stores).text(indent: true) + "\n"
}
