package import Cluster
package import Messages
package import Primitives
package import Replication
package import Storage

// What a shard drives. The node is one; the tests of the server bring a stand-in, so that a connection's behaviour can
// be checked without a cluster. A class around the node, because an optimized generic actor over a type that cannot be
// copied crashes when its executor is asked for (Swift 6.3.1).

package protocol DrivenNode: AnyObject {
  /// The node wants a tick at least this often while operations are in progress.
  static var tickMilliseconds: UInt64 { get }

  func step(_ event: Event, at now: Moment)
  func flush(at now: Moment) -> Batch
  /// True when a node that says this may speak as the member it names.
  func accepts(_ hello: Hello) -> Bool
  /// Operations that it should be ticked for.
  var operationsInProgress: Int { get }
  func status(at now: Moment) -> NodeStatus
  func tombstoneStatus(at now: Moment) -> TombstoneStatus
  /// Final once the cluster is founded.
  var currentRing: Ring { get }
  /// Whether it is this node, or one that answers it.
  func isUp(_ node: NodeID) -> Bool
  /// Where the ring puts a key.
  func partition(of key: ObjectKey) -> Int
  /// The system's number of an open file, for the threads that sync and read it.
  func rawDescriptor(of file: FileID) -> Int32
  func path(of file: FileID) -> String
}
