import Primitives

// What `cairn bench engine` can measure, and what it should find: the goals the engine was built for. They are stated
// for keys of 16 bytes and values of 100 bytes or 1 KB; other sizes have none.

enum EngineWorkload: String, CaseIterable, Sendable {
  case put
  case overwrite
  case overwriteCold = "overwrite_cold"
  case get
  case getAfterOverwrite = "get_after_overwrite"
  case delete
  case openHints = "open_hints"
  case openScan = "open_scan"
  case merge
  case fsyncEach = "fsync_each"
  case groupCommit = "group_commit"
  case memory

  /// One line for `--help`: what is done, and what the raw loop does instead.
  var summary: String {
    switch self {
    case .put: "new keys; raw: write of as many bytes"
    case .overwrite: "keys that are there, in another order; raw: write of as many bytes"
    case .overwriteCold: "the same with files that are not in memory; raw: pread and write"
    case .get: "keys in another order than they were put; raw: pread of the same places in the same files"
    case .getAfterOverwrite: "the same after every key was overwritten"
    case .delete: "keys that are there, in another order; raw: write of as many bytes"
    case .openHints: "opening a store with hint files; raw: reading those from front to back"
    case .openScan: "opening a store without; raw: reading its data files from front to back"
    case .merge: "files of which a third is dead, without syncs; raw: reading all and writing what stays"
    case .fsyncEach: "a put and a sync, in turn; raw: write and fdatasync"
    case .groupCommit: "puts of many writers with one sync, over many stores; raw: one write and fdatasync for them"
    case .memory: "RAM and disk per key, and how long a put takes at worst, with many keys"
    }
  }

  /// Keys when nobody says how many.
  var keyCountDefault: Int {
    switch self {
    case .memory, .openHints, .openScan: 10_000_000
    default: 1_000_000
    }
  }

  /// How many writes stand in one turn, for each row that the workload has.
  func turns(writers: [Int]) -> [Int] {
    switch self {
    case .put, .overwrite, .delete: [64, 1]
    case .memory: [64]
    case .groupCommit: writers
    default: [1]
    }
  }

  /// What a rate counts.
  var unit: String {
    switch self {
    case .put, .overwrite, .overwriteCold, .get, .getAfterOverwrite, .delete, .fsyncEach, .groupCommit: "operations"
    case .openHints: "keys"
    case .openScan, .merge: "bytes"
    case .memory: "operations"
    }
  }
}

/// Something that a measurement should reach.
enum EngineGoal: Equatable, Sendable {
  /// Operations, keys or bytes a second, at least.
  case perSecond(Double)
  /// Of the raw loop's rate, at least.
  case ofRaw(Double)
  /// Bytes of memory for a key, at most.
  case bytesPerKey(Double)
  /// The longest turn of writes, in nanoseconds, at most.
  case pause(UInt64)

  /// The goals of a row; none for sizes that nobody stated any for.
  static func goals(of workload: EngineWorkload, turn: Int, valueByteCount: Int) -> [EngineGoal] {
    let isSmall = valueByteCount == 100
    guard isSmall || (1000...1024).contains(valueByteCount) else { return [] }
    switch workload {
    case .put where turn == 64: return [.perSecond(isSmall ? 1e6 : 0.6e6), .pause(5_000_000)]
    case .overwrite where turn == 64, .delete where turn == 64: return isSmall ? [.perSecond(0.6e6)] : []
    case .get: return isSmall ? [.perSecond(1.1e6), .ofRaw(0.6)] : [.perSecond(0.6e6)]
    case .openHints: return [.perSecond(5e6)]
    case .openScan: return [.perSecond(450e6)]
    case .merge: return [.perSecond(isSmall ? 300e6 : 800e6)]
    case .fsyncEach: return [.ofRaw(0.9)]
    case .groupCommit where turn == 64: return [.ofRaw(0.5)]
    case .memory: return [.bytesPerKey(28), .pause(5_000_000)]
    case .put, .overwrite, .overwriteCold, .getAfterOverwrite, .delete, .groupCommit: return []
    }
  }

  func isMet(by result: EngineBenchResult) -> Bool {
    switch self {
    case .perSecond(let least): result.perSecond >= least
    case .ofRaw(let least): (result.ratio ?? 0) >= least
    case .bytesPerKey(let most): result.memoryPerKey.map { $0 <= most } ?? false
    case .pause(let most): result.latencies.map { $0.max <= most } ?? false
    }
  }

  func text(unit: String) -> String {
    switch self {
    case .perSecond(let least): "≥ \(rateText(least, unit: unit))"
    case .ofRaw(let least): "≥ \(rounded(least, 1)) × raw"
    case .bytesPerKey(let most): "≤ \(Int(most)) B/key"
    case .pause(let most): "max ≤ \(latencyText(most))"
    }
  }
}

/// `1.2M/s`, or `450 MB/s` for bytes.
func rateText(_ perSecond: Double, unit: String) -> String {
  unit == "bytes" ? "\(Int((perSecond / 1e6).rounded())) MB/s" : "\(countText(perSecond))/s"
}
