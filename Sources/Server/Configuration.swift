package import Cluster
package import Platform
import Primitives
package import Replication
package import Storage

// Everything a node is told by its operator, in one value, with where each setting came from. Defaults are overridden
// by the configuration file, that by `--set`, that by a flag of its own, whatever their order on the command line. A
// mistake is an error that says what would have been right; nothing is guessed and nothing is ignored.

package struct Configuration: Sendable {
  package var name = ""
  package var data = ""
  package var http: SocketAddress?
  /// Nil: Riak's binary protocol is not spoken.
  package var pb: SocketAddress?
  package var cluster: SocketAddress?
  package var initialCluster: [Member] = []

  package var partitions = 64
  package var replicas = 3
  package var sync = SyncMode.always
  package var syncIntervalMilliseconds: UInt64 = 1000
  package var requestTimeoutMilliseconds: UInt64 = 5000
  package var fileBytesMax: UInt64 = 256 << 20
  /// Nil: twice `fileBytesMax`.
  package var diskReserveBytes: UInt64?
  package var merge = MergePolicy()
  package var openFilesMax = 512
  package var hintBytesMax: UInt64 = 1 << 30
  package var hintRetryMilliseconds: UInt64 = 1000
  package var handoffBytesPerSecond: UInt64 = 16 << 20
  package var antiEntropyMilliseconds: UInt64 = 300_000
  package var pullBytesPerSecond: UInt64 = 32 << 20
  package var scrubMilliseconds: UInt64 = 7 * 86_400_000
  package var scrubBytesPerSecond: UInt64 = 8 << 20
  package var tombstoneHoldMilliseconds: UInt64 = 60_000
  package var tombstonesMax = 100_000
  package var feedMilliseconds: UInt64 = 1000
  /// 0: for ever.
  package var defaultLifetimeMilliseconds: UInt64 = 0
  package var suspectAfterMilliseconds: UInt64 = 1000
  package var operationsMax = 16_384
  package var connectionsMax = 10_000
  package var idleTimeoutMilliseconds: UInt64 = 60_000
  package var slowRequestTimeoutMilliseconds: UInt64 = 30_000
  package var outputBytesMax: UInt64 = 128 << 20
  package var inputBytesMax: UInt64 = 512 << 20
  package var peerOutputBytesMax: UInt64 = 64 << 20
  package var adminRemote = false
  package var clockOffsetMilliseconds: Int64 = 0
  package var logLevel = LogLevel.info

  private var sources: [String: ConfigurationSource] = [:]

  package init() {}

  /// Where the value of a key came from.
  package func source(of key: String) -> ConfigurationSource { sources[key] ?? .default }

  /// Sets one key. - Throws: `unknownKey` or `malformed`; nothing changed.
  package mutating func set(_ name: String, to value: String, from source: ConfigurationSource)
    throws(ConfigurationError)
  {
    guard let key = Configuration.keys.first(where: { $0.name == name }) else {
      throw .unknownKey(name, nearest: nearest(to: name, among: Configuration.keys.map(\.name)), source)
    }
    if let expected = key.parse(value, &self) {
      throw .malformed(name, value: value, expected: expected, source)
    }
    sources[name] = source
  }

  /// Applies `key=value` and returns the key.
  @discardableResult
  mutating func apply(
    assignment: Substring, from source: ConfigurationSource
  ) throws(ConfigurationError) -> String {
    guard let equals = assignment.firstIndex(of: "=") else { throw .noAssignment(String(assignment), source) }
    let key = String(trimmed(assignment[..<equals]))
    let value = trimmed(assignment[assignment.index(after: equals)...])
    try set(key, to: String(value), from: source)
    return key
  }
}

/// Where a setting came from.
package enum ConfigurationSource: Equatable, Sendable, CustomStringConvertible {
  case `default`
  case file(path: String, line: Int)
  /// `--set key=value`.
  case set
  /// A flag of its own.
  case flag(String)

  package var description: String {
    switch self {
    case .default: "default"
    case .file(let path, let line): "\(path) line \(line)"
    case .set: "--set"
    case .flag(let name): name
    }
  }
}

/// What is wrong with a configuration.
package enum ConfigurationError: Error, Equatable, Sendable {
  case unknownKey(String, nearest: String?, ConfigurationSource)
  case malformed(String, value: String, expected: String, ConfigurationSource)
  case noAssignment(String, ConfigurationSource)
  /// A file says two things; which was meant is not guessed.
  case setTwice(String, firstLine: Int, ConfigurationSource)
  case unknownFlag(String, nearest: String?)
  case missingValue(flag: String)
  case unreadable(path: String, reason: String)
  /// A setting that has no default.
  case missing(flag: String, unit: String)
  case notAMember(name: String, members: [String])
  /// The other nodes would look for this one elsewhere.
  case otherAddress(name: String, cluster: String, initialCluster: String)
  case notAPowerOfTwo(Int)
}

extension ConfigurationError: CustomStringConvertible {
  /// One line: what is wrong, and what to type instead.
  package var description: String {
    switch self {
    case .unknownKey(let key, let nearest, let source):
      "\(source): there is no setting '\(key)'\(nearest.map { "; did you mean '\($0)'?" } ?? "")"
    case .malformed(let key, let value, let expected, let source):
      "\(source): '\(value)' is no value for '\(key)': it must be \(expected)"
    case .noAssignment(let text, let source): "\(source): '\(text)' is not key=value"
    case .setTwice(let key, let firstLine, let source): "\(source): '\(key)' is set already in line \(firstLine)"
    case .unknownFlag(let flag, let nearest):
      "there is no option '\(flag)'\(nearest.map { "; did you mean '\($0)'?" } ?? "")"
    case .missingValue(let flag): "\(flag) needs a value"
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .missing(let flag, let unit): "\(flag) is missing; give it as \(flag) \(unit)"
    case .notAMember(let name, let members):
      "--name \(name) is none of the nodes in --initial-cluster (\(members.joined(separator: ", ")))"
    case .otherAddress(let name, let cluster, let initialCluster):
      "--cluster \(cluster) is not the address of \(name) in --initial-cluster, which is \(initialCluster)"
    case .notAPowerOfTwo(let partitions): "partitions = \(partitions) is not a power of two; take 64, 128, 256, …"
    }
  }
}

extension Configuration {
  private static let fileBytesMax = 1 << 20

  /// Reads the arguments of `cairn node` (without the words before them), and the file that `--config` names.
  /// - Throws: the first mistake; see `validate` for what is not yet checked here.
  package init(arguments: [String]) throws(ConfigurationError) {
    var assignments: [String] = []
    var flags: [(key: ConfigurationKey, value: String)] = []
    var file: String?
    let identity = Configuration.keys.filter(\.isIdentity)
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      let sides = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let flag = sides.first ?? ""
      let key = identity.first { $0.flag == flag }
      guard key != nil || flag == "--set" || flag == "--config" else {
        throw .unknownFlag(argument, nearest: nearest(to: flag, among: identity.map(\.flag) + ["--set", "--config"]))
      }
      guard let value = sides.count == 2 ? sides[1] : rest.popFirst() else { throw .missingValue(flag: flag) }
      if let key {
        flags.append((key, value))
      } else if flag == "--set" {
        assignments.append(value)
      } else {
        file = value
      }
    }
    self.init()
    if let file { try apply(file: try Configuration.read(file), path: file) }
    for assignment in assignments { try apply(assignment: assignment[...], from: .set) }
    for (key, value) in flags { try set(key.name, to: value, from: .flag(key.flag)) }
  }

  /// The text of a configuration file, of at most 1 MiB.
  package static func read(_ path: String) throws(ConfigurationError) -> String {
    do throws(Errno) {
      return String(decoding: try readSmallFile(path, bytesMax: fileBytesMax), as: UTF8.self)
    } catch {
      throw .unreadable(path: path, reason: "\(error)")
    }
  }

  /// Checks what concerns several settings, or has no default.
  package func validate() throws(ConfigurationError) {
    for key in Configuration.keys where key.isIdentity && !key.mayBeMissing && key.show(self).isEmpty {
      throw .missing(flag: key.flag, unit: key.unit)
    }
    if let (_, error) = contradictions().first { throw error }
  }

  /// Settings that do not fit together or need more than a range, of those that are given, with the key to blame.
  func contradictions() -> [(key: String, error: ConfigurationError)] {
    var found: [(key: String, error: ConfigurationError)] = []
    if !name.isEmpty, !initialCluster.isEmpty {
      if let own = initialCluster.first(where: { $0.name == name }) {
        if let cluster, !cluster.accepts(connectionsTo: SocketAddress(own.address)) {
          found.append(
            ("cluster", .otherAddress(name: name, cluster: cluster.description, initialCluster: own.address)))
        }
      } else {
        found.append(("name", .notAMember(name: name, members: initialCluster.map(\.name))))
      }
    }
    if partitions & (partitions - 1) != 0 { found.append(("partitions", .notAPowerOfTwo(partitions))) }
    return found
  }

  /// Every setting with its value and where that came from, in the order of `keys`.
  package func settings() -> [(key: ConfigurationKey, value: String, source: String)] {
    Configuration.keys.map { ($0, $0.show(self), "\(source(of: $0.name))") }
  }
}

extension SocketAddress {
  /// Whether a listener here is found at `address`: the very same, or its port on every address of this machine.
  fileprivate func accepts(connectionsTo address: SocketAddress?) -> Bool {
    self == address || host.allSatisfy { $0 == 0 } && port == address?.port
  }
}

func trimmed(_ text: Substring) -> Substring {
  var text = text
  while let first = text.first, first.isWhitespace { text.removeFirst() }
  while let last = text.last, last.isWhitespace { text.removeLast() }
  return text
}
