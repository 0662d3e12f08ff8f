package import Primitives

// Which lives a node's directory has had (rule LINEAGE, Docs/DeleteProtocol.md). Every start and every lease writes the file
// `node` once more; it counts these editions, and names the boots that began from it. A copy that is put back has neither
// what came after it: whoever was told of that knows it for an older one, whatever the copy has done since by itself.

/// A boot, and an edition of the file `node` that it wrote.
package struct BootEdition: Equatable, Sendable {
  package static let byteCount = 16

  package var bootID: UInt64
  package var edition: UInt64
  package init(bootID: UInt64, edition: UInt64) {
    self.bootID = bootID
    self.edition = edition
  }

  func append(to body: inout [UInt8]) {
    body.appendLittleEndian(bootID)
    body.appendLittleEndian(edition)
  }

  init?(from reader: inout ByteReader) {
    guard let bootID = reader.read(UInt64.self), let edition = reader.read(UInt64.self) else { return nil }
    self.init(bootID: bootID, edition: edition)
  }

  /// Whether a directory with these starts, oldest first, the last one that of a boot which speaks now, is an older copy of
  /// the one in which this was written. What is older than all of them cannot be told any more, and counts as an ancestor.
  package func isMissing(in lineage: [BootEdition]) -> Bool {
    guard let place = lineage.lastIndex(where: { $0.bootID == bootID }) else {
      return lineage.first.map { edition >= $0.edition } ?? false
    }
    // The boot is there; what it wrote last is if the next start came after that.
    return place + 1 < lineage.count && lineage[place + 1].edition <= edition
  }
}

/// What another node has told of itself.
package struct PeerEdition: Equatable, Sendable {
  package var node: NodeID
  package var boot: BootEdition
  package init(node: NodeID, boot: BootEdition) {
    self.node = node
    self.boot = boot
  }
}

extension NodeManifest {
  /// The highest that this node has told in its latest boot that is known; nil when nothing is.
  package func told(by node: NodeID) -> BootEdition? { peers.first { $0.node == node }?.boot }

  /// - Returns: Whether it is another boot than the one known.
  package mutating func note(_ boot: BootEdition, toldBy node: NodeID) -> Bool {
    guard let index = peers.firstIndex(where: { $0.node == node }) else {
      peers.append(PeerEdition(node: node, boot: boot))
      peers.sort { $0.node < $1.node }
      return true
    }
    let isAnother = peers[index].boot.bootID != boot.bootID
    if isAnother || peers[index].boot.edition < boot.edition { peers[index].boot = boot }
    return isAnother
  }

  /// A start from this directory; the edition that says so is the next one.
  package mutating func begin(_ bootID: UInt64) {
    lineage.append(BootEdition(bootID: bootID, edition: edition + 1))
    if lineage.count > NodeManifest.lineageMax { lineage.removeFirst(lineage.count - NodeManifest.lineageMax) }
  }

  /// What other nodes were told by others who came from this directory is behind us, as far as `known`: the stores are made
  /// anew, and this boot begins the lineage. The step is so wide that nobody was told as much.
  package mutating func beginAnew(_ bootID: UInt64, above known: UInt64) {
    edition = min(max(edition, known), NodeManifest.editionMax - NodeManifest.editionStep) + NodeManifest.editionStep
    lineage = [BootEdition(bootID: bootID, edition: edition)]
  }

  /// More editions than a directory ever has: one in five seconds would take centuries.
  private static let editionStep: UInt64 = 1 << 32
  /// No directory gets so far, by whatever steps: what is told above is not believed.
  package static let editionMax: UInt64 = .max / 2
}
