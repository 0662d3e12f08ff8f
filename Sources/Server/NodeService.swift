package import Platform
import Primitives
package import Replication
package import Storage

// The node as a shard drives it, on the real file system.

package typealias RealNode = Replication.Node<PosixFileSystem>

extension Replication.Node: DrivenNode where Disk == PosixFileSystem {
  package func rawDescriptor(of file: FileID) -> Int32 { disk.rawDescriptor(of: file) }
  package func path(of file: FileID) -> String { disk.path(of: file) }
}

/// Runs a node until it stops: `ready` on standard output when it serves, logs on standard error.
/// - Returns: An exit code.
package func runNode(_ configuration: Configuration) -> Int32 {
  runNode(configuration) { (options, disk, now) throws(StartFailure) in
    do throws(NodeStartError) {
      return try RealNode(options: options, disk: disk, at: now)
    } catch {
      throw StartFailure(line: error.description)
    }
  }
}
