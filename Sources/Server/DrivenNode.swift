package import Cluster
package import Primitives
package import Replication
package import Storage

// What a shard drives. The node is one; the tests of the server bring a stand-in, so that a connection's behaviour can
// be checked without a cluster.

package protocol DrivenNode: ~Copyable {
  /// The node wants a tick at least this often while operations are in progress.
  static var tickMilliseconds: UInt64 { get }

  mutating func step(_ event: Event, at now: Moment)
  mutating func flush(at now: Moment) -> Batch
  /// Operations that it should be ticked for.
  var operationsInProgress: Int { get }
  func status(at now: Moment) -> NodeStatus
  /// Final once the cluster is founded.
  var currentRing: Ring { get }
  /// The system's number of an open file, for the threads that sync and read it.
  func rawDescriptor(of file: FileID) -> Int32
  func path(of file: FileID) -> String
}
