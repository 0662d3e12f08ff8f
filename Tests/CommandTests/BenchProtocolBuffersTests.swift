import Client
import Platform
import Primitives
import Testing

@testable import Protocols
@testable import cairn

// `cairn bench --protocol pb`: what is sent, how answers count, and where a node is found.

@Suite struct BenchProtocolBuffersTests {
  private func options(_ words: String...) throws -> BenchOptions {
    try BenchOptions(
      Arguments(["--protocol", "pb"] + words, options: BenchOptions.table, command: "cairn bench"))
  }

  private func answer(_ append: (inout [UInt8]) -> Void) throws -> PBAnswer? {
    var bytes: [UInt8] = []
    append(&bytes)
    for count in bytes.indices {
      #expect(try PBAnswer.find(in: Array(bytes[..<count]), from: 0, valueBytesMax: 100) == nil)
    }
    let answer = try PBAnswer.find(in: [9, 9] + bytes + [7], from: 2, valueBytesMax: 100)
    #expect(answer?.end == bytes.count + 2)
    return answer
  }

  private func outcome(_ operation: BenchOperation, _ append: (inout [UInt8]) -> Void) throws -> BenchOutcome? {
    try answer(append).map { BenchRun.outcome(of: .answeredFrame($0), operation) }
  }

  @Test(
    "a frame holds the request that is meant: bucket, key, value and quorums", arguments: ["a/b", "0000000000000000"])
  func encoding(bucket: String) throws {
    let options = try options(
      "--bucket", bucket, "--value-size", "300", "--r", "one", "--w", "2", "--dw", "all", "--seed", "5")
    let encoder = BenchEncoder(options)
    func message<Message: PBMessage>(
      _ operation: BenchOperation, _ key: Int, _ code: PBCode, _: Message.Type
    ) throws -> Message {
      var bytes: [UInt8] = [1, 2, 3]
      encoder.append(operation, key: key, to: &bytes)
      let length = bytes[3..<7].reduce(0) { $0 << 8 | Int($1) }
      #expect(length == bytes.count - 7 && bytes[7] == code.rawValue)
      return try Message(bytes, 8..<bytes.count)
    }
    let name = Array(bucket.utf8)[...]
    let get = try message(.get, 0, .getRequest, RpbGetReq.self)
    #expect(get == RpbGetReq(bucket: name, key: Array("0000000000000000".utf8)[...], r: 0xFFFF_FFFE))
    let key = Array("0000000999999999".utf8)[...]
    let put = try message(.put, 999_999_999, .putRequest, RpbPutReq.self)
    #expect(put.bucket == name && put.key == key && put.w == 2 && put.dw == 0xFFFF_FFFC && put.returnBody == nil)
    #expect(put.content?.value?.count == 300 && put.content?.contentType == nil)
    let delete = try message(.delete, 1234, .deleteRequest, RpbDelReq.self)
    #expect(delete == RpbDelReq(bucket: name, key: Array("0000000000001234".utf8)[...], w: 2, dw: 0xFFFF_FFFC))
    var plain: [UInt8] = []
    try BenchEncoder(self.options()).append(.get, key: 1, to: &plain)
    #expect(
      try RpbGetReq(plain, 5..<plain.count)
        == RpbGetReq(bucket: Array("bench".utf8)[...], key: Array("0000000000000001".utf8)[...]))
  }

  @Test("answers count as over HTTP: done, not there, or an error by its word")
  func counting() throws {
    let found = RpbGetResp(content: [RpbContent(value: [1, 2])], vclock: [3])
    #expect(try outcome(.get) { $0.appendFrame(.getResponse, found) } == .done)
    // A value of no bytes is one.
    let empty = RpbGetResp(content: [RpbContent(value: [])])
    #expect(try outcome(.get) { $0.appendFrame(.getResponse, empty) } == .done)
    #expect(try outcome(.get) { $0.appendFrame(.getResponse) } == .notFound)
    #expect(try outcome(.get) { $0.appendFrame(.getResponse, RpbGetResp(vclock: [3])) } == .notFound)
    #expect(try outcome(.put) { $0.appendFrame(.putResponse) } == .done)
    #expect(try outcome(.delete) { $0.appendFrame(.deleteResponse) } == .done)
    #expect(
      try outcome(.put) { $0.appendErrorFrame("{w_val_unsatisfied,2,1}") }
        == .failed(kind: "answered {w_val_unsatisfied,2,1}"))
    #expect(
      try outcome(.get) { $0.appendErrorFrame("the record of key 7 is damaged") }
        == .failed(kind: "answered an error"))
    #expect(try outcome(.put) { $0.appendFrame(.deleteResponse) } == .failed(kind: "answered something else"))
  }

  @Test("what is no answer is a problem, whatever length it claims")
  func garbage() {
    for bytes: [UInt8] in [
      Array("HTTP/1.1 400 Bad".utf8), [0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 1, 99], [0, 0, 0, 2, 10, 0x0A],
    ] {
      #expect(throws: PBProblem.self) { try PBAnswer.find(in: bytes, from: 0, valueBytesMax: 100) }
    }
  }

  @Test("nodes are named by either address, and one without Protocol Buffers says so")
  func nodes() throws {
    let named = try options("--url", "pb://127.0.0.1:10017/", "--url", "http://127.0.0.1:10028")
    #expect(named.endpoints.map(\.description) == ["pb://127.0.0.1:10017", "http://127.0.0.1:10028"])
    let node = try Endpoint("http://10.0.0.7:8098")
    func found(_ status: JSON) throws -> String { "\(try BenchNodes.pbEndpoint(status, of: node))" }
    #expect(try found(.object(["pb": .string("127.0.0.1:10017")])) == "pb://127.0.0.1:10017")
    #expect(try found(.object(["pb": .string("0.0.0.0:8087")])) == "pb://10.0.0.7:8087")
    let failure = Failure(
      "http://10.0.0.7:8098 does not speak Protocol Buffers: start it with --pb ADDRESS:PORT, or take --protocol http")
    #expect(throws: failure) { try found(.object(["pb": .null])) }
    #expect(
      throws: UsageError(
        problem: "--url 'pb://127.0.0.1:10017' is for Protocol Buffers",
        hint: "type --protocol pb too, or an http:// URL")
    ) {
      try BenchOptions(
        Arguments(["--url", "pb://127.0.0.1:10017"], options: BenchOptions.table, command: "cairn bench"))
    }
  }
}
