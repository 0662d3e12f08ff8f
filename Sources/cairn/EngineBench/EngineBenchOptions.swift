import Platform
import Primitives
import Server
import Storage

// What `cairn bench engine` is told to do, checked before anything is written.

struct EngineBenchOptions: Sendable {
  /// In the order they run: memory comes first, while the process holds little.
  var workloads: [EngineWorkload]
  /// Nil: each workload's own.
  var keyCount: Int?
  /// Nil: 16, and for memory 200 too.
  var keyByteCount: Int?
  var valueByteCount: Int
  /// A power of two; nil: 1, and 64 for group commit.
  var storeCount: Int?
  var writers: [Int]
  /// Repetitions, of which the median is told.
  var runs: Int
  /// Where a directory for the data is made.
  var parent: String
  var printsJSON: Bool

  static let keysMax = 100_000_000
  static let storesMax = 1024
  static let writersMax = 1024
  static let runsMax = 99
  /// Of one copy of all records.
  static let dataBytesMax: UInt64 = 32 << 30
  /// Room for a number that tells every key from every other.
  static let keyBytesMin = 8

  static let table = [
    Option("--workload", "W", repeats: true, help: "what to measure: one of those above (default: all)"),
    Option("--keys", "N", help: "how many keys (default: 1000000; 10000000 for open and memory)"),
    Option("--key-size", "BYTES", help: "bytes of a key (default: 16; for memory 16, then 200)"),
    Option("--value-size", "BYTES", help: "bytes of a value (default: 100)"),
    Option("--stores", "N", help: "stores that share the keys, a power of two (default: 1; group commit: 64)"),
    Option("--writers", "N", help: "writers that share a sync (default: 64, then 16)"),
    Option("--runs", "N", help: "repetitions, of which the median is told (default: 3; memory: once)"),
    Option("--data", "DIR", help: "where to make a directory for the data, removed at the end (default: $TMPDIR)"),
    Option("--json", help: "print JSON, one object per line"),
  ]

  init(_ arguments: Arguments) throws {
    try arguments.refuseOperands()
    workloads = try EngineBenchOptions.workloads(arguments)
    keyCount = try arguments.integer("--keys", in: 1...EngineBenchOptions.keysMax)
    keyByteCount = try arguments.integer(
      "--key-size", in: EngineBenchOptions.keyBytesMin...StorageLimits.keyBytesMax)
    valueByteCount = try arguments.valueSize() ?? 100
    storeCount = try arguments.integer("--stores", in: 1...EngineBenchOptions.storesMax)
    if let storeCount, storeCount & (storeCount - 1) != 0 {
      throw arguments.problem("--stores is '\(storeCount)', not a power of two", hint: "type --stores 64")
    }
    writers = try arguments.integer("--writers", in: 1...EngineBenchOptions.writersMax).map { [$0] } ?? [64, 16]
    runs = try arguments.integer("--runs", in: 1...EngineBenchOptions.runsMax) ?? 3
    parent = arguments.value("--data") ?? Console.environment("TMPDIR") ?? "/tmp"
    if parent.isEmpty { throw arguments.problem("--data is empty; it names a directory") }
    printsJSON = arguments.has("--json")
    try refuseTooMuch(arguments)
  }

  private static func workloads(_ arguments: Arguments) throws(UsageError) -> [EngineWorkload] {
    var chosen: [EngineWorkload] = []
    for name in arguments.allValues("--workload") {
      guard let workload = EngineWorkload(rawValue: name) else {
        let names = EngineWorkload.allCases.map(\.rawValue)
        let hint = nearest(to: name, among: names).map { "did you mean --workload \($0)?" }
        throw arguments.problem("--workload is '\(name)', none of \(names.joined(separator: ", "))", hint: hint)
      }
      chosen.append(workload)
    }
    let all = [.memory] + EngineWorkload.allCases.filter { $0 != .memory }
    return chosen.isEmpty ? all : all.filter(chosen.contains)
  }

  /// A mistyped number should not fill the disk.
  private func refuseTooMuch(_ arguments: Arguments) throws(UsageError) {
    for plan in plans where plan.dataBytes > EngineBenchOptions.dataBytesMax {
      throw arguments.problem(
        "\(plan.keyCount) keys of \(plan.keyByteCount) + \(valueByteCount) bytes are "
          + "\(byteText(Double(plan.dataBytes))), more than \(byteText(Double(EngineBenchOptions.dataBytesMax)))",
        hint: "type fewer --keys, or a smaller --key-size or --value-size")
    }
  }

  /// The rows to measure, in order.
  var plans: [EngineBenchPlan] {
    workloads.flatMap { workload in
      let sizes = keyByteCount.map { [$0] } ?? (workload == .memory ? [16, 200] : [16])
      return sizes.flatMap { size in
        workload.turns(writers: writers).map { turn in
          EngineBenchPlan(
            workload: workload, keyCount: keyCount ?? workload.keyCountDefault, keyByteCount: size,
            valueByteCount: valueByteCount, turn: turn, storeCount: storeCount ?? (workload == .groupCommit ? 64 : 1),
            runs: workload == .memory ? 1 : runs)
        }
      }
    }
  }
}

/// One row of the result, before it was measured.
struct EngineBenchPlan: Equatable, Sendable {
  let workload: EngineWorkload
  let keyCount: Int
  let keyByteCount: Int
  let valueByteCount: Int
  /// Writes between two flushes.
  let turn: Int
  let storeCount: Int
  let runs: Int

  /// Of a put.
  var recordBytes: Int {
    RecordHeader.byteCount(keyLength: keyByteCount, valueLength: valueByteCount, isTombstone: false)
  }
  /// Of a delete.
  var tombstoneBytes: Int { RecordHeader.byteCount(keyLength: keyByteCount, valueLength: 0, isTombstone: true) }
  var dataBytes: UInt64 { UInt64(keyCount) * UInt64(recordBytes) }
}

extension Arguments {
  /// `--value-size`; nil when it was not given.
  func valueSize() throws(UsageError) -> Int? {
    guard let text = value("--value-size") else { return nil }
    guard let size = parseSize(text), size <= UInt64(ObjectRequest.valueBytesMax) else {
      throw problem(
        "--value-size is '\(text)', not a size from 0 to \(ObjectRequest.valueBytesMax >> 20)MiB, like 100 or 4KiB")
    }
    return Int(size)
  }
}
