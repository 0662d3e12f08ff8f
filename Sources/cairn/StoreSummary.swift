import Causality
import Messages
import Platform
import Primitives
import Protocols
import Storage

// What the manifests say of a store and of a node, as a table and as JSON.

/// One store.
struct StoreSummary {
  private let place: StorePlace
  private let contents: StoreContents
  private let manifest: StoreManifest
  private let hints: [HintState]

  /// - Throws: when there is no manifest to tell of, or a hint cannot be read.
  init(_ place: StorePlace, _ contents: StoreContents, _ files: inout PosixFileSystem) throws {
    guard var manifest = contents.manifest else {
      let problem = contents.manifestProblem.map { "\($0)" } ?? "there is no manifest"
      throw Failure("\(problem); --records shows what can be read all the same")
    }
    self.place = place
    self.contents = contents
    do throws(StorageError) {
      // The manifest's cursors and promises may be older.
      if let directory = place.nodeDirectory, let file = try? PromisesFile.read(in: directory, on: &files) {
        for entry in file.entries { manifest.take(entry) }
      }
      self.manifest = manifest
      var states: [HintState] = []
      for file in contents.files {
        states.append(
          try HintFile.state(of: file, in: contents.directory, hash: place.node?.ringHash, on: &files))
      }
      hints = states
    } catch {
      throw Failure("\(error)")
    }
  }

  var text: String {
    let node = place.node.map { "\($0.name) (\(manifest.node))" } ?? "\(manifest.node)"
    let store = manifest.store
    var facts = [["store", store.title], ["node", node], ["cluster", "\(manifest.cluster)"]]
    if !store.isHints {
      facts += [["partition", "\(store.partition)"], ["copies (n_val)", "\(store.replicas)"]]
    }
    facts += [["role", "\(manifest.role)"], ["incarnation", "\(manifest.incarnation)"]]
    if !store.isHints {
      facts += [["configuration", hexadecimal(manifest.configID)], ["floor", stampText(manifest.floor)]]
    }
    facts += [["tsn head", "\(manifest.tsnHead)"], ["next data file", "\(manifest.nextFileID)"]]
    for cursor in manifest.cursors {
      facts.append(["cursor on \(cursor.peer)", "tsn \(cursor.tsn) of incarnation \(cursor.incarnation)"])
    }
    for promise in manifest.promises {
      facts.append([
        "promise of \(promise.peer)",
        "tsn head \(promise.tsnHead), floor \(stampText(promise.floor)), cursor here \(promise.cursorOnMe), "
          + "incarnation \(promise.incarnation)",
      ])
    }
    let header = ["FILE", "BYTES", "SYNCED", "STATE", "HINT", "KEYS IN HINT", "STAMPS FROM", "STAMPS TO"]
    let rows = zip(contents.files, hints).map(cells)
    let other = contents.otherNames.map { "also there: \(keyText(Array($0.utf8)))" }
    let table = rows.isEmpty ? ["no data files"] : aligned([header] + rows)
    return (aligned(facts) + [""] + table + other).joined(separator: "\n") + "\n"
  }

  private func cells(_ file: DataFileFacts, _ hint: HintState) -> [String] {
    let (word, keys) = hintWord(hint, file)
    let stamps = file.entry?.recordStamps
    return [
      fileName(file.path), "\(file.size)", file.entry == nil ? "-" : "\(file.syncedLength)", stateWord(file), word,
      keys, stamps.map { stampText($0.lowerBound) } ?? "-", stamps.map { stampText($0.upperBound) } ?? "-",
    ]
  }

  var json: JSON {
    .object([
      "store": .string(manifest.store.description), "directory": .string(contents.directory),
      "node": .optional(place.node) { .string($0.name) }, "node_id": .count(manifest.node.rawValue),
      "cluster": .string(manifest.cluster.description), "partition": .optional(partition) { .count(Int($0.partition)) },
      "n_val": .optional(partition) { .count(Int($0.replicas)) },
      "hints_for": .optional(manifest.store.hintTarget) { .count($0.rawValue) }, "role": .string("\(manifest.role)"),
      "incarnation": .string(manifest.incarnation.description),
      "configuration": .string(hexadecimal(manifest.configID)), "floor": .string(manifest.floor.description),
      "tsn_head": .count(manifest.tsnHead), "next_file": .count(manifest.nextFileID),
      "files": .array(zip(contents.files, hints).map(json)),
      "other_names": .array(contents.otherNames.map { .string(keyText(Array($0.utf8))) }),
    ])
  }

  /// Nil for a store of hints.
  private var partition: StoreID? { manifest.store.isHints ? nil : manifest.store }

  private func json(_ file: DataFileFacts, _ hint: HintState) -> JSON {
    let stamps = file.entry?.recordStamps
    return .object([
      "file": .string(fileName(file.path)), "bytes": .count(file.size), "synced": .count(file.syncedLength),
      "state": .string(stateWord(file)), "hint": .string(hintWord(hint, file).word),
      "lowest_stamp": .optional(stamps) { .string($0.lowerBound.description) },
      "highest_stamp": .optional(stamps) { .string($0.upperBound.description) },
    ])
  }
}

/// One node with all its stores.
struct NodeSummary {
  private let place: StorePlace
  private let stores: [StoreContents]
  private let manifest: NodeManifest

  init(_ place: StorePlace, _ stores: [StoreContents]) throws {
    guard let manifest = place.node else {
      throw Failure(place.nodeProblem.map { "\($0)" } ?? "\(place.path) says of no node what it is")
    }
    self.place = place
    self.stores = stores
    self.manifest = manifest
  }

  var text: String {
    let cluster = manifest.cluster
    let earlier = manifest.pastActors.count
    let lease = manifest.leaseEnd == .zero ? "none" : timestamp(wallMilliseconds: manifest.leaseEnd.milliseconds)
    let ring = cluster.map { "\($0.partitions) partitions, each on \($0.replicas) nodes (n_val)" }
    var facts: [[String]] = [
      ["node", "\(manifest.name) (\(manifest.node))"],
      ["cluster", cluster.map { "\($0.id)" } ?? "not founded yet"], ["ring", ring ?? "-"],
      ["actor", earlier == 0 ? "\(manifest.actor)" : "\(manifest.actor) (\(earlier) earlier)"],
      ["may stamp until", lease], ["last stop", manifest.isClean ? "clean" : "unclean, or it has not stopped yet"],
      ["journal", "\(place.nodeContents?.segments.count ?? 0) segments"],
      ["stores", counts(hints: false)],
    ]
    if manifest.stores.contains(where: \.id.isHints) { facts.append(["hint stores", counts(hints: true)]) }
    if !setAside.isEmpty { facts.append(["set aside", setAside.joined(separator: ", ")]) }
    let header = ["STORE", "ROLE", "FILES", "BYTES", "FLOOR", "TSN HEAD", "INCARNATION"]
    let rows = stores.map(cells)
    return (aligned(facts) + [""] + aligned([header] + rows)).joined(separator: "\n") + "\n"
  }

  var json: JSON {
    .object([
      "node": .string(manifest.name), "node_id": .count(manifest.node.rawValue), "directory": .string(place.path),
      "cluster": .optional(manifest.cluster) { .string($0.id.description) },
      "partitions": .optional(manifest.cluster) { .count(Int($0.partitions)) },
      "n_val": .optional(manifest.cluster) { .count(Int($0.replicas)) },
      "actor": .string(manifest.actor.description), "stopped_cleanly": .bool(manifest.isClean),
      "journal_segments": .count(place.nodeContents?.segments.count ?? 0),
      "stores": .array(stores.map(json)), "set_aside": .array(setAside.map { .string($0) }),
    ])
  }

  /// Damaged stores that the node has put out of its way; they are none of its stores any more.
  private var setAside: [String] { (place.nodeContents?.setAside ?? []).map(place.relative) }

  /// How many are there of those that the node must have.
  private func counts(hints: Bool) -> String {
    let there = stores.count { StoreID(directory: $0.directory)?.isHints == hints }
    return "\(there) of \(manifest.stores.count { $0.id.isHints == hints })"
  }

  private func cells(_ store: StoreContents) -> [String] {
    let size = ["\(store.files.count)", "\(bytes(store))"]
    guard let manifest = store.manifest else {
      return [StorePlace.title(store.directory), "no manifest that can be read"] + size + ["-", "-", "-"]
    }
    return [StorePlace.title(store.directory), "\(manifest.role)"] + size
      + [stampText(manifest.floor), "\(manifest.tsnHead)", "\(manifest.incarnation)"]
  }

  private func json(_ store: StoreContents) -> JSON {
    .object([
      "store": .string(StorePlace.name(store.directory)),
      "role": .optional(store.manifest) { .string("\($0.role)") }, "files": .count(store.files.count),
      "bytes": .count(bytes(store)), "floor": .optional(store.manifest) { .string($0.floor.description) },
      "tsn_head": .optional(store.manifest) { .count($0.tsnHead) },
      "incarnation": .optional(store.manifest) { .string($0.incarnation.description) },
    ])
  }

  private func bytes(_ store: StoreContents) -> UInt64 { store.files.reduce(0) { $0 + $1.size } }
}

/// `2026-02-03T04:05:06.789Z (1770091506789.0@1f)`, or `none`.
private func stampText(_ stamp: Stamp) -> String {
  stamp == .zero ? "none" : "\(timestamp(wallMilliseconds: stamp.time.milliseconds)) (\(stamp))"
}

private func stateWord(_ file: DataFileFacts) -> String {
  switch file.standing {
  case .listed: file.problem != nil ? "damaged header" : file.entry?.isSealed == true ? "sealed" : "open"
  case .absent: "missing"
  case .young: "younger than the manifest"
  case .leftover: "leftover"
  case .torn: "never begun"
  case .otherLife: "of another incarnation"
  case .foreign: "of another store"
  case .unjudged: "no manifest"
  }
}

private func hintWord(_ hint: HintState, _ file: DataFileFacts) -> (word: String, keys: String) {
  switch hint {
  case .missing: ("missing", "-")
  case .fits(let entries, let covered): (covered == file.size ? "fits" : "fits the first \(covered)", "\(entries)")
  case .stale: ("stale", "-")
  case .damaged: ("damaged", "-")
  }
}
