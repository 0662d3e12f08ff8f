import Cluster
import Messages
import Platform
import Primitives
import Replication
import Storage

// The node as a shard drives it, on the real file system.

private final class NodeService: DrivenNode {
  static var tickMilliseconds: UInt64 { Node<PosixFileSystem>.tickMilliseconds }

  private var node: Node<PosixFileSystem>

  init(_ node: consuming Node<PosixFileSystem>) { self.node = node }

  func step(_ event: Event, at now: Moment) { node.step(event, at: now) }
  func flush(at now: Moment) -> Batch { node.flush(at: now) }
  func accepts(_ hello: Hello) -> Bool { node.accepts(hello) }
  var operationsInProgress: Int { node.operationsInProgress }
  func status(at now: Moment) -> NodeStatus { node.status(at: now) }
  func tombstoneStatus(at now: Moment) -> TombstoneStatus { node.tombstoneStatus(at: now) }
  var currentRing: Ring { node.currentRing }
  func isUp(_ id: NodeID) -> Bool { node.isUp(id) }
  func partition(of key: ObjectKey) -> Int { node.partition(of: key) }
  func rawDescriptor(of file: FileID) -> Int32 { node.disk.rawDescriptor(of: file) }
  func path(of file: FileID) -> String { node.disk.path(of: file) }
}

/// Runs a node until it stops: `ready` on standard output when it serves, logs on standard error.
/// - Returns: An exit code.
package func runNode(_ configuration: Configuration) -> Int32 {
  runNode(configuration) { (options, disk, now) throws(StartFailure) in
    do throws(NodeStartError) {
      return NodeService(try Node(options: options, disk: disk, at: now))
    } catch {
      throw StartFailure(line: error.description)
    }
  }
}
