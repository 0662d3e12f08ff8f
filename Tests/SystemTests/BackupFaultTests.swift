import Client
import Platform
import Primitives
import Protocols
import Testing

// Backups that something happens to: whole, or told from a whole one, and nothing is left behind.

extension SystemTests {
  @Suite struct BackupFaultTests {
    private static let keys = 200
    private static let valueBytes = 100_000

    /// A cluster with 60 MB in it, and an empty place for its backups.
    private func with(_ name: String, _ body: (TestCluster, String) throws -> Void) throws {
      try TestCluster.with(name, settings: ["partitions=4", "request_timeout=20s"]) { cluster in
        let place = try ScratchDirectory(name)
        try cluster.write(Self.keys, bytes: Self.valueBytes, through: 1, query: "?w=3")
        try body(cluster, place.path)
      }
    }

    /// A backup that has begun to copy; n3, whose files come last, does not go on.
    private func begin(_ cluster: TestCluster, _ directory: String, _ words: [String] = []) throws -> RunningCommand {
      let command = try RunningCommand(["backup", directory, "--data", cluster.data] + words, name: "backup")
      try eventually("files are copied") { FileTree.exists("\(directory)/node-1/stores") }
      try cluster.process(3).signal(.stop)
      return command
    }

    @Test("kill -9 of a backup: what is there is no backup, and says so; the next one is whole")
    func killed() throws {
      try with("backup-killed") { cluster, place in
        let command = try begin(cluster, place + "/a")
        command.identity.signal(.kill)
        _ = try command.finish()
        try cluster.process(3).signal(.proceed)
        for words in [["backup", "verify", place + "/a"], ["restore", place + "/a", "--check"]] {
          let told = try cairn(words)
          #expect(told.code == 1 && told.errors.contains("holds no whole backup"), "\(told.errors)")
        }
        let into = try cairn("backup", place + "/a", "--data", cluster.data)
        #expect(into.code == 1 && into.errors.contains("is not empty"), "\(into.errors)")
        try cluster.untilUp()
        let next = try cairn("backup", place + "/b", "--data", cluster.data)
        #expect(next.code == 0, "\(next.errors)")
        #expect(try cairn("backup", "verify", place + "/b").code == 0)
      }
    }

    @Test("a node that dies while files are copied: the backup is given up and goes, or goes on when it is there again")
    func nodeDies() throws {
      try with("backup-node-dies") { cluster, place in
        let command = try begin(cluster, place + "/a", ["--retry-for", "1s"])
        try cluster.local("kill", "3")
        let given = try command.finish()
        #expect(given.code == 1 && given.errors.contains("n3 was lost while "), "\(given.errors)")
        #expect(!FileTree.exists(place + "/a"), "nothing is left of it")
        let down = try cairn("backup", place + "/a", "--data", cluster.data)
        #expect(down.code == 1 && down.errors.contains("n3 would be missing: cannot reach"), "\(down.errors)")
        #expect(down.errors.contains("--without NODE"))
        let without = try cairn("backup", place + "/w", "--data", cluster.data, "--without", "n3")
        #expect(without.code == 0 && without.outputText.contains("made without n3"), "\(without.errors)")
        let counted = try cairn("restore", place + "/w", "--check", "--json")
        #expect(try JSON.parse(counted.output)["values"] == .integer(Self.keys))
        for node in ["n1", "n9"] {
          #expect(try cairn("restore", place + "/w", "--check", "--without", node).code == 1, "\(node) too")
        }
        try cluster.local("start", "3")
        try cluster.untilUp()
        let lasting = try begin(cluster, place + "/b")
        try cluster.local("kill", "3")
        try cluster.local("start", "3")
        let done = try lasting.finish()
        #expect(done.code == 0, "\(done.errors)")
        #expect(try cairn("backup", "verify", place + "/b").code == 0)
        for node in 1...2 { #expect(try cluster.snapshots(node) == []) }
      }
    }

    @Test("a byte that changed in any kind of file is named, and nothing is restored from there")
    func flipped() throws {
      try with("backup-flipped") { cluster, place in
        let directory = place + "/a"
        #expect(try cairn("backup", directory, "--data", cluster.data).code == 0)
        let names = ["node", "snapshot", "stores/p001-n3/manifest", "stores/p002-n3/000001.data"].map { "node-2/" + $0 }
        for (number, name) in (names + ["backup.json"]).enumerated() {
          let path = "\(directory)/\(name)"
          let bytes = try FileTree.read(path, bytesMax: 64 << 20)
          var changed = bytes
          changed[bytes.count * (number + 1) / 6] ^= 0x10
          try FileTree.write(changed, to: path)
          for words in [["backup", "verify", directory], ["restore", directory, "--check"]] {
            let told = try cairn(words)
            #expect(told.code == 1 && told.errors.contains(name), "\(name): \(told.errors)")
          }
          try FileTree.write(bytes, to: path)
        }
        try FileTree.remove("\(directory)/node-1/stores/p000-n3/000001.data")
        let missing = try cairn("backup", "verify", directory)
        #expect(missing.errors.contains("node-1/stores/p000-n3/000001.data: it is missing"), "\(missing.errors)")
        // The two others have everything.
        let without = try cairn("restore", directory, "--check", "--without", "n1", "--json")
        #expect(try JSON.parse(without.output)["values"] == .integer(Self.keys), "\(without.errors)")
      }
    }

    @Test("a disk without room for the backup: it says so, and what was copied is removed")
    func full() throws {
      try with("backup-full") { cluster, place in
        try FileTree.create(place + "/disk")
        guard try shell("mount -t tmpfs -o size=8m cairn-test \(place)/disk") == .exited(0) else {
          print("SKIPPED: the test of a backup on a full disk, because nothing can be mounted here")
          return
        }
        defer { _ = try? shell("umount -l \(place)/disk") }
        let full = try cairn("backup", place + "/disk/a", "--data", cluster.data)
        #expect(
          full.code == 1 && full.errors.contains("No space left") || full.errors.contains("no space"), "\(full.errors)")
        #expect(try FileTree.names(in: place + "/disk") == [])
        for node in 1...3 { #expect(try cluster.snapshots(node) == []) }
      }
    }
  }
}
