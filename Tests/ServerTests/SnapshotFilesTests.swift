import Platform
import Primitives
import Protocols
import Replication
import Testing

@testable import Server

@Suite("Files of snapshots over HTTP") struct SnapshotFilesTests {
  /// A snapshot `s` with one file of some bytes, in a node's directory.
  private func make(in data: String, count: Int) throws -> [UInt8] {
    var random = SeededGenerator(seed: 5)
    let bytes = (0..<count).map { _ in UInt8(random.below(256)) }
    let store = "\(data)/snapshots/s/stores/p000-n3"
    try FileTree.create(store)
    try FileTree.write(bytes, to: store + "/000001.data")
    try FileTree.write([1], to: "\(data)/snapshots/s/snapshot")
    try FileTree.write([2], to: "\(data)/secret")
    return bytes
  }

  private func ask(_ method: String, _ target: String, _ shard: RunningShard) throws -> (status: String, body: [UInt8])
  {
    let client = try shard.connect()
    let request = "\(method) \(target) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    try client.send(Array(request.utf8))
    let answer = try client.receiveAll()
    let head = String(decoding: answer.prefix(12), as: UTF8.self)
    let end = answer.indices.first { answer[$0...].starts(with: Array("\r\n\r\n".utf8)) } ?? answer.count
    return (String(head.suffix(3)), Array(answer[min(end + 4, answer.count)...]))
  }

  @Test("what lies in a snapshot is listed, and read piece by piece, each of a bounded size")
  func read() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    let bytes = try make(in: directory.path, count: SnapshotWork.bytesMax + 100)
    let listed = try ask("GET", "/admin/snapshot-files?name=s&path=stores/p000-n3", shard)
    #expect(String(decoding: listed.body, as: UTF8.self) == #"{"entries":[{"name":"000001.data","bytes":1048676}]}"#)
    let stores = try ask("GET", "/admin/snapshot-files?name=s&path=stores", shard)
    #expect(String(decoding: stores.body, as: UTF8.self) == #"{"entries":[{"name":"p000-n3","bytes":null}]}"#)
    let file = "/admin/snapshot-file?name=s&path=stores/p000-n3/000001.data"
    #expect(try ask("GET", file, shard).body == Array(bytes[..<SnapshotWork.bytesMax]))
    #expect(try ask("GET", file + "&offset=\(SnapshotWork.bytesMax)", shard).body == Array(bytes.suffix(100)))
    #expect(try ask("GET", file + "&offset=7&count=5", shard).body == Array(bytes[7..<12]))
    #expect(try ask("GET", file + "&offset=9000000", shard) == ("200", []))
    #expect(await shard.stop() == .clean)
  }

  @Test("nothing but snapshots is read, and what makes no sense is refused")
  func refusals() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    _ = try make(in: directory.path, count: 10)
    let file = "/admin/snapshot-file?name=s&path="
    for path in ["../../secret", "..", "/etc/passwd", "stores/../snapshot", "stores//x", "a/b/c/d", "stores/"] {
      #expect(try ask("GET", file + path, shard).status == "400", "\(path)")
    }
    for query in ["&count=0", "&count=\(SnapshotWork.bytesMax + 1)", "&offset=-1", "&offset=x"] {
      #expect(try ask("GET", file + "stores/p000-n3/000001.data" + query, shard).status == "400", "\(query)")
    }
    #expect(try ask("GET", file + "stores/p000-n3/000002.data", shard).status == "404")
    #expect(try ask("GET", "/admin/snapshot-files?name=none", shard).status == "404")
    #expect(try ask("GET", "/admin/snapshot-files?name=..", shard).status == "400")
    #expect(try ask("GET", "/admin/snapshot-files", shard).status == "400")
    #expect(try ask("GET", "/admin/remove-snapshot?name=s", shard).status == "405")
    for seconds in ["0", "601", "x", ""] {
      #expect(try ask("POST", "/admin/hold-purges?seconds=\(seconds)", shard).status == "400", "\(seconds)")
    }
    let held = try ask("POST", "/admin/hold-purges?seconds=600", shard)
    #expect(String(decoding: held.body, as: UTF8.self) == #"{"hold":"00000000000000ab-600000"}"#)
    #expect(await shard.stop() == .clean)
  }

  @Test("a snapshot that is removed is none at once, and what a crash left of another removal goes with it")
  func remove() async throws {
    let directory = try TemporaryDirectory()
    let shard = try RunningShard(in: directory.path, settings: ["sync=never"])
    _ = try make(in: directory.path, count: 10)
    try FileTree.create("\(directory.path)/snapshots/_removing-old/stores")
    #expect(try ask("POST", "/admin/remove-snapshot?name=s", shard).status == "200")
    #expect(try FileTree.names(in: "\(directory.path)/snapshots") == [])
    #expect(try ask("POST", "/admin/remove-snapshot?name=s", shard).status == "404")
    #expect(await shard.stop() == .clean)
  }
}
