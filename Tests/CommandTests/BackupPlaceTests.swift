import Platform
import Primitives
import Protocols
import Testing

@testable import cairn

@Suite("Where a backup goes, and what it is restored into") struct BackupPlaceTests {
  private func inDirectory(_ body: (String) throws -> Void) throws {
    let directory = "\(Console.environment("TMPDIR") ?? "/tmp")/cairn-backup-place-\(try randomSeed())"
    defer { try? FileTree.remove(directory) }
    try body(directory)
  }

  @Test("two backups into one directory: the second is refused, and takes nothing of the first away")
  func twoAtOnce() throws {
    try inDirectory { directory in
      let first = try BackupPlace(directory)
      try FileTree.create("\(directory)/node-1/stores")
      #expect { try BackupPlace(directory) } throws: { "\($0)".contains("is not empty: another backup is being made") }
      #expect(try FileTree.names(in: directory) == [BackupPlace.markerName, "node-1"])
      first.abandon([BackupManifest.Node(name: "n1", id: 1)])
      #expect(!FileTree.exists(directory))
      _ = try BackupPlace(directory)
    }
  }

  @Test("one that fails removes what it has made, and nothing else")
  func abandoned() throws {
    try inDirectory { directory in
      try FileTree.create(directory)
      let place = try BackupPlace(directory)
      for name in ["node-1", "node-2", "node-9"] { try FileTree.create("\(directory)/\(name)") }
      try FileBytes.write([1], "\(directory)/notes")
      place.abandon([BackupManifest.Node(name: "n1", id: 1), BackupManifest.Node(name: "n2", id: 2)])
      #expect(try FileTree.names(in: directory) == ["node-9", "notes"])
      #expect { try BackupPlace(directory) } throws: { "\($0)".contains("there is node-9 in it") }
      #expect(try FileTree.names(in: directory) == ["node-9", "notes"])
    }
  }

  @Test("a cluster is taken for empty only when each node says so")
  func emptiness() throws {
    func status(_ members: [String: JSON]) -> JSON {
      .object(members.sorted { $0.key < $1.key }.map { JSON.Member(name: $0.key, value: $0.value) })
    }
    let hints = JSON.object(["count": .integer(0)])
    let empty: [String: JSON] = ["keys_live": .integer(0), "tombstones": .integer(0), "hints": hints]
    try RestoreTarget.checkEmpty(status(empty), "n1")
    for name in empty.keys.sorted() {
      var other = empty
      for value in [nil, JSON.null, .string("0")] {
        other[name] = value
        #expect("\(name)") { try RestoreTarget.checkEmpty(status(other), "n1") } throws: {
          "\($0)".contains("n1 does not say whether it is empty")
        }
      }
      other[name] = name == "hints" ? .object(["count": .integer(2)]) : .integer(2)
      #expect("\(name)") { try RestoreTarget.checkEmpty(status(other), "n1") } throws: {
        "\($0)".contains("n1 is not empty (")
      }
    }
  }
}
