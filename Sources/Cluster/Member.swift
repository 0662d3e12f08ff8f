package import Primitives

/// A node of the ring and how to reach it.
package struct Member: Equatable, Sendable {
  package let id: NodeID
  package let name: String
  /// `host:port` of its cluster listener.
  package let address: String
  package init(id: NodeID, name: String, address: String) {
    self.id = id
    self.name = name
    self.address = address
  }
}
