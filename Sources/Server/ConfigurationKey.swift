import Cluster
import Platform
import Replication
import Storage

// The keys that a node can be configured with, as a table: name, default, unit, meaning, how to read and show a value.
// Help, documentation, `/admin/config` and the parser all come from here, so none of them can forget one.

/// One setting.
package struct ConfigurationKey: Sendable {
  package let name: String
  /// What a value looks like: `duration`, `size`, `number`, …
  package let unit: String
  /// From what to what, both included; empty where the unit says it.
  package var range = ""
  package let documentation: String
  /// Where this node is and whom it belongs to, rather than how it behaves: also a flag of its own, `--name`.
  package let isIdentity: Bool
  /// Has no default, and need not be given.
  package var mayBeMissing = false
  /// Sets the value and returns nil, or changes nothing and returns what would have been understood.
  let parse: @Sendable (String, inout Configuration) -> String?
  let show: @Sendable (Configuration) -> String

  /// The flag of an identity key: `--initial-cluster`.
  package var flag: String { "--" + name.map { $0 == "_" ? "-" : String($0) }.joined() }
  /// The value a new configuration has.
  package var defaultText: String { show(Configuration()) }
}

extension Configuration {
  package static let keys: [ConfigurationKey] = [
    text("name", \.name, "this node's name; one of those in initial_cluster"),
    text("data", \.data, "directory of everything this node stores; created when it is not there"),
    address("http", \.http, "where HTTP clients connect"),
    address(
      "pb", \.pb, "where clients of Riak's Protocol Buffers API connect; not given: nowhere", mayBeMissing: true),
    address("cluster", \.cluster, "where the other nodes connect; connections to them come from this address"),
    ConfigurationKey(
      name: "initial_cluster", unit: "n1=host:port,…",
      documentation: "name and cluster address of every node of a new cluster, this one included; the same on all",
      isIdentity: true, parse: parseInitialCluster,
      show: { $0.initialCluster.map { "\($0.name)=\($0.address)" }.joined(separator: ",") }),
    number(
      "partitions", \.partitions, 1...32768, "parts of the ring, a power of two; fixed when the cluster is founded"),
    number("n_val", \.replicas, 1...16, "nodes that keep each object; fixed when the cluster is founded"),
    choice(
      "sync", \.sync,
      "when an acknowledged write is on the device: before it is acknowledged, within sync_interval, or"
        + " when the system likes"),
    duration(
      "sync_interval", \.syncIntervalMilliseconds, 10...3_600_000, "longest time to the device with sync = interval"),
    duration("request_timeout", \.requestTimeoutMilliseconds, 1...600_000, "deadline of a request that names none"),
    size(
      "max_file_size", \.fileBytesMax, (1 << 16)...StorageLimits.fileBytesMax,
      "a data file that has grown to this is sealed"),
    ConfigurationKey(
      name: "disk_reserve", unit: "size", range: "0 to 1024GiB; twice max_file_size where nothing is set",
      documentation: "free bytes of the disk that puts leave alone; with less free they are answered 507",
      isIdentity: false,
      parse: { text, target in
        guard let value = parseSize(text), value <= 1 << 40 else { return "a size from 0 to 1024GiB, like 512MiB" }
        target.diskReserveBytes = value
        return nil
      }, show: { showSize($0.diskReserveBytes ?? EngineOptions.reserveBytes(fileBytesMax: $0.fileBytesMax)) }),
    ConfigurationKey(
      name: "merge_window", unit: "always|never|hours", range: "hours like 22-6, of the day in UTC",
      documentation: "when merges begin by themselves; one that is asked for always does", isIdentity: false,
      parse: parseMergeWindow, show: { showMergeWindow($0.merge.window) }),
    duration(
      "merge_check_interval", \.merge.checkIntervalMilliseconds, 100...86_400_000,
      "how often stores are looked at for something to merge"),
    number(
      "merge_trigger_fragmentation", \.merge.triggerFragmentation, 1...100,
      "percent of a data file that are dead: so many start a merge"),
    size(
      "merge_trigger_dead_bytes", \.merge.triggerDeadBytes, 1...(1 << 30),
      "dead bytes in a data file: so many start a merge"),
    number(
      "merge_fragmentation", \.merge.fragmentation, 1...100,
      "percent of a data file that are dead: with so many it joins a merge"),
    size(
      "merge_dead_bytes", \.merge.deadBytes, 1...(1 << 30),
      "dead bytes in a data file: with so many it joins a merge"),
    size(
      "merge_small_file", \.merge.smallFileBytes, 0...(1 << 30),
      "a sealed data file shorter than this joins a merge, and \(MergePolicy.smallFilesTrigger) of them start one"),
    size(
      "merge_rate", \.merge.bytesPerSecond, (64 << 10)...(16 << 30),
      "bytes that merges of this node read in a second, at most"),
    number(
      "open_files_max", \.openFilesMax, 16...60_000,
      "sealed data files that stay open; others are opened when they are read"),
    size(
      "hints_max", \.hintBytesMax, 0...(1 << 40),
      "bytes of writes that this node keeps for nodes that cannot take them; what does not fit is refused"),
    duration(
      "hint_retry_interval", \.hintRetryMilliseconds, 10...3_600_000,
      "hints that were refused or not answered are offered again after this time, and then after ever longer ones"),
    size(
      "handoff_rate", \.handoffBytesPerSecond, (64 << 10)...(1 << 30),
      "hints that this node hands over in a second, at most"),
    durationOrZero(
      "anti_entropy_interval", \.antiEntropyMilliseconds, 100...(30 * 86_400_000), zero: "only when asked for",
      "how often this node compares its stores with those of each other owner, and pulls what it lacks"),
    size(
      "pull_rate", \.pullBytesPerSecond, (1 << 10)...(4 << 30),
      "records that this node pulls from other owners in a second, at most, to repair stores and to fill them"),
    durationOrZero(
      "scrub_interval", \.scrubMilliseconds, 1000...(365 * 86_400_000), zero: "never",
      "how often every sealed data file is read, to find damage before somebody needs the record"),
    size("scrub_rate", \.scrubBytesPerSecond, (1 << 10)...(4 << 30), "bytes that the scrub reads in a second, at most"),
    durationOrZero(
      "tombstone_hold", \.tombstoneHoldMilliseconds, 1...(30 * 86_400_000), zero: "not at all",
      "how long a tombstone is kept at least, whoever has acknowledged it"),
    number(
      "tombstones_max", \.tombstonesMax, 1...1_000_000_000,
      "tombstones that may wait in the store of a partition; a delete that would leave one more is answered 507"),
    duration(
      "feed_interval", \.feedMilliseconds, 10...3_600_000,
      "how often owners tell each other of new tombstones and acknowledge them; without any nothing is said"),
    durationOrZero(
      "default_ttl", \.defaultLifetimeMilliseconds, 1000...(36_500 * 86_400_000), zero: "for ever",
      "how long an object lives whose PUT says nothing of that; counted in seconds, from the write"),
    duration("suspect_after", \.suspectAfterMilliseconds, 50...600_000, "silence after which a node is routed around"),
    number("operations_max", \.operationsMax, 1...1_000_000, "client operations in progress; one more is answered 503"),
    number("connections_max", \.connectionsMax, 1...60_000, "client connections; one more is answered 503 and closed"),
    duration(
      "idle_timeout", \.idleTimeoutMilliseconds, 100...86_400_000, "a client connection silent for this long is closed"),
    duration(
      "slow_request_timeout", \.slowRequestTimeoutMilliseconds, 100...86_400_000,
      "a request must have come, and an answer must make progress, within this time; 1 s more per 64 KiB of request"),
    size("output_max", \.outputBytesMax, (1 << 16)...(1 << 32), "answers that one client has not read; more closes it"),
    size(
      "input_max", \.inputBytesMax, (1 << 16)...(1 << 36), "unfinished requests of all clients; more closes the newest"),
    size(
      "peer_output_max", \.peerOutputBytesMax, (1 << 20)...(1 << 32), "messages waiting for one peer; more are dropped"),
    flag("admin_remote", \.adminRemote, "serve /admin to other machines too"),
    ConfigurationKey(
      name: "clock_offset", unit: "duration", range: "also negative",
      documentation: "added to the wall clock; for tests", isIdentity: false,
      parse: { text, target in
        let isNegative = text.hasPrefix("-")
        guard let value = parseDuration(isNegative ? String(text.dropFirst()) : text), value <= 1 << 40 else {
          return "a duration like 30s or -30s"
        }
        target.clockOffsetMilliseconds = isNegative ? -Int64(value) : Int64(value)
        return nil
      },
      show: { ($0.clockOffsetMilliseconds < 0 ? "-" : "") + showDuration($0.clockOffsetMilliseconds.magnitude) }),
    ConfigurationKey(
      name: "log_level", unit: LogLevel.allCases.map { "\($0)" }.joined(separator: "|"),
      documentation: "the least important lines that are logged", isIdentity: false,
      parse: { text, target in
        guard let level = LogLevel.allCases.first(where: { "\($0)" == text }) else {
          return "one of " + LogLevel.allCases.map { "\($0)" }.joined(separator: ", ")
        }
        target.logLevel = level
        return nil
      }, show: { "\($0.logLevel)" }),
  ]

  private typealias Field<Value> = WritableKeyPath<Configuration, Value> & Sendable

  private static func text(_ name: String, _ field: any Field<String>, _ documentation: String) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "text", documentation: documentation, isIdentity: true,
      parse: { text, target in
        guard !text.isEmpty else { return "a text that is not empty" }
        target[keyPath: field] = text
        return nil
      }, show: { $0[keyPath: field] })
  }

  private static func address(
    _ name: String, _ field: any Field<SocketAddress?>, _ documentation: String, mayBeMissing: Bool = false
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "host:port", documentation: documentation, isIdentity: true, mayBeMissing: mayBeMissing,
      parse: { text, target in
        guard let address = SocketAddress(text) else { return "a numeric address and a port, like 127.0.0.1:10018" }
        target[keyPath: field] = address
        return nil
      }, show: { $0[keyPath: field]?.description ?? "" })
  }

  private static func number(
    _ name: String, _ field: any Field<Int>, _ range: ClosedRange<Int>, _ documentation: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "number", range: "\(range.lowerBound) to \(range.upperBound)", documentation: documentation,
      isIdentity: false,
      parse: { text, target in
        guard let value = Int(text), range.contains(value) else {
          return "a number from \(range.lowerBound) to \(range.upperBound)"
        }
        target[keyPath: field] = value
        return nil
      }, show: { "\($0[keyPath: field])" })
  }

  private static func duration(
    _ name: String, _ field: any Field<UInt64>, _ range: ClosedRange<UInt64>, _ documentation: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "duration", range: "\(showDuration(range.lowerBound)) to \(showDuration(range.upperBound))",
      documentation: documentation, isIdentity: false,
      parse: { text, target in
        guard let value = parseDuration(text), range.contains(value) else {
          return
            "a duration from \(showDuration(range.lowerBound)) to \(showDuration(range.upperBound)), like 200ms or 5s"
        }
        target[keyPath: field] = value
        return nil
      }, show: { showDuration($0[keyPath: field]) })
  }

  /// A duration in `range`, or 0, which means something of its own.
  private static func durationOrZero(
    _ name: String, _ field: any Field<UInt64>, _ range: ClosedRange<UInt64>, zero: String, _ documentation: String
  ) -> ConfigurationKey {
    let (low, high) = (showDuration(range.lowerBound), showDuration(range.upperBound))
    return ConfigurationKey(
      name: name, unit: "duration", range: "\(low) to \(high), or 0: \(zero)", documentation: documentation,
      isIdentity: false,
      parse: { text, target in
        guard let value = text == "0" ? 0 : parseDuration(text), value == 0 || range.contains(value) else {
          return "a duration from \(low) to \(high), like 5m or 7d, or 0: \(zero)"
        }
        target[keyPath: field] = value
        return nil
      }, show: { showDuration($0[keyPath: field]) })
  }

  private static func size(
    _ name: String, _ field: any Field<UInt64>, _ range: ClosedRange<UInt64>, _ documentation: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "size", range: "\(showSize(range.lowerBound)) to \(showSize(range.upperBound))",
      documentation: documentation, isIdentity: false,
      parse: { text, target in
        guard let value = parseSize(text), range.contains(value) else {
          return "a size from \(showSize(range.lowerBound)) to \(showSize(range.upperBound)), like 256MiB"
        }
        target[keyPath: field] = value
        return nil
      }, show: { showSize($0[keyPath: field]) })
  }

  private static func flag(_ name: String, _ field: any Field<Bool>, _ documentation: String) -> ConfigurationKey {
    ConfigurationKey(
      name: name, unit: "true|false", documentation: documentation, isIdentity: false,
      parse: { text, target in
        guard let value = Bool(text) else { return "true or false" }
        target[keyPath: field] = value
        return nil
      }, show: { "\($0[keyPath: field])" })
  }

  private static func choice(
    _ name: String, _ field: any Field<SyncMode>, _ documentation: String
  ) -> ConfigurationKey {
    let words = SyncMode.allCases.map(\.rawValue)
    return ConfigurationKey(
      name: name, unit: words.joined(separator: "|"), documentation: documentation, isIdentity: false,
      parse: { text, target in
        guard let value = SyncMode(rawValue: text) else { return "one of " + words.joined(separator: ", ") }
        target[keyPath: field] = value
        return nil
      }, show: { $0[keyPath: field].rawValue })
  }

  @Sendable private static func parseMergeWindow(_ text: String, _ target: inout Configuration) -> String? {
    switch text {
    case "always": target.merge.window = .always
    case "never": target.merge.window = .never
    default:
      let hours = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard hours.count == 2, let from = hours[0], let to = hours[1], (0..<24).contains(from), (0...24).contains(to),
        from != to
      else { return "always, never, or two different hours like 22-6" }
      target.merge.window = .hours(from, to)
    }
    return nil
  }

  private static func showMergeWindow(_ window: MergeWindow) -> String {
    switch window {
    case .always: "always"
    case .never: "never"
    case .hours(let from, let to): "\(from)-\(to)"
    }
  }

  @Sendable private static func parseInitialCluster(_ text: String, _ target: inout Configuration) -> String? {
    do throws(InitialClusterError) {
      target.initialCluster = try InitialCluster.parse(text)
      return nil
    } catch {
      return "name=host:port for every node, separated by commas: \(error)"
    }
  }
}

/// Milliseconds of `200ms`, `5s`, `2m`, `1h`, `7d`; nil when it is none of these.
package func parseDuration(_ text: String) -> UInt64? {
  parseQuantity(text, units: [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)])
}

/// The shortest text that `parseDuration` reads as this.
package func showDuration(_ milliseconds: UInt64) -> String {
  for (unit, scale) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] as [(String, UInt64)]
  where milliseconds >= scale && milliseconds % scale == 0 {
    return "\(milliseconds / scale)\(unit)"
  }
  return milliseconds == 0 ? "0s" : "\(milliseconds)ms"
}

/// Bytes of `4096`, `64KiB`, `256MiB`, `1GiB`; nil when it is none of these.
package func parseSize(_ text: String) -> UInt64? {
  parseQuantity(text, units: [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)])
}

func showSize(_ bytes: UInt64) -> String {
  for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] as [(String, UInt64)]
  where bytes >= scale && bytes % scale == 0 {
    return "\(bytes / scale)\(unit)"
  }
  return "\(bytes)"
}

private func parseQuantity(_ text: String, units: [(suffix: String, scale: UInt64)]) -> UInt64? {
  for (suffix, scale) in units where text.hasSuffix(suffix) {
    let digits = text.utf8.dropLast(suffix.utf8.count)
    guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }), let number = UInt64(Substring(digits))
    else { continue }
    let (value, overflow) = number.multipliedReportingOverflow(by: scale)
    return overflow ? nil : value
  }
  return nil
}
