import Platform
import Primitives
import Testing

@testable import cairn

enum FileBytes {
  static func read(_ path: String) throws -> [UInt8] { try FileTree.read(path, bytesMax: 1 << 20) }
  static func write(_ bytes: [UInt8], _ path: String) throws { try FileTree.write(bytes, to: path) }
}

@Suite("The manifest of a backup") struct BackupManifestTests {
  private var manifest: BackupManifest {
    var manifest = BackupManifest(
      clusterID: "00ff", partitions: 8, replicas: 3, began: "2026-01-02T03:04:05.678Z", without: ["n \"3\""],
      nodes: [BackupManifest.Node(name: "n1", id: 1), BackupManifest.Node(name: "n2", id: 2)], release: "1")
    manifest.files = [
      BackupManifest.File(path: "node-1/node", bytes: 17, digest: .max),
      BackupManifest.File(path: "node-1/stores/p000-n3/manifest", bytes: 0, digest: 0),
    ]
    return manifest
  }

  @Test("what was written reads back")
  func roundTrip() throws {
    #expect(try BackupManifest(decoding: manifest.encoded(), path: "x") == manifest)
  }

  @Test("cut at any byte, or with any bit of any byte changed, it is refused by name")
  func damage() {
    let bytes = manifest.encoded()
    for count in 0..<bytes.count {
      #expect(throws: Failure.self) { try BackupManifest(decoding: Array(bytes[..<count]), path: "x") }
    }
    for index in bytes.indices {
      var other = bytes
      other[index] ^= 1 << UInt8(index % 8)
      #expect("byte \(index)") { try BackupManifest(decoding: other, path: "the/place") } throws: {
        "\($0)".contains("the/place")
      }
    }
  }

  @Test(
    "so many nodes may be left out that a quorum of every write is not", arguments: [(1, 0), (2, 1), (3, 1), (5, 2)])
  func missing(replicas: Int, most: Int) { #expect(BackupManifest.missingMax(replicas: replicas) == most) }

  @Test("the checksum of a file depends on every byte, and not on the pieces that it came in")
  func digest() {
    var random = SeededGenerator(seed: 3)
    for count in [0, 1, BackupDigest.pieceBytes, BackupDigest.pieceBytes + 5] {
      let bytes = (0..<count).map { _ in UInt8(random.below(256)) }
      var whole = BackupDigest()
      whole.add(bytes[...])
      var pieces = BackupDigest()
      var rest = bytes[...]
      while !rest.isEmpty {
        pieces.add(rest.prefix(300_000))
        rest = rest.dropFirst(300_000)
      }
      #expect(pieces.value == whole.value)
      for index in [0, count / 2, count - 1] where count > 0 {
        var other = bytes
        other[index] ^= 4
        var changed = BackupDigest()
        changed.add(other[...])
        #expect(changed.value != whole.value)
      }
    }
  }
}
