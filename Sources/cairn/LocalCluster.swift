import Client
import Platform
import Protocols
import Storage

// A cluster of real processes on this machine, found again through one file in its data directory: `local.json` says
// how the nodes are started and which processes they were last. A process id is only believed together with the time
// its process started.

struct LocalCluster {
  static let nodesMax = 9
  static let portBaseDefault = 10_000
  static let recordBytesMax = 1 << 20

  struct Node {
    /// From 1.
    let number: Int
    var process: ProcessIdentity?
  }

  /// Absolute.
  let directory: String
  let portBase: Int
  let replicas: Int
  /// `key=value`, given to every node.
  let settings: [String]
  var nodes: [Node]

  func name(_ node: Node) -> String { "n\(node.number)" }
  func dataDirectory(_ node: Node) -> String { "\(directory)/\(name(node))" }
  func logPath(_ node: Node) -> String { "\(directory)/\(name(node)).log" }
  func httpPort(_ node: Node) -> UInt16 { UInt16(portBase + 10 * node.number + 8) }
  func pbPort(_ node: Node) -> UInt16 { UInt16(portBase + 10 * node.number + 7) }
  func clusterPort(_ node: Node) -> UInt16 { UInt16(portBase + 10 * node.number + 6) }
  func endpoint(_ node: Node) -> Endpoint { Endpoint(address: LocalCluster.loopback(httpPort(node))) }

  func pbAddress(_ node: Node) -> SocketAddress { LocalCluster.loopback(pbPort(node)) }

  static func loopback(_ port: UInt16) -> SocketAddress { SocketAddress(host: [127, 0, 0, 1], port: port) }

  /// The arguments of this node's process.
  func arguments(_ node: Node) -> [String] {
    let initialCluster = nodes.map { "\(name($0))=127.0.0.1:\(clusterPort($0))" }.joined(separator: ",")
    return [
      "node", "--name", name(node), "--data", dataDirectory(node), "--http", "127.0.0.1:\(httpPort(node))",
      "--pb", "\(pbAddress(node))", "--cluster", "127.0.0.1:\(clusterPort(node))",
      "--initial-cluster", initialCluster,
      "--set", "n_val=\(replicas)",
    ] + settings.flatMap { ["--set", $0] }
  }

  /// The node's process, if it runs.
  func running(_ node: Node) -> ProcessIdentity? { node.process.flatMap { $0.isRunning ? $0 : nil } }

  // MARK: The record

  static func recordPath(_ directory: String) -> String { directory + "/local.json" }

  /// The cluster of a directory; nil when there is none.
  static func load(_ directory: String) throws -> LocalCluster? {
    let path = recordPath(directory)
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try FileTree.read(path, bytesMax: recordBytesMax)
    } catch .noSuchFile {
      return nil
    } catch {
      throw Failure("cannot read \(path): \(error)")
    }
    guard let record = try? JSON.parse(bytes), let cluster = LocalCluster(record, directory: directory) else {
      throw Failure("\(path) is damaged; stop its nodes by hand and remove the directory")
    }
    return cluster
  }

  private init?(_ record: JSON, directory: String) {
    guard let portBase = record["port_base"]?.integer, let replicas = record["n"]?.integer,
      let settings = record["set"]?.array, let nodes = record["nodes"]?.array,
      (1...LocalCluster.nodesMax).contains(nodes.count), (0...65_000).contains(portBase)
    else { return nil }
    self.init(
      directory: directory, portBase: portBase, replicas: replicas, settings: settings.compactMap(\.string),
      nodeCount: nodes.count)
    for (index, node) in nodes.enumerated() {
      guard let pid = node["pid"]?.integer, let start = node["started"]?.integer else { continue }
      self.nodes[index].process = ProcessIdentity(
        pid: Int32(truncatingIfNeeded: pid), startTicks: UInt64(truncatingIfNeeded: start))
    }
  }

  init(directory: String, portBase: Int, replicas: Int, settings: [String], nodeCount: Int) {
    self.directory = directory
    self.portBase = portBase
    self.replicas = replicas
    self.settings = settings
    nodes = (1...nodeCount).map { Node(number: $0, process: nil) }
  }

  func save() throws {
    let record: JSON = .object([
      "port_base": .integer(portBase), "n": .integer(replicas), "set": .array(settings.map(JSON.string)),
      "nodes": .array(
        nodes.map { node in
          guard let process = node.process else { return .object(["name": .string(name(node))]) }
          return .object([
            "name": .string(name(node)), "pid": .integer(Int(process.pid)),
            "started": .integer(Int(process.startTicks)),
          ])
        }),
    ])
    let path = LocalCluster.recordPath(directory)
    do {
      try FileTree.write(Array((record.text(indent: true) + "\n").utf8), to: path)
    } catch {
      throw Failure("cannot write \(path): \(error)")
    }
  }

  /// Keeps other `cairn local` commands away from this directory for as long as the result lives.
  static func lock(_ directory: String) throws -> LocalLock {
    let lock = LocalLock()
    do throws(StorageError) {
      try lock.files.lock(directory + "/local.lock")
    } catch .locked {
      throw Failure("another cairn local command is at work in \(directory); wait until it has finished")
    } catch {
      throw Failure("\(error)")
    }
    return lock
  }
}

final class LocalLock {
  fileprivate var files = PosixFileSystem()
}
