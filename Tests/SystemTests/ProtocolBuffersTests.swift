import Platform
import Testing

@testable import Protocols

// Riak's binary protocol on real processes, together with HTTP.

@Suite(.serialized) struct ProtocolBuffersTests {
  private func ask<Request: PBMessage, Answer: PBMessage>(
    _ socket: borrowing BlockingSocket, _ code: PBCode, _ request: Request, _ answerCode: PBCode, _: Answer.Type
  ) throws -> Answer {
    let frame = try frames(socket, code, request, count: 1)[0]
    guard frame[0] == answerCode.rawValue else {
      throw Stuck("code \(frame[0]): \(String(decoding: frame, as: UTF8.self))")
    }
    return try Answer(frame, 1..<frame.count)
  }

  /// The next `count` frames behind a request, each with its code first.
  private func frames(
    _ socket: borrowing BlockingSocket, _ code: PBCode, _ request: some PBMessage, count: Int
  ) throws -> [[UInt8]] {
    var bytes: [UInt8] = []
    bytes.appendFrame(code, request)
    try socket.send(bytes)
    return try (0..<count).map { _ in
      let length = try exactly(4, socket).reduce(0) { $0 << 8 | Int($1) }
      return try exactly(length, socket)
    }
  }

  private func exactly(_ count: Int, _ socket: borrowing BlockingSocket) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more = try socket.receive(countMax: count - bytes.count)
      guard !more.isEmpty else { throw Stuck("the connection ended") }
      bytes += more
    }
    return bytes
  }

  @Test("what one door stores the other gives out and deletes, and no listing has a deleted key")
  func bothDoors() throws {
    try TestCluster.with("pb") { cluster in
      func connect(_ node: Int) throws -> BlockingSocket {
        try BlockingSocket(
          connectingTo: SocketAddress(host: [127, 0, 0, 1], port: UInt16(cluster.pbPort(node))),
          timeoutMilliseconds: 30_000)
      }
      let bucket = [UInt8]("test".utf8)[...]
      let key = [UInt8]("apple".utf8)[...]
      let first = try connect(1)
      var content = RpbContent(value: [UInt8]("red".utf8)[...])
      content.contentType = [UInt8]("text/plain".utf8)[...]
      content.userMetadata = [RpbPair(key: [UInt8]("From".utf8)[...], value: [UInt8]("here".utf8)[...])]
      var put = RpbPutReq(bucket: bucket, key: key, content: content)
      put.ifNoneMatch = true
      put.returnHead = true
      let stored = try ask(first, .putRequest, put, .putResponse, RpbPutResp.self)
      #expect(stored.vclock?.count == 12)
      // The same again finds something there.
      #expect(try frames(first, .putRequest, put, count: 1)[0][0] == PBCode.error.rawValue)

      var http = try cluster.client(2)
      let seen = try http.get("apple")
      #expect(seen.status == 200 && seen.body == Array("red".utf8))
      #expect(seen.header("x-riak-meta-from") == "here")

      let third = try connect(3)
      let get = RpbGetReq(bucket: bucket, key: key)
      let found = try ask(third, .getRequest, get, .getResponse, RpbGetResp.self)
      #expect(found.content.first?.value == content.value && found.vclock == stored.vclock)
      let list = RpbListKeysReq(bucket: bucket)
      let listed = try frames(third, .listKeysRequest, list, count: 2).map { try RpbListing($0, 1..<$0.count) }
      #expect(listed.flatMap(\.names) == [key] && listed.last?.done == true)

      let places = try ask(
        third, .preflistRequest, RpbGetBucketKeyPreflistReq(bucket: bucket, key: key), .preflistResponse,
        RpbGetBucketKeyPreflistResp.self)
      #expect(places.preflist.count == 3 && places.preflist.allSatisfy { $0.primary == true })

      #expect(try http.delete("apple").status == 204)
      let gone = try ask(first, .getRequest, get, .getResponse, RpbGetResp.self)
      #expect(gone == RpbGetResp())
      var withClock = get
      withClock.deletedClock = true
      #expect(try ask(first, .getRequest, withClock, .getResponse, RpbGetResp.self).vclock?.count == 12)
      let empty = try frames(third, .listKeysRequest, list, count: 1).map { try RpbListing($0, 1..<$0.count) }
      #expect(empty == [RpbListing(names: [], done: true)])
      #expect(try frames(third, .deleteRequest, RpbDelReq(bucket: bucket, key: key), count: 1)[0] == [14])
    }
  }
}
