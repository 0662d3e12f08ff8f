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

  @Test("what no backup says is refused: nothing traps, and nothing leads out of its directory")
  func hostile() throws {
    func file(_ path: String, _ bytes: UInt64 = 1) -> BackupManifest.File {
      BackupManifest.File(path: path, bytes: bytes, digest: 0)
    }
    func node(_ id: Int, _ name: String) -> BackupManifest.Node { BackupManifest.Node(name: name, id: id) }
    let most = UInt64(Int.max)
    let changes: [(String, (inout BackupManifest) -> Void)] = [
      ("0 partitions", { $0.partitions = 0 }), ("-8 partitions", { $0.partitions = -8 }),
      ("6 partitions", { $0.partitions = 6 }), ("65536 partitions", { $0.partitions = 65_536 }),
      ("\(Int.min) partitions", { $0.partitions = .min }), ("0 copies", { $0.replicas = 0 }),
      ("\(Int.max) copies", { $0.replicas = .max }), ("0 nodes", { $0.nodes = [] }),
      ("1001 nodes", { $0.nodes = (0...1000).map { node($0, "\($0)") } }),
      ("the id -1", { $0.nodes[0] = node(-1, "n1") }), ("the id \(Int.max)", { $0.nodes[1] = node(.max, "n2") }),
      ("the same node twice", { $0.nodes[1] = node(1, "n2") }),
      ("the same node twice", { $0.nodes[1] = node(2, "n1") }),
      ("a text of 5 bytes", { $0.began = "\u{1B}[31m" }),
      ("a text of 513 bytes", { $0.release = String(repeating: "x", count: 513) }),
      ("the file node-1/node twice", { $0.files.append(file("node-1/node")) }),
      (
        "more than \(BackupManifest.filesBytesMax) bytes",
        { $0.files = [file("node-1/a", most), file("node-1/b", most)] }
      ),
      ("an unprintable name", { $0.files.append(file("node-1/\u{7F}")) }),
    ]
    let paths = [
      "/etc/passwd", "../x", "node-1/../../x", "node-1/..", "node-1/.", "node-1", "node-1/", "", "node-3/node",
      "x/node",
      "node-1/stores/p000-n3", "node-1/stores/../x", "node-1/stores/p000-n3/../x", "node-1/other/p000-n3/x",
      "node-1//node", "node-1/stores/p000-n3/a/b", "node-1/-x", "node-1/" + String(repeating: "x", count: 65),
    ]
    for (problem, change) in changes + paths.map({ path in ("'\(path)'", { $0.files.append(file(path)) }) }) {
      var other = manifest
      change(&other)
      #expect("\(problem)") { try BackupManifest(decoding: other.encoded(), path: "the/place") } throws: {
        let message = ($0 as? Failure)?.message ?? ""
        return message.hasPrefix("the/place is no manifest that cairn backup writes: ") && message.contains(problem)
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
