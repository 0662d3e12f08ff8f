import Messages
package import Platform
package import Primitives
package import Replication
import Storage

// From a configuration to a running node and, at last, an exit code. What goes wrong on the way is one line on standard
// error that says what to do.

/// Exit codes of `cairn node`.
package enum ExitCode {
  package static let clean: Int32 = 0
  package static let failed: Int32 = 1
  package static let usage: Int32 = 2
}

/// Why a node does not run: a line for its operator, and the exit code.
package struct StartFailure: Error {
  package let line: String
  package let code: Int32

  package init(line: String, code: Int32 = ExitCode.failed) {
    self.line = line
    self.code = code
  }
}

/// Runs a node of any kind on the calling thread until it stops.
/// - Parameter makeNode: Builds it on a file system of its own; its directory exists.
/// - Returns: An exit code.
package func runNode<Node: DrivenNode>(
  _ configuration: Configuration,
  makeNode: (NodeOptions, consuming PosixFileSystem, Moment) throws(StartFailure) -> sending Node
) -> Int32 {
  let clock = SystemClock(wallOffsetMilliseconds: configuration.clockOffsetMilliseconds)
  let log = Log(level: configuration.logLevel, node: configuration.name, clock: clock)
  do throws(StartFailure) {
    try prepareProcess(configuration)
    let signals = try attempt { () throws(Errno) in try TerminationSignals() }
    let clients = try listen(configuration.http)
    let peers = try listen(configuration.cluster)
    let binary = try listenIfAsked(configuration.pb)
    let seed = try attempt { () throws(Errno) in try randomSeed() }
    let pb = configuration.pb.map { ", pb \($0)" } ?? ""
    log(.info, "starting on \(configuration.data), http \(clients.address)\(pb), cluster \(peers.address)")
    let node = try makeNode(configuration.nodeOptions(seed: seed), PosixFileSystem(), clock.now())
    let shard = try assemble(configuration, node, clients, peers, binary, signals, seed: ~seed)
    return try finish(try attempt { () throws(Errno) in try shard.run() }, log)
  } catch {
    writeToStandardError("cairn node: \(oneLine(error.line))\n")
    return error.code
  }
}

private func assemble<Node: DrivenNode>(
  _ configuration: Configuration, _ node: sending Node, _ clients: consuming Listener,
  _ peers: consuming Listener, _ binary: consuming Listener?, _ signals: consuming TerminationSignals, seed: UInt64
) throws(StartFailure) -> Shard<Node> {
  do throws(Errno) {
    return try Shard(
      configuration: configuration, node: node, clients: clients, peers: peers, binary: binary, signals: signals,
      seed: seed)
  } catch {
    throw StartFailure(line: "the system refuses: \(error)")
  }
}

private func prepareProcess(_ configuration: Configuration) throws(StartFailure) {
  do throws(ConfigurationError) {
    try configuration.validate()
  } catch {
    throw StartFailure(line: error.description, code: ExitCode.usage)
  }
  try attempt { () throws(Errno) in
    try ignoreBrokenPipes()
    try raiseOpenFilesLimit()
  }
  do throws(StorageError) {
    try createDirectories(configuration.data)
  } catch {
    throw StartFailure(line: error.description)
  }
}

/// Creates a directory and those above it that are missing, durably.
private func createDirectories(_ path: String) throws(StorageError) {
  var files = PosixFileSystem()
  var made = path.hasPrefix("/") ? "" : "."
  for part in path.split(separator: "/") {
    let parent = made.isEmpty ? "/" : made
    made += "/" + part
    if try files.exists(made) { continue }
    try files.createDirectory(made)
    try files.syncDirectory(parent)
  }
}

private func listen(_ address: SocketAddress?) throws(StartFailure) -> Listener {
  guard let address else { throw StartFailure(line: "an address to listen on is missing", code: ExitCode.usage) }
  do throws(SocketError) {
    return try Listener(on: address)
  } catch {
    throw StartFailure(line: error.description)
  }
}

/// Nil where there is no address.
private func listenIfAsked(_ address: SocketAddress?) throws(StartFailure) -> Listener? {
  if address == nil { return nil }
  return try listen(address)
}

private func finish(_ reason: StopReason, _ log: Log) throws(StartFailure) -> Int32 {
  switch reason {
  case .clean:
    log(.info, "stopped")
    return ExitCode.clean
  case .failed(let error): throw StartFailure(line: error.description)
  case .refused(let line): throw StartFailure(line: line)
  }
}

@discardableResult
private func attempt<Value: ~Copyable>(_ body: () throws(Errno) -> Value) throws(StartFailure) -> Value {
  do throws(Errno) {
    return try body()
  } catch {
    throw StartFailure(line: "the system refuses: \(error)")
  }
}

extension Configuration {
  package func nodeOptions(seed: UInt64) -> NodeOptions {
    var options = NodeOptions(name: name, members: initialCluster, directory: data, seed: seed)
    options.partitions = UInt16(partitions)
    options.replicas = UInt8(replicas)
    options.sync = sync
    options.syncIntervalMilliseconds = syncIntervalMilliseconds
    options.fileBytesMax = fileBytesMax
    options.reserveBytes = diskReserveBytes
    options.merge = merge
    options.openFilesMax = openFilesMax
    options.hintBytesMax = hintBytesMax
    options.hintRetryMilliseconds = hintRetryMilliseconds
    options.handoffBytesPerSecond = handoffBytesPerSecond
    options.antiEntropyMilliseconds = antiEntropyMilliseconds
    options.pullBytesPerSecond = pullBytesPerSecond
    options.scrubMilliseconds = scrubMilliseconds
    options.scrubBytesPerSecond = scrubBytesPerSecond
    options.tombstoneHoldMilliseconds = tombstoneHoldMilliseconds
    options.tombstonesMax = tombstonesMax
    options.feedMilliseconds = feedMilliseconds
    if defaultLifetimeMilliseconds > 0 {
      options.lifetime = .seconds(UInt32(clamping: (defaultLifetimeMilliseconds + 999) / 1000))
    }
    options.requestTimeoutMilliseconds = requestTimeoutMilliseconds
    options.suspectAfterMilliseconds = suspectAfterMilliseconds
    options.operationsMax = operationsMax
    return options
  }
}
